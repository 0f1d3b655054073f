"""The published data files: converted once, read safely, cut and lifted rightly; every defect of the published code has its test."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

from pose_rt.core.camera import project  # noqa: E402
from pose_rt.core.skeleton import COCO17, H36M17, MPI17  # noqa: E402
from pose_rt.errors import InputError, UsageError  # noqa: E402
from pose_rt.models.d3dp import D3DP, MixSTE, MixSTEConfig  # noqa: E402
from tests.training.published_files import random_3dhp, random_h36m  # noqa: E402
from training.common import checkpoint  # noqa: E402
from training.d3dp import draw, evaluate, train  # noqa: E402
from training.d3dp.config import published  # noqa: E402
from training.d3dp.datasets import lifter_of  # noqa: E402
from training.d3dp.load import load_lifter  # noqa: E402
from training.d3dp.protocol import Protocol, lift_recording, seeded  # noqa: E402
from training.d3dp.tables import h36m_table, lift_h36m, live_rows, mpi_table  # noqa: E402
from training.data import convert, h36m, mpi3dhp  # noqa: E402
from training.data.chunks import Chunks, ChunkStream  # noqa: E402
from training.data.recordings import DataSet, Recording, thin_out  # noqa: E402
from training.data.store import open_store, write_store  # noqa: E402
from training.data.unpickle import object_arrays  # noqa: E402

SMALL = ["--frames", "9", "--width", "16", "--depth", "2", "--heads", "4", "--threads", "1", "--no-tensorboard"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both data sets in their published formats, converted; recordings shorter than the window and of one frame among them."""
    path = tmp_path_factory.mktemp("data")
    random_h36m(path, {"S1": {"Walking 1": 20, "Eating": 12}, "S9": {"Walking": 20, "Eating 1": 5}, "S11": {"Walking": 1}})
    random_3dhp(path, {"S1 Seq1": 20, "S2 Seq2": 7}, {"TS1": 20, "TS5": 12})
    assert convert.main([str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def small() -> MixSTE:
    torch.manual_seed(0)
    return MixSTE(MixSTEConfig(9, 16, 2, 4)).eval()


# --- the converter ---------------------------------------------------------------------------------------------------------


def test_the_converted_arrays_are_the_published_ones(folder: Path) -> None:
    original = object_arrays(folder / "data_3d_h36m.npz", ("positions_3d",))["positions_3d"]
    store = open_store(folder / "data_3d_h36m.arrays")
    assert store.names == [f"{s}/{a}" for s, actions in original.items() for a in actions]
    np.testing.assert_array_equal(store["S9/Eating 1"], original["S9"]["Eating 1"])
    assert store["S9/Walking"].dtype == np.float32
    assert isinstance(store["S9/Walking"].base, np.ndarray)
    assert not store["S9/Walking"].flags.writeable
    assert set(store.digests) == {"data_3d_h36m.arrays/float32.npy", "data_3d_h36m.npz"}


def test_the_converter_warns_of_pickles(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert.main([str(folder)])
    said = " ".join(capsys.readouterr().err.split())
    assert "a pickle from a stranger can carry code" in said
    assert "is there already" in said


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (__import__("os").system, ("touch pickle_was_run",))


def test_a_pickle_that_carries_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=np.array({"S1": _Evil()}, object))
    assert convert.main([str(tmp_path)]) == 1
    assert "system, which no array needs" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "pickle_was_run").exists()
    assert not list(tmp_path.glob("*.arrays"))


def test_wrong_files_get_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "data_3d_h36m.npz", something=np.zeros(3))
    assert convert.main([str(tmp_path)]) == 1
    assert "has no entry positions_3d" in " ".join(capsys.readouterr().err.split())
    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=np.array({"S1": {"Walking": np.zeros((4, 17, 3))}}, object))
    assert convert.main([str(tmp_path)]) == 1
    assert "wanted (None, 32, 3)" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "data_3d_h36m.npz").write_text("no archive")
    assert convert.main([str(tmp_path)]) == 1
    assert convert.main([str(tmp_path / "nothing")]) == 2
    assert not list(tmp_path.glob(".*part*"))


def test_a_store_that_was_cut_short_is_noticed(tmp_path: Path) -> None:
    write_store(tmp_path / "x.arrays", [("a", np.arange(6.0)), ("b", np.arange(4))], {"sources": []})
    np.save(tmp_path / "x.arrays" / "float64.npy", np.arange(3.0))
    with pytest.raises(InputError, match=r"float64\.npy ends before a"):
        open_store(tmp_path / "x.arrays")


# --- the loaders -----------------------------------------------------------------------------------------------------------


def test_missing_and_unconverted_files_say_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data_3d_h36m\.npz: no such file; get it from VideoPose3D .* put it into"):
        h36m.load(tmp_path, ("S1",))
    with pytest.raises(InputError, match=r"data_test_3dhp_ori\.npz: no such file; get it from P-STMO"):
        mpi3dhp.load_test(tmp_path)
    random_h36m(tmp_path, {"S1": {"Walking": 3}})
    with pytest.raises(InputError, match=r"run: python -m training\.data\.convert"):
        h36m.load(tmp_path, ("S1",))


def test_h36m_is_seen_by_its_four_cameras(folder: Path) -> None:
    """Loading twice gives the same (the published loader breaks a shared skeleton); root-relative joints plus the root are the camera's."""
    first, again = (h36m.load(folder, ("S9",)) for _ in range(2))
    assert [r.name for r in first.recordings[:4]] == [f"S9/Walking/{c.name}" for c in h36m.cameras("S9")]
    for a, b in zip(first.recordings, again.recordings, strict=True):
        np.testing.assert_array_equal(a.pose, b.pose)
    assert (first.skeleton_in, first.rate_hz, len(first.recordings)) == (H36M17, 50.0, 8)
    recording = first.recordings[0]
    assert recording.pose.shape == (20, 17, 3)
    assert recording.xy.shape == (20, 17, 2)  # the keypoints' extra frame is gone
    camera = h36m.cameras("S9")[0]
    assert camera.size == (1000, 1002)
    middle = project(np.array([0.0, 0.0, 3.0], np.float32), camera.intrinsics)
    np.testing.assert_allclose(middle, camera.intrinsics[2:4])


def test_coco_keypoints_are_known_by_their_symmetry_and_lose_their_confidence(tmp_path: Path) -> None:
    random_h36m(tmp_path, {"S9": {"Walking": 4}}, layout=COCO17)
    convert.main([str(tmp_path)])
    data = h36m.load(tmp_path, ("S9",), "detectron_pt_coco")
    assert (data.skeleton_in, data.skeleton_out) == (COCO17, H36M17)
    recording = data.recordings[0]
    from training.data.recordings import screen

    with_score = np.concatenate([recording.xy, np.ones((4, 17, 1), np.float32)], -1)
    assert screen(with_score, (1000, 1002)).shape == (4, 17, 2)


def test_3dhp_needs_neither_ragged_arrays_nor_human36m(tmp_path: Path) -> None:
    """Clips of different lengths, and no file of Human3.6M in the folder."""
    random_3dhp(tmp_path, {"S1 Seq1": 20, "S2 Seq2": 7}, {"TS1": 20, "TS6": 12})
    convert.main([str(tmp_path)])
    training, test = mpi3dhp.load_train(tmp_path), mpi3dhp.load_test(tmp_path)
    assert [len(r) for r in training.recordings] == [20, 20, 7, 7]
    assert [(r.name, r.size) for r in test.recordings] == [("TS1", (2048, 2048)), ("TS6", (1920, 1080))]
    assert test.recordings[0].valid is not None
    assert test.recordings[0].valid.tolist() == [i % 5 != 0 for i in range(20)]
    assert 2.0 < np.linalg.norm(training.recordings[0].pose[:, mpi3dhp.ROOT], axis=-1).mean() < 5.0  # metres
    assert Chunks(training, 9).xy.shape[0] == 2 * (3 + 3 + 1 + 1)


def test_numbers_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    random_3dhp(tmp_path, {}, {"TS1": 6})
    bad = object_arrays(tmp_path / "data_test_3dhp_ori.npz", ("data",))["data"]
    bad["TS1"]["data_2d"][2] = np.nan
    np.savez(tmp_path / "data_test_3dhp_ori.npz", data=np.array(bad, object))
    convert.main([str(tmp_path)])
    with pytest.raises(InputError, match="TS1: 2D keypoints are not finite in 1 frames, the first is 2"):
        mpi3dhp.load_test(tmp_path)


def test_a_part_of_a_recording_begins_where_its_length_says() -> None:
    n = 1000
    recording = Recording("S1", "a", "", np.arange(n)[:, None, None] * np.ones((1, 17, 2)), np.zeros((n, 17, 3)), np.zeros(0), (1, 1))
    part = thin_out(recording, 2, 0.5)
    assert len(part) == 250
    start = part.xy[0, 0, 0]
    assert start == 228  # SHA-256 of "1000" gives 0.4571 of the 501 places
    np.testing.assert_array_equal(np.diff(part.xy[:, 0, 0]), 2)


# --- training --------------------------------------------------------------------------------------------------------------


def test_batches_are_the_epochs_of_one_stream(folder: Path) -> None:
    data = h36m.load(folder, ("S1",))
    chunks = Chunks(data, 9)
    stream, other = ChunkStream(chunks, 4), ChunkStream(chunks, 4)
    epoch = [stream(i) for i in range(stream.steps_per_epoch)]
    assert sum(len(xy) for xy, _ in epoch) == len(chunks) == 2 * 4 * (3 + 2)
    later = other(stream.steps_per_epoch + 1)
    np.testing.assert_array_equal(later[0], stream(stream.steps_per_epoch + 1)[0])
    np.testing.assert_array_equal(other(0)[1], epoch[0][1])  # back again
    assert not torch.equal(later[0], epoch[1][0])
    sums = sorted(float(p.abs().sum()) for p in chunks.pose)
    np.testing.assert_allclose(sums[::2], sums[1::2], rtol=1e-6)  # every chunk and its mirror image
    assert not chunks.pose[:, :, 0].any()


@pytest.mark.parametrize(("dataset", "more"), [("h36m", ["--subjects-train", "S1"]), ("3dhp", [])])
def test_training_evaluation_and_drawing_run_to_the_end(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], dataset: str, more: list[str]
) -> None:
    """The published script dies after training, looking for a file it never wrote; here the best epoch is there and is measured."""
    out = tmp_path / "run"
    data = ["--dataset", dataset, "--data", str(folder), *more]
    assert train.main([*data, "--out", str(out), "--epochs", "2", "--batch", "8", "--keep-every", "1", *SMALL]) == 0
    assert {"best.pt", "last.pt", "epoch_1.pt", "epoch_2.pt", "log.csv", "run.json"} <= {p.name for p in out.iterdir()}
    run = json.loads((out / "run.json").read_text())
    assert run["config"]["dataset"] == dataset
    assert any(name.endswith(".npz") for name in run["data_sha256"])
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert len(rows) == 2
    assert all(float(r["loss_mm"]) > 0 and float(r["p_best_mm"]) > 0 for r in rows)
    files = ["--json", str(tmp_path / "e.json"), "--csv", str(tmp_path / "e.csv")]
    assert evaluate.main(["--checkpoint", str(out / "best.pt"), *data, "-H", "2", "-K", "2", "--p2", "--mat", str(tmp_path), *files]) == 0
    assert "average" in capsys.readouterr().out
    results = json.loads((tmp_path / "e.json").read_text())
    assert results["H"] == results["K"] == 2
    assert len(list(csv.reader((tmp_path / "e.csv").open()))) > 20
    assert evaluate.main(["--checkpoint", str(out / "best.pt"), *data, "-H", "2", "-K", "1", "--protocol", "live", *files]) == 0
    live = json.loads((tmp_path / "e.json").read_text())["live"]
    assert [row["lookahead"] for row in live] == [0, 3]
    assert (
        draw.main(["--checkpoint", str(out / "last.pt"), *data, "-H", "2", "-K", "1", "--side", "96", "--out", str(tmp_path / "x.mp4")])
        == 0
    )
    assert draw.main(["--checkpoint", str(out / "last.pt"), *data, "-H", "2", "-K", "1", "--side", "96", "--out", str(tmp_path / "p")]) == 0
    assert [p.name for p in sorted((tmp_path / "p").iterdir())] == ["000000.png", "000005.png", "000010.png", "000015.png"]
    assert (tmp_path / "x.mp4").stat().st_size > 1000


def test_no_eval_and_resume(folder: Path, tmp_path: Path) -> None:
    """``--no-eval`` crashes the published script; a resumed run is the uninterrupted one."""
    data = ["--dataset", "h36m", "--data", str(folder), "--subjects-train", "S1", "--no-eval", "--batch", "8", *SMALL]
    assert train.main([*data, "--out", str(tmp_path / "whole"), "--epochs", "3"]) == 0
    assert train.main([*data, "--out", str(tmp_path / "parts"), "--epochs", "1"]) == 0
    assert train.main([*data, "--out", str(tmp_path / "parts"), "--epochs", "3", "--resume"]) == 0
    one, two = (checkpoint.load(tmp_path / name / "last.pt")["weights"] for name in ("whole", "parts"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    rows = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("whole", "parts")]
    assert [r.split(",")[3] for r in rows[0]] == [r.split(",")[3] for r in rows[1]]


def test_eight_clips_are_learned(folder: Path) -> None:
    """200 steps on eight clips cut the loss by five."""
    from dataclasses import replace

    from training.d3dp.trainer import Trainer

    rng = np.random.default_rng(0)
    made = []
    for i in range(8):
        pose = np.repeat(rng.normal(0, 0.4, (1, 17, 3)), 9, 0).astype(np.float32)
        made.append(Recording("S1", str(i), "", pose[..., :2] + np.float32(0.1 * i), pose, np.zeros(0, np.float32), (1, 1)))
    chunks = Chunks(DataSet("made", made, H36M17, H36M17, 0, 50.0), 9, mirror=False)
    config = replace(published(9, 64, 1), lr=3e-3, weight_decay=0.0, batch=8, lr_decay=None, epochs=None, steps=200, drop_path=0.0)
    trainer, stream = Trainer(config), ChunkStream(chunks, 8)
    losses = [trainer.train_step(*stream(i)) for i in range(200)]
    assert np.mean(losses[-10:]) < np.mean(losses[:3]) / 5, (losses[0], losses[-1])


@pytest.mark.parametrize(
    ("arguments", "code", "match"),
    [
        (["--frames", "0"], 2, "frames: got 0"),
        (["--subjects-train", "S77"], 1, "has no subject S77"),
        (["--actions", "Flying"], 1, "no recording of h36m begins with 'Flying'"),
        (["--keypoints", "none"], 1, "data_2d_h36m_none.npz: no such file"),
        (["--resume"], 1, "no such checkpoint"),
    ],
)
def test_bad_settings_are_a_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, match: str
) -> None:
    command = ["--dataset", "h36m", "--data", str(folder), "--subjects-train", "S1", *SMALL, "--out", str(tmp_path), *arguments]
    assert train.main(command) == code
    assert match in " ".join(capsys.readouterr().err.split())


def test_a_checkpoint_of_another_size_names_the_tensor(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--dataset", "h36m", "--data", str(folder), "--subjects-train", "S1", "--no-eval", *SMALL, "--out", str(tmp_path)]
    assert train.main([*data, "--epochs", "1"]) == 0
    assert train.main([*data, "--resume", "--width", "32"]) == 1
    assert "tensor Spatial_pos_embed is (1, 17, 16), wanted (1, 17, 32)" in " ".join(capsys.readouterr().err.split())


# --- evaluation ------------------------------------------------------------------------------------------------------------


def test_clips_shorter_than_the_window_are_put_together_rightly(folder: Path, small: MixSTE) -> None:
    """The published code takes the last frames of the padded window; a network that only sees single frames shows which frames came."""
    config = published(9, 16, 2)
    recording = h36m.load(folder, ("S9",)).select("Eating").recordings[0]
    assert len(recording) == 5

    def echo(xy: torch.Tensor, noisy: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return torch.cat([xy, torch.zeros_like(xy[..., :1])], -1)

    lifter = lifter_of(small, config)
    object.__setattr__(lifter, "network", echo)
    lifted = lift_recording(lifter, recording, 9, Protocol(1, 1, 4, flip=False), seeded(0))
    want = np.concatenate([recording.xy, np.zeros((5, 17, 1))], -1)
    want[:, 0] = 0.0
    np.testing.assert_allclose(lifted.poses["P_Agg"][0], want, atol=1e-6)


def test_a_recording_of_one_frame_is_measured(folder: Path, small: MixSTE) -> None:
    recording = h36m.load(folder, ("S11",)).recordings[0]
    lifted = lift_recording(lifter_of(small, published(9, 16, 2)), recording, 9, Protocol(2, 2, aligned=True), seeded(0))
    assert lifted.poses["J_Agg"].shape == (2, 1, 17, 3)
    assert lifted.velocity == {}
    assert np.isfinite(lifted.errors["p2"]["J_Agg"]).all()


def test_p_best_does_not_depend_on_the_batch_unless_asked(folder: Path, small: MixSTE) -> None:
    recording = h36m.load(folder, ("S1",)).recordings[0]
    lifter = lifter_of(small, published(9, 16, 2))
    noise = np.random.default_rng(0).standard_normal((3, 6, 9, 17, 3)).astype(np.float32)

    def error(batch: int, scope: str) -> float:
        place = iter(range(0, 3, batch))
        lifted = lift_recording(
            lifter, recording, 9, Protocol(6, 1, batch, scope), lambda shape: noise[(first := next(place)) : first + shape[0]]
        )  # type: ignore[arg-type]
        return float(lifted.errors["p1"]["P_Best"][0])

    assert error(1, "window") == pytest.approx(error(3, "window"), rel=1e-6)
    assert error(3, "batch") > error(1, "batch") * (1 + 1e-6)


def test_selections_keep_their_order_and_average_over_actions(folder: Path, small: MixSTE) -> None:
    data = h36m.load(folder, ("S9", "S11"))
    lifted = lift_h36m(lifter_of(small, published(9, 16, 2)), data, 9, Protocol(4, 2, aligned=True), seeded(0))
    table = h36m_table(lifted)
    assert list(table) == ["Walking", "Eating", "average"]
    for number in ("p1", "p2"):
        t = table["average"][number]
        assert (t["J_Best"] <= t["P_Best"] + 1e-9).all()
        assert (t["J_Best"] <= t["J_Agg"] + 1e-9).all()
        np.testing.assert_allclose(t["P_Agg"], (table["Walking"][number]["P_Agg"] + table["Eating"][number]["P_Agg"]) / 2)
    assert table["average"]["velocity"]["P_Agg"].shape == (2,)


def test_3dhp_counts_valid_frames_and_writes_the_four_files(folder: Path, tmp_path: Path, small: MixSTE) -> None:
    """Sequences shorter than a window are written too, and no frame that is not valid counts (the published script mixes them in)."""
    from dataclasses import replace

    from scipy.io import loadmat

    lifter = lifter_of(small, published(9, 16, 2, dataset="3dhp"))
    data = mpi3dhp.load_test(folder)
    short = replace(data, recordings=[data.recordings[0], thin_out(data.recordings[1], 3)])
    table = mpi_table(lifter, short, 9, Protocol(2, 2), seeded(0), mat_folder=tmp_path)
    shapes = {name: loadmat(tmp_path / f"inference_data_{name}.mat")["TS5"].shape for name in ("P_Agg", "P_Best", "J_Best", "J_Agg")}
    assert set(shapes.values()) == {(3, 17, 4, 2)}
    assert loadmat(tmp_path / "inference_data_P_Agg.mat")["TS1"].shape == (3, 17, 20, 2)
    assert not loadmat(tmp_path / "inference_data_J_Agg.mat")["TS1"][:, 14].any()
    spoiled = [replace(r, pose=np.where(np.asarray(r.valid)[:, None, None], r.pose, np.float32(99))) for r in short.recordings]
    again = mpi_table(lifter, replace(short, recordings=spoiled), 9, Protocol(2, 2), seeded(0))
    for sequence in ("TS1", "TS5", "average", "all"):
        np.testing.assert_allclose(table[sequence]["P_Agg"]["mpjpe"], again[sequence]["P_Agg"]["mpjpe"])
    np.testing.assert_allclose(table["average"]["P_Agg"]["pck"], (table["TS1"]["P_Agg"]["pck"] + table["TS5"]["P_Agg"]["pck"]) / 2)


def test_3dhp_by_activity_where_the_labels_are_there(folder: Path, small: MixSTE) -> None:
    from dataclasses import replace

    lifter = lifter_of(small, published(9, 16, 2, dataset="3dhp"))
    data = mpi3dhp.load_test(folder)
    labelled = replace(data, recordings=[replace(r, activity=1 + np.arange(len(r)) // 10) for r in data.recordings])
    table = mpi_table(lifter, labelled, 9, Protocol(1, 1), seeded(0))
    assert list(table)[-2:] == list(mpi3dhp.ACTIVITIES[:2])


def test_activities_come_from_the_test_sets_own_files(tmp_path: Path) -> None:
    from scipy.io import savemat

    random_3dhp(tmp_path, {}, {"TS1": 6})
    (tmp_path / "TS1").mkdir()
    savemat(tmp_path / "TS1" / "annot_data.mat", {"activity_annotation": np.arange(1, 7)[:, None]})
    convert.main([str(tmp_path)])
    activity = mpi3dhp.load_test(tmp_path).recordings[0].activity
    assert activity is not None
    assert activity.tolist() == [1, 2, 3, 4, 5, 6]


def test_live_looks_at_the_end_of_the_window(folder: Path, small: MixSTE) -> None:
    data = h36m.load(folder, ("S9",))
    lifter = lifter_of(small, published(9, 16, 2))
    rows = live_rows(lifter, data, 9, Protocol(2, 1), seeded(0), (0, 4), stride=3)
    assert [(r["lookahead"], r["delay_ms"]) for r in rows] == [(0, 0.0), (4, 80.0)]
    assert {"P_Agg", "J_Agg", "P_Best", "J_Best"} <= set(rows[0])
    with pytest.raises(InputError, match="wanted 0 to 8"):
        live_rows(lifter, data, 9, Protocol(2, 1), seeded(0), (9,), stride=3)


@pytest.mark.parametrize(("h", "k", "match"), [(0, 1, "-H: got 0"), (1, 0, "-K: got 0"), (1, 1001, "wanted 1 to 1000")])
def test_impossible_settings_are_refused(h: int, k: int, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Protocol(h, k).check(1000)


def test_a_model_for_other_joints_is_refused(folder: Path, small: MixSTE) -> None:
    with pytest.raises(InputError, match="the data have keypoints in mpi17 order, the model was trained with h36m17"):
        mpi_table(lifter_of(small, published(9, 16, 2)), mpi3dhp.load_test(folder), 9, Protocol(1, 1), seeded(0))
    assert MPI17.mirror[5] == 2


def test_a_published_checkpoint_is_measured(tmp_path: Path) -> None:
    model = D3DP(MixSTEConfig(9, 16, 2, 8))
    values = {
        "epoch": 3, "lr": 6e-5, "random_state": np.random.RandomState(3),
        "model_pos": {f"module.{key}": value for key, value in model.state_dict().items()},
    }  # fmt: skip
    torch.save(values, tmp_path / "h36m_best_epoch.bin")
    lifter, config = load_lifter(tmp_path / "h36m_best_epoch.bin")
    assert (config.frames, config.width, config.depth, config.input) == (9, 16, 2, "screen")
    assert isinstance(lifter.network, MixSTE)
    torch.testing.assert_close(lifter.network.head[1].weight, model.pose_estimator.head[1].weight)
    mpi, _ = load_lifter(tmp_path / "h36m_best_epoch.bin", dataset="3dhp")
    assert (mpi.skeleton_out, mpi.root) == (MPI17, 14)


def test_the_bundled_lifter_is_measured(folder: Path) -> None:
    lifter, config = load_lifter("lifter_s")
    assert (config.frames, config.input, config.unit_m) == (9, "view", 1.25)
    xy = np.random.default_rng(0).normal(0, 0.5, (2, 9, 17, 2)).astype(np.float32)
    assert lifter.hypotheses(xy, 2, 2, np.random.default_rng(0)).shape == (2, 2, 9, 17, 3)
    with pytest.raises(InputError, match="not a lifter"):
        load_lifter("forecaster_s")
