"""Data, training, resuming and exporting of DHMP at toy size."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pose_rt.core.skeleton import H36M17  # noqa: E402
from training.common import checkpoint  # noqa: E402
from training.data.motion import load_clips  # noqa: E402
from training.dhmp.basis import fit_extension, prepare  # noqa: E402
from training.dhmp.data import Augmentation, WindowSampler, camera_rotation, correlated_noise, root_relative  # noqa: E402
from training.dhmp.evaluate import main as evaluate  # noqa: E402
from training.dhmp.networks import load_networks  # noqa: E402
from training.dhmp.objective import SeededDraws  # noqa: E402
from training.dhmp.train import _arguments, start  # noqa: E402
from training.dhmp.train import main as train  # noqa: E402

PARENTS = H36M17.parents or ()
SIZES = ["hidden=8", "z=4", "sampler_hidden=8", "base_dim=4", "bases=5", "dct_n=8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the format of cmu17 with a few clips of a waving figure."""
    folder = tmp_path_factory.mktemp("motion")
    rng = np.random.default_rng(0)
    pose = np.zeros((17, 3))
    pose[:, 2] = [1, 1, 0.55, 0.1, 1, 0.55, 0.1, 1.25, 1.5, 1.6, 1.75, 1.5, 1.25, 1, 1.5, 1.25, 1]
    pose[[1, 2, 3, 14, 15, 16], 0], pose[[4, 5, 6, 11, 12, 13], 0] = 0.15, -0.15
    for split, lengths in (("train", (180, 140, 126)), ("test", (130, 160))):
        joints = []
        for n in lengths:
            t = np.arange(n)[:, None, None] / 50
            joints.append(pose + 0.1 * np.sin(2 * np.pi * (t * rng.uniform(0.3, 1, (1, 17, 1)) + rng.random((1, 17, 3)))))
        np.savez(
            folder / f"{split}.npz", pos_mm=(1000 * np.concatenate(joints)).astype(np.int16),
            start=np.cumsum([0, *lengths[:-1]]).astype(np.int32), length=np.array(lengths, np.int32),
            action=np.array(["wave", "wave", "walk"][: len(lengths)]), name=np.array([f"c{i}" for i in range(len(lengths))]),
        )  # fmt: skip
    return folder


def sampler(data: Path, **changes: object) -> WindowSampler:
    return WindowSampler(root_relative(load_clips(data, "train")), 25, 100, Augmentation(**changes), seed=3)  # type: ignore[arg-type]


def test_batches_are_addressed_by_seed_and_step(data: Path) -> None:
    windows = sampler(data)
    clean, observed = windows.batch(6, 4)
    assert clean.shape == (6, 125, 17, 3) and observed.shape == (6, 25, 17, 3)
    again, _ = sampler(data).batch(6, 4)
    other, _ = windows.batch(6, 5)
    assert np.array_equal(clean, again) and not np.array_equal(clean, other)
    assert np.abs(clean[:, :, 0]).max() == 0 and np.abs(observed[:, :, 0]).max() == 0


def test_noise_is_on_the_history_only_and_can_be_switched_off(data: Path) -> None:
    clean, observed = sampler(data, noise_m=(0.01, 0.01)).batch(40, 0)
    noise = observed - clean[:, :25]
    assert 0.004 < noise.std() < 0.02
    assert noise[..., 2].std() > 1.3 * noise[..., 0].std()  # depth errs more
    clean, observed = sampler(data, noise_m=(0.0, 0.0)).batch(4, 0)
    assert np.array_equal(observed, clean[:, :25])


def test_bones_stay_rigid_and_symmetric_under_augmentation(data: Path) -> None:
    windows = sampler(data, noise_m=(0.0, 0.0), speed=0.0)
    rigid = windows.clips.joints.copy()
    rigid[:] = rigid[0]
    still = WindowSampler(type(windows.clips)(rigid, *[getattr(windows.clips, k) for k in ("start", "length", "action", "name")]),
                          25, 100, windows.augmentation, 1)  # fmt: skip
    clean, _ = still.batch(8, 0)
    lengths = np.linalg.norm(clean[:, :, 1:] - clean[:, :, list(PARENTS[1:])], axis=-1)
    assert np.ptp(lengths, axis=1).max() < 1e-5
    left, right = [j - 1 for j in H36M17.left], [j - 1 for j in H36M17.right]
    source = np.linalg.norm(rigid[0, 1:] - rigid[0, list(PARENTS[1:])], axis=-1)
    swapped = source[[H36M17.mirror[j + 1] - 1 for j in range(16)]]
    ratio = np.minimum(np.abs(lengths[:, 0] / source - 1), np.abs(lengths[:, 0] / swapped - 1))
    assert ratio.max() < 0.22  # 1.1 * 1.1 at most
    assert len(left) == len(right)


def test_level_camera_sees_the_head_above_and_a_high_one_sees_it_nearer() -> None:
    zero = np.zeros(1)
    up = np.array([0.0, 0.0, 1.0])
    assert np.allclose(camera_rotation(zero, zero, zero)[0] @ up, [0, -1, 0], atol=1e-6)
    assert (camera_rotation(zero, np.full(1, 0.5), zero)[0] @ up)[2] < -0.4


def test_correlated_noise_has_the_asked_size_and_memory() -> None:
    rng = np.random.default_rng(0)
    noise = correlated_noise((200, 50, 4, 3), np.full(200, 0.02), np.full(200, 0.8), rng)
    assert noise.std() == pytest.approx(0.02, rel=0.02)
    assert np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1] == pytest.approx(0.8, abs=0.02)


def test_fitted_extension_continues_a_straight_line_and_stands_still() -> None:
    rng = np.random.default_rng(0)
    speed, place = rng.normal(0, 0.01, (400, 48, 1)), rng.normal(0, 0.5, (400, 48, 1))
    line = torch.tensor(place + speed * np.arange(30), dtype=torch.float32)
    extension = fit_extension(line, line[..., :10])
    assert torch.allclose(extension.sum(1), torch.ones(16, 30), atol=1e-5)
    predicted = torch.matmul(line[..., :10].unflatten(1, (16, 3)), extension).flatten(1, 2)
    naive = (line[..., -1] - line[..., 9]).abs().mean()
    assert (predicted - line)[..., -1].abs().mean() < 0.05 * naive


def test_prepare_turns_both_by_the_observed_body(data: Path) -> None:
    clean, observed = sampler(data).batch(3, 0)
    gt, history = prepare(clean, observed, canonical=True)
    plain, _ = prepare(clean, observed, canonical=False)
    assert gt.shape == (3, 48, 125) and history.shape == (3, 48, 25)
    assert torch.allclose(gt.norm(dim=1), plain.norm(dim=1), atol=1e-4)


def run(data: Path, out: Path, stage: int, epochs: int, *more: str) -> None:
    argv = ["--stage", str(stage), "--data", str(data), "--out", str(out), "--samples", "16", "--batch", "8", "--k", "3"]
    assert train([*argv, "--epochs", str(epochs), "--fixed", "1", "--size", *SIZES, *more]) == 0


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    run(data, out, 1, 2)
    run(data, out, 2, 2)
    return out


def test_both_stages_leave_logs_and_checkpoints_that_load_safely(trained: Path) -> None:
    for stage in (1, 2):
        rows = list(csv.DictReader((trained / f"stage{stage}.csv").open()))
        assert [row["epoch"] for row in rows] == ["1", "2"]
        assert all(np.isfinite(float(value)) for row in rows for value in row.values())
        values = checkpoint.load(trained / f"stage{stage}.pt", ("model", "optimizer", "basis"))
        assert values["epoch"] == 2 and values["kind"] == f"dhmp-stage{stage}"
    first, second = load_networks(trained / "stage1.pt"), load_networks(trained / "stage2.pt")
    assert first.sampler is None and second.sampler is not None
    for a, b in zip(first.cvae.state_dict().values(), second.cvae.state_dict().values(), strict=True):
        assert torch.equal(a, b)  # stage 2 leaves the CVAE alone, its running statistics included


@pytest.mark.parametrize("stage", [1, 2])
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(data: Path, trained: Path, tmp_path: Path, stage: int) -> None:
    (tmp_path / "stage1.pt").write_bytes((trained / "stage1.pt").read_bytes())
    argv = ["--stage1", str(trained / "stage1.pt")]
    run(data, tmp_path / "part", stage, 1, *argv)
    values = checkpoint.load(tmp_path / "part" / f"stage{stage}.pt")
    assert values["epoch"] == 1
    run(data, tmp_path / "part", stage, 2, "--resume", *argv)
    got = checkpoint.load(tmp_path / "part" / f"stage{stage}.pt")
    want = checkpoint.load(trained / f"stage{stage}.pt")
    assert all(torch.equal(got["model"][key], want["model"][key]) for key in want["model"])


def test_eight_windows_are_learned(data: Path, tmp_path: Path) -> None:
    """Stage 1 on one batch over and over: the loss falls to a fifth, the reconstruction by a quarter."""
    argv = ["--stage", "1", "--data", str(data), "--out", str(tmp_path), "--batch", "8", "--samples", "8", "--epochs", "1", "--lr", "3e-3"]
    trainer, batches = start(_arguments([*argv, "--fixed", "1", "--size", "hidden=32", "z=8", "dct_n=8"]))
    clean, observed = next(iter(batches.epoch(0, 0)))
    trainer.network.train()
    terms = [trainer.train_step(clean, observed, SeededDraws(step)) for step in range(120)]
    assert terms[-1]["all"] < terms[0]["all"] / 5
    assert terms[-1]["recons"] < 0.75 * terms[0]["recons"]


def test_evaluation_reports_every_figure(data: Path, trained: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    assert evaluate(["--model", str(trained / "stage2.pt"), "--data", str(data), "--k", "5", "--json", str(target)]) == 0
    report = json.loads(target.read_text())["clean history"]
    assert report["windows"] == 3
    assert report["ade_m"]["1"] >= report["ade_m"]["5"] > 0
    assert report["with_similar_past"] <= 3 and set(report["by_action"]) == {"wave"}
    assert set(report["error_mm"]["zero velocity"]) == {"80", "160", "320", "400", "560", "1000", "2000"}
    assert report["bone_length_error_percent"] < 60
