"""`pose-rt complete`, `denoise` and `generate poses` with the bundled prior, and `video --complete`."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pose_rt.cli.app import run
from pose_rt.core.skeleton import BLAZEPOSE33, H36M17
from pose_rt.io.motion import read_motion
from pose_rt.io.sinks import JsonlSink, RunInfo
from tests.io.packets import BODY_M, lost_leg_packet

FRAMES = 12


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of a person who stands in camera axes; the left wrist is unknown for three frames."""
    joints = np.repeat(BODY_M[None], FRAMES, 0)
    joints[:, 16, 1] += 0.05 * np.sin(np.arange(FRAMES))
    joints[4:7, 13] = np.nan
    path = tmp_path_factory.mktemp("motion") / "standing.npz"
    np.savez(path, joints_m=joints, fps=25.0)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pose-rt video` saves of such a person, whose left ankle is under the picture in the last frames."""
    path = tmp_path_factory.mktemp("saved") / "run.jsonl"
    camera = {"focal_px": 300.0, "cx": 160.0, "cy": 120.0, "how": "given"}
    sink = JsonlSink(path, RunInfo("clip.mp4", Fraction(25), 320, 240, BLAZEPOSE33, H36M17, camera))
    for index in range(6):
        sink.write(lost_leg_packet(index))
    sink.close()
    return path


def complete(source: Path, out: Path, *more: str) -> int:
    return run(["complete", str(source), "--out", str(out), "--hypotheses", "6", "--steps", "4", *more])


def test_unknown_joints_are_filled_in_and_marked(motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert complete(motion, tmp_path / "a.npz") == 0
    assert "3 joints in 3 of 12 frames" in capsys.readouterr().err
    done = np.load(tmp_path / "a.npz", allow_pickle=False)
    assert done["hypotheses_m"].shape == (FRAMES, 6, 17, 3) and np.isfinite(done["joints_m"]).all()
    assert done["provenance"].sum() == 3 and (done["provenance"][4:7, 13] == 1).all()
    assert (done["sigma_m"][4:7, 13] > 0).all()
    assert np.linalg.norm(done["joints_m"][4:7, 13] - BODY_M[13], axis=-1).max() < 0.15, "it is where it was before and after"
    about = json.loads(str(done["about"]))
    assert about["skeleton"] == "h36m17" and about["missing"] == "auto"
    assert complete(motion, tmp_path / "b.npz") == 0
    np.testing.assert_array_equal(done["joints_m"], np.load(tmp_path / "b.npz", allow_pickle=False)["joints_m"])
    again = read_motion(tmp_path / "a.npz")
    assert len(again) == 1 and again[0].joints_m.shape == (FRAMES, 17, 3)


def test_joints_that_are_named_are_made_anew(motion: Path, tmp_path: Path) -> None:
    film, room = tmp_path / "film.mp4", tmp_path / "room.rrd"
    more = ["--missing", "right_leg,13", "--render", str(film)]
    rerun = pytest.importorskip("importlib.util").find_spec("rerun") is not None
    assert complete(motion, tmp_path / "a.npz", *more, *(["--save-rerun", str(room)] if rerun else [])) == 0
    done = np.load(tmp_path / "a.npz", allow_pickle=False)
    assert (done["provenance"].sum(0) == np.isin(np.arange(17), (1, 2, 3, 13)) * FRAMES).all()
    assert film.stat().st_size > 1000 and (not rerun or room.stat().st_size > 1000)
    shin = np.linalg.norm(done["joints_m"][:, 3] - done["joints_m"][:, 2], axis=-1)
    assert 0.2 < shin.mean() < 0.6


def test_a_saved_run_keeps_all_but_the_completed_joints(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "done.jsonl"
    assert complete(saved, out) == 0
    before, after = ([json.loads(line) for line in path.read_text().splitlines()] for path in (saved, out))
    assert after[0]["settings"]["complete"]["completed_by"] == "prior_s"
    for old, new in zip(before[1:], after[1:], strict=True):
        old, new = old["persons"][0], new["persons"][0]
        assert new["kpts2d"] == old["kpts2d"]
        done = [p == "completed" for p in new["provenance"]] if isinstance(new["provenance"], list) else []
        assert done and all(done[j] for j in (4, 5, 6)) and not any(done[11:])
        assert new["sigma3d"][6] > old["sigma3d"][6]


def test_denoising_makes_poses_likelier(motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(BODY_M[None], 40, 0)
    np.savez(tmp_path / "noisy.npz", joints_m=truth + rng.normal(0, 0.08, truth.shape) * (np.arange(17) > 0)[:, None], fps=25.0)
    assert run(["denoise", str(tmp_path / "noisy.npz"), "--out", str(tmp_path / "clean.npz"), "--noise", "80"]) == 0
    assert "40 poses" in capsys.readouterr().err
    noisy, clean = (np.load(tmp_path / f"{n}.npz", allow_pickle=False)["joints_m"] for n in ("noisy", "clean"))
    assert np.linalg.norm(clean - truth, axis=-1).mean() < 0.95 * np.linalg.norm(noisy - truth, axis=-1).mean()
    assert run(["denoise", str(motion), "--out", str(tmp_path / "x.npz")]) == 1
    assert "fill them first: pose-rt complete" in capsys.readouterr().err


def test_generated_poses_repeat_with_their_seed(tmp_path: Path) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        more = ["--picture", str(tmp_path / "a.png")] if name == "a" else []
        out = str(tmp_path / f"{name}.npz")
        assert run(["generate", "poses", "9", "--out", out, "--steps", "6", "--seed", seed, *more]) == 0
    a, b, c = (np.load(tmp_path / f"{n}.npz", allow_pickle=False)["joints_m"] for n in "abc")
    assert a.shape == (9, 17, 3) and (tmp_path / "a.png").stat().st_size > 1000
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--hypotheses", "0"], 2, "--hypotheses is 0, wanted at least 1"),
        (["--steps", "0"], 2, "--steps is 0, wanted at least 1"),
        (["--missing", "left_flipper"], 2, "'left_flipper' is no joint"),
        (["--missing", ",".join(str(j) for j in range(17))], 2, "names every joint"),
        (["--person", "7"], 2, "--person is 7"),
        (["--unit", "furlong"], 2, "--unit is 'furlong'"),
        (["--model", "nothing.onnx"], 2, "wanted an exported prior"),
        (["--model", "lifter_s"], 1, "is not a pose prior"),
    ],
)
def test_mistakes_get_one_sentence(
    motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    out = tmp_path / "a.npz"
    assert run(["complete", str(motion), "--out", str(out), *arguments]) == code
    said = " ".join(capsys.readouterr().err.split())
    assert message in said and not out.exists()


def test_poses_that_cannot_be_completed_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, none, other = tmp_path / "whole.npz", tmp_path / "none.npz", tmp_path / "other.npz"
    np.savez(whole, joints_m=np.repeat(BODY_M[None], 3, 0), fps=25.0)
    np.savez(none, joints_m=np.full((3, 17, 3), np.nan), fps=25.0)
    np.savez(other, joints_m=np.zeros((3, 9, 3)), fps=25.0)
    for path, words in ((whole, "every joint was seen"), (none, "every joint of every frame is unknown"), (other, "17")):
        assert complete(path, tmp_path / "out.npz") in (1, 2)
        assert words in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "out.npz").exists()
    assert complete(whole, tmp_path / "out.jsonl") == 2
    assert "give --out FILE.npz" in capsys.readouterr().err
    assert run(["denoise", str(whole), "--out", str(tmp_path / "o.npz"), "--noise", "-1"]) == 2
    assert "--noise is -1" in capsys.readouterr().err
    assert run(["generate", "poses", "0", "--out", str(tmp_path / "o.npz")]) == 2
    assert "N is 0" in capsys.readouterr().err
