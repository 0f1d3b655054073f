"""Training of sampling-argmax: it learns, it resumes exactly, every task runs as a user types it, and bad input gets one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

from pose_rt.errors import InputError, UsageError  # noqa: E402
from pose_rt.models.sampling_argmax import NETWORKS, HeadConfig, NetworkConfig, ResNet, SimplePose  # noqa: E402
from pose_rt.models.sampling_argmax.checkpoint import read_trained  # noqa: E402
from tests.training.samax_files import change, write_coco, write_h36m, write_mtfl  # noqa: E402
from training.sampling_argmax import evaluate, scoring, train  # noqa: E402
from training.sampling_argmax.calibration import calibrate  # noqa: E402
from training.sampling_argmax.config import PUBLISHED, TrainConfig, read_settings  # noqa: E402
from training.sampling_argmax.figures import draw_picture, draw_poses  # noqa: E402
from training.sampling_argmax.initial import load_backbone  # noqa: E402
from training.sampling_argmax.objective import loss_of  # noqa: E402
from training.sampling_argmax.preprocess import IMAGENET  # noqa: E402

SMALL = [
    "--layers", "18", "--width", "4", "--filters", "8", "--image", "32x32", "--batch", "3", "--samples", "3", "--threads", "1",
    "--workers", "0",
    "--accelerator", "cpu", "--no-tensorboard",
]  # fmt: skip
WRITERS = {"coco": write_coco, "h36m": write_h36m, "mtfl": write_mtfl, "images": write_coco}


def _data(task: str, folder: Path) -> list[str]:
    root = WRITERS[task](folder)
    if task != "images":
        return ["--task", task, "--data", str(root)]
    files = [str(root / "coco" / "annotations" / f"person_keypoints_{s}2017.json") for s in ("train", "val")]
    images = [str(root / "coco" / f"{s}2017") for s in ("train", "val")]
    given = ["--annotations", files[0], "--images", images[0], "--val-annotations", files[1], "--val-images", images[1]]
    return ["--task", task, "--data", str(root), *given]


@pytest.mark.parametrize("task", ["coco", "h36m", "mtfl", "images"])
def test_every_task_trains_and_is_evaluated(task: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, out = _data(task, tmp_path / "data"), tmp_path / "run"
    depth = ["--depth", "8"] if task == "h36m" else []
    assert train.main([*data, *SMALL, *depth, "--epochs", "1", "--out", str(out)]) == 0
    said = capfd.readouterr().err
    assert "epoch 1: loss" in said and "6 people with" in said
    assert {"final.pt", "last.pt", "model_1.pt", "best.pt", "log.csv", "run.json"} <= {p.name for p in out.iterdir()}
    files = data[2:4] if task != "images" else ["--data", data[3], "--annotations", data[9], "--images", data[11]]
    results = tmp_path / "results"
    command = ["--checkpoint", str(out / "final.pt"), *files, "--flip-test", "--threads", "1", "--workers", "0", "--out", str(results)]
    assert evaluate.main(command) == 0
    report = json.loads((results / "results.json").read_text())
    wanted = {"coco": "AP", "images": "AP", "h36m": "pa_mpjpe_mm", "mtfl": "rel_percent"}[task]
    assert report["task"] == task and np.isfinite(report["results"][wanted]) and report["results"]["people"] == 6
    assert "| measure | here | published |" in (results / "results.md").read_text()
    assert (results / "keypoints.json").is_file() == (task in ("coco", "images"))


def test_sixteen_drawn_pictures_are_learned_by_heart() -> None:
    side, cells = 32, 8
    rng = np.random.default_rng(0)
    drawn = [draw_picture(rng, pose, side, side, share=(0.6, 0.9)) for pose in draw_poses(rng, 16)]
    images = torch.from_numpy(IMAGENET.apply(np.stack([d.image[..., ::-1].transpose(2, 0, 1) for d in drawn])))
    xy, visible = np.stack([d.xy for d in drawn]), np.stack([d.visible for d in drawn]) > 0
    target = torch.from_numpy(xy / np.float32(side) - np.float32(0.5)).flatten(1)
    weight = torch.from_numpy(np.repeat(visible, 2, -1).astype(np.float32))
    torch.manual_seed(0)
    head = HeadConfig(17, (cells, cells), samples=3, sign_gradient=True, anneal=True)
    network = SimplePose(NetworkConfig(head, layers=18, width=16, filters=32)).train()
    steps = 200
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, total_steps=steps, pct_start=0.2)

    def error() -> float:
        """Cells."""
        with torch.no_grad():
            points = (network.eval()(images).pred_jts.numpy() + 0.5) * side
        network.train()
        return float(np.linalg.norm(points - xy, axis=-1)[visible].mean()) * cells / side

    before = error()
    for step in range(steps):
        loss = loss_of(network(images, epoch=50 * step // steps), target, weight, head)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    after = error()
    # The expected L1 error is least with all the weight on the nearest cell, 0.38 cells away on average; the mean pose is 1.4 off.
    assert before > 2 and after < 0.9, (before, after)


def test_a_resumed_run_is_the_run_that_was_not_interrupted(tmp_path: Path) -> None:
    data = _data("coco", tmp_path / "data")
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert train.main([*data, *SMALL, "--epochs", "3", "--no-eval", "--out", str(straight)]) == 0
    assert train.main([*data, *SMALL, "--epochs", "1", "--no-eval", "--out", str(broken)]) == 0
    assert train.main([*data[2:], "--resume", "--epochs", "3", "--no-eval", *SMALL[-7:], "--out", str(broken)]) == 0
    one, other = (torch.load(folder / "last.pt", weights_only=True) for folder in (straight, broken))
    assert one["steps"] == other["steps"] == 6
    for name, value in one["weights"].items():
        assert torch.equal(value, other["weights"][name]), name
    assert len((broken / "log.csv").read_text().splitlines()) == 4
    assert len(json.loads((broken / "run.json").read_text())["history"]) == 2


def test_an_interrupted_epoch_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _data("coco", tmp_path / "data")
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert train.main([*data, *SMALL, "--epochs", "1", "--no-eval", "--out", str(straight)]) == 0
    step = train.Trainer.train_step

    def stop_after_one(self: train.Trainer, batch: object) -> float:
        loss = step(self, batch)
        loops[0].interrupt.asked = True
        return loss

    loops: list[train.Loop] = []
    run = train.Loop.run
    monkeypatch.setattr(train.Loop, "run", lambda self: (loops.append(self), run(self))[1])
    monkeypatch.setattr(train.Trainer, "train_step", stop_after_one)
    assert train.main([*data, *SMALL, "--epochs", "1", "--no-eval", "--out", str(broken)]) == 130
    assert torch.load(broken / "last.pt", weights_only=True)["place"] == 1
    monkeypatch.undo()
    assert train.main([*data[2:], "--resume", "--no-eval", *SMALL[-7:], "--out", str(broken)]) == 0
    one, other = (torch.load(folder / "last.pt", weights_only=True)["weights"] for folder in (straight, broken))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_broken_pictures_are_counted_and_a_run_without_any_ends_in_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = _data("coco", tmp_path / "data")
    pictures = sorted((tmp_path / "data/coco/train2017").iterdir())
    pictures[0].unlink()
    assert train.main([*data, *SMALL, "--epochs", "1", "--no-eval", "--out", str(tmp_path / "run")]) == 0
    assert "1 pictures could not be read and were skipped, such as" in capfd.readouterr().err.replace("\n", " ")
    for picture in pictures[1:]:
        picture.write_bytes(b"x")
    assert train.main([*data, *SMALL, "--epochs", "1", "--no-eval", "--out", str(tmp_path / "run2")]) == 1
    assert "none of the pictures can be read" in capfd.readouterr().err.replace("\n", " ")


def test_checkpoints_of_other_tasks_and_kinds_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = _data("mtfl", tmp_path / "data")
    assert train.main([*data, *SMALL, "--epochs", "1", "--no-eval", "--out", str(tmp_path / "run")]) == 0
    path = tmp_path / "run" / "final.pt"
    capfd.readouterr()
    assert evaluate.main(["--checkpoint", str(path), "--task", "coco", "--data", str(tmp_path)]) == 1
    assert "a checkpoint of the task mtfl, wanted coco; give --task mtfl" in capfd.readouterr().err.replace("\n", " ").replace("  ", " ")
    assert train.main(["--task", "coco", "--data", str(tmp_path), "--resume", "--out", str(tmp_path / "run")]) == 1
    torch.save({"kind": "d3dp"}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="of kind 'd3dp', not one of sampling-argmax"):
        read_trained(tmp_path / "other.pt")
    values = torch.load(path, weights_only=True)
    values["weights"]["final_layer.bias"] = torch.full((5,), torch.nan)
    torch.save(values, tmp_path / "nan.pt")
    with pytest.raises(InputError, match=r"final_layer\.bias holds values that are not finite"):
        read_trained(tmp_path / "nan.pt")
    del values["weights"]["final_layer.bias"]
    torch.save(values, tmp_path / "less.pt")
    with pytest.raises(InputError, match=r"final_layer\.bias is missing"):
        read_trained(tmp_path / "less.pt")


def test_a_published_state_dict_is_recognised(tmp_path: Path) -> None:
    head = HeadConfig(5, (64, 64))
    network = NETWORKS["mtfl"](NetworkConfig(head, layers=18))
    torch.save(network.state_dict(), tmp_path / "final.pth")
    found = read_trained(tmp_path / "final.pth")
    assert (found.task, found.network.config.layers, found.mean, found.deviation) == ("mtfl", 18, (0.406, 0.457, 0.480), (1.0, 1.0, 1.0))
    assert not found.network.training


def test_a_deep_network_without_a_gpu_says_how_long(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = _data("coco", tmp_path / "data")
    deep = ["50" if a == "18" else a for a in SMALL]
    assert train.main([*data, *deep, "--epochs", "1", "--no-eval", "--out", str(tmp_path / "run")]) == 0
    assert "no GPU: an epoch of ResNet-50 takes about 0.0 h" in capfd.readouterr().err.replace("\n", " ")


def test_backbone_weights_from_a_file(tmp_path: Path) -> None:
    network = SimplePose(NetworkConfig(HeadConfig(2, (8, 8)), layers=18, width=8, filters=8))
    donor = ResNet(18, 8)
    state = {**donor.state_dict(), "fc.weight": torch.zeros(3, 3)}
    torch.save(state, tmp_path / "resnet18.pth")
    load_backbone(network, str(tmp_path / "resnet18.pth"))
    assert all(torch.equal(value, state[name]) for name, value in network.preact.state_dict().items())
    torch.save(ResNet(34, 8).state_dict(), tmp_path / "resnet34.pth")
    load_backbone(SimplePose(replace(network.config, layers=34)), str(tmp_path / "resnet34.pth"))
    with pytest.raises(InputError, match="give weights of ResNet-34"):
        load_backbone(SimplePose(replace(network.config, layers=34)), str(tmp_path / "resnet18.pth"))
    with pytest.raises(InputError, match="no such checkpoint"):
        load_backbone(network, str(tmp_path / "none.pth"))


def test_recipes_and_settings(tmp_path: Path) -> None:
    coco, h36m, mtfl = (PUBLISHED[t] for t in ("coco", "h36m", "mtfl"))
    assert [coco.learning_rate(e) for e in (0, 89, 90, 120, 139)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-5])
    assert [h36m.learning_rate(e) for e in (139, 140, 159, 160, 190)] == pytest.approx([1e-5, 1e-3, 1e-3, 1e-4, 1e-5])
    assert (mtfl.layers, mtfl.epochs, mtfl.batch, h36m.samples, h36m.anneal, coco.batch) == (18, 30, 128, 10, False, 128)
    assert TrainConfig.from_dict(h36m.to_dict()) == h36m
    (tmp_path / "c.toml").write_text("milestones = [1, 2]\nimage = [64, 32]\n")
    assert read_settings(tmp_path / "c.toml") == {"milestones": (1, 2), "image": (64, 32)}
    (tmp_path / "d.toml").write_text("learning_rate = 1\n")
    with pytest.raises(UsageError, match="unknown settings learning_rate"):
        read_settings(tmp_path / "d.toml")
    for wrong in ({"task": "x"}, {"batch": 0}, {"image": (100, 64)}, {"lr": 0.0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            replace(coco, **wrong)
    with pytest.raises(UsageError, match="basis"):
        replace(coco, basis="box").network(17)


def test_measures_of_perfect_and_shifted_predictions() -> None:
    rng = np.random.default_rng(0)
    faces = rng.uniform(20, 80, (4, 5, 2))
    found = scoring.mtfl_errors(faces + np.array((3.0, 4.0)), faces)
    eyes = np.linalg.norm(faces[:, 0] - faces[:, 1], axis=-1)
    assert found["abs_px"] == pytest.approx(5) and found["rel_percent"] == pytest.approx(100 * (5 / eyes).mean())
    camera = rng.normal(0, 300, (3, 18, 3)) + np.array((0, 0, 4000))
    shifted = (camera - camera[:, :1])[:, :17] * 1.1
    errors = scoring.h36m_errors(shifted, camera, np.array([0, 0, 12]))
    assert (
        errors["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
        and errors["mpjpe_mm"] > 10
        and list(errors["by_action"]) == ["Directions", "Walking"]
    )
    points = rng.uniform(0, 100, (3, 17, 2))
    points[1] = points[0] + 0.1
    assert scoring.oks_nms(points, np.array([0.5, 0.9, 0.7]), np.full(3, 5000.0)) == [1, 2]


def test_calibration_of_a_spread_that_is_right_and_of_one_that_is_half() -> None:
    rng = np.random.default_rng(0)
    spread = np.exp(rng.uniform(-1, 2, 4000))
    offset = rng.standard_normal((4000, 2)) * spread[:, None]
    right, half = calibrate(offset, spread), calibrate(offset, spread / 2)
    assert right.expected_error < 0.1 and abs(right.within_1 - 0.683) < 0.02 and abs(right.factor - 1) < 0.05
    assert abs(half.expected_error - 1) < 0.1 and abs(half.factor - 2) < 0.1 and right.rank_correlation == half.rank_correlation > 0.5
    with pytest.raises(ValueError, match="at least"):
        calibrate(offset[:3], spread[:3])


def test_coco_ap_of_the_truth_is_one(tmp_path: Path) -> None:
    pytest.importorskip("faster_coco_eval")
    write_coco(tmp_path)
    path = tmp_path / "coco/annotations/person_keypoints_val2017.json"
    change(path, lambda v: [a.update(area=9000.0) for a in v["annotations"]])
    truth = json.loads(path.read_text())
    results = [
        {"image_id": a["image_id"], "category_id": 1, "keypoints": a["keypoints"], "score": 0.9, "bbox": a["bbox"]}
        for a in truth["annotations"]
    ]
    assert scoring.coco_ap(truth, results)["AP"] == pytest.approx(1.0)
    for entry in results:
        entry["keypoints"] = (np.array(entry["keypoints"]) + 60).tolist()
    assert scoring.coco_ap(truth, results)["AP"] < 0.1
