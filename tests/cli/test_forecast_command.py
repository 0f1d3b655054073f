"""`pose-rt forecast`: the bundled forecaster on motion in files."""

from pathlib import Path

import av
import numpy as np
import pytest

from pose_rt.cli.app import run


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a standing figure that swings its arms, 30 frames a second, z up, millimetres."""
    pose = np.zeros((17, 3))
    pose[:, 2] = [1, 1, 0.55, 0.1, 1, 0.55, 0.1, 1.25, 1.5, 1.6, 1.75, 1.5, 1.25, 1, 1.5, 1.25, 1]
    pose[[1, 2, 3, 14, 15, 16], 0], pose[[4, 5, 6, 11, 12, 13], 0] = -0.15, 0.15
    joints = np.repeat(pose[None], 31, 0)
    joints[:, [13, 16], 1] += 0.2 * np.sin(np.arange(31) / 5)[:, None] * [1, -1]
    path = tmp_path_factory.mktemp("motion") / "swing.npz"
    np.savez(path, pos_mm=1000 * joints, fps=30)
    return path


def forecast(motion: Path, out: Path, *more: str) -> int:
    return run(["forecast", str(motion), "--out", str(out), "--futures", "5", "--horizon", "1.0", *more])


def test_futures_are_reproducible_and_plausible(motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert forecast(motion, tmp_path / "a.npz") == 0
    said = capsys.readouterr().err
    assert "resampled to 50" in said and "5 futures of 1 s" in said
    assert forecast(motion, tmp_path / "b.npz", "-q") == 0 and forecast(motion, tmp_path / "c.npz", "-q", "--seed", "1") == 0
    assert capsys.readouterr().err == ""
    a, b, c = (np.load(tmp_path / f"{n}.npz", allow_pickle=False) for n in "abc")
    assert a["futures_m"].shape == (1, 5, 50, 17, 3) and a["history_m"].shape == (1, 25, 17, 3)
    assert a["at_s"] == pytest.approx([1.0]) and float(a["fps"]) == 50
    np.testing.assert_array_equal(a["futures_m"], b["futures_m"])
    assert not np.array_equal(a["futures_m"], c["futures_m"])
    first_step = np.linalg.norm(a["futures_m"][0, :, 0] - a["history_m"][0, -1], axis=-1)
    assert first_step.max() < 0.08  # metres in 20 ms: nobody jumps
    assert a["futures_m"][0, :, :, 10, 1].mean() < -0.4  # the head stays over the pelvis, y down


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_film_shows_past_and_futures(motion: Path, tmp_path: Path, suffix: str) -> None:
    film = tmp_path / f"film{suffix}"
    assert forecast(motion, tmp_path / "a.npz", "-q", "--horizon", "0.2", "--render", str(film)) == 0
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(frames) == (35 if suffix == ".mp4" else 18)
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 50


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--futures", "0"], 2, "wanted at least 1"),
        (["--horizon", "3"], 2, "at most 2 s"),
        (["--at", "0.2"], 1, "wants 0.48 s"),
        (["--at", "5"], 1, "nothing at 5.00 s"),
        (["--person", "3"], 2, "nobody in the file"),
        (["--up", "x"], 2, "wanted one of"),
        (["--model", "none.onnx"], 2, "does not exist"),
        (["--model", "lifter_s"], 1, "not a forecaster"),
        (["--render", "film.txt"], 2, "ends in"),
    ],
)  # fmt: skip
def test_bad_calls_get_one_sentence(
    motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert forecast(motion, tmp_path / "a.npz", *arguments) == code
    said = capsys.readouterr().err.strip()
    assert message in said and len(said.splitlines()) == 1
    assert not (tmp_path / "a.npz").exists()


def test_outputs_are_not_replaced_unasked(motion: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    out.write_bytes(b"mine")
    assert forecast(motion, out) == 1 and out.read_bytes() == b"mine"
    assert forecast(motion, out, "-q", "--overwrite") == 0 and out.stat().st_size > 100
