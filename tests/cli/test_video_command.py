"""`pose-rt video` as a user types it: results, and one clear sentence with the right exit code for everything that can go wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pose_rt.cli.app import run

CLIP = Path(__file__).parents[2] / "demos" / "clips" / "woman_walking.mp4"
PART = ["--start", "1.2", "--max-frames", "24"]


def write_clip(path: Path, width: int = 64, height: int = 48, frames: int = 6) -> Path:
    """Grey noise: a valid video with nobody in it."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            picture = rng.integers(100, 140, (height, width, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_real_clip_gives_video_json_and_npz(tmp_path: Path) -> None:
    out, data, arrays = tmp_path / "out.mp4", tmp_path / "out.jsonl", tmp_path / "out.npz"
    args = ["video", str(CLIP), "--out", str(out), "--save-json", str(data), "--save-npz", str(arrays), *PART]
    assert run([*args, "--save-hypotheses", "--save-futures", "--hypotheses", "3", "--futures", "4", "--horizon", "1", "-q"]) == 0
    header, *frames = lines(data)
    assert header["schema"] == "pose-rt/1" and header["fps"] == [30, 1] and header["units"] == {"kpts2d": "px", "kpts3d": "m"}
    assert set(header["models"]) == {"detect", "pose2d", "lift", "forecast"} and header["camera"]["focal_px"] > 0
    assert len(frames) == 24
    seen = [f["persons"][0] for f in frames if f["persons"]]
    assert len(seen) >= 20
    for person in seen:
        pose = np.array(person["kpts3d"])
        assert pose.shape == (17, 3) and np.allclose(pose[0], 0)
        assert 0.5 < pose[3, 1] < 1.2 and pose[10, 1] < -0.4  # y is down: the ankle is below the pelvis, the head above
        assert len(person["spread2d"]) == 33 and len(person["sigma3d"]) == 17 and min(person["sigma3d"]) >= 0
        assert np.array(person["hypotheses"]).shape == (3, 17, 3) and np.array(person["futures"]).shape == (4, 50, 17, 3)
        assert person["root"] is None or person["root"][2] > 0
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.name) == (1280, 448, "h264")
        assert sum(1 for _ in container.decode(video=0)) == 24
    assert np.load(arrays, allow_pickle=False).files


def test_the_same_seed_gives_the_same_file_and_another_does_not(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.jsonl" for i in range(3)]
    for file, seed in zip(files, ("3", "3", "4"), strict=True):
        assert run(["video", str(CLIP), "--save-json", str(file), *PART, "--seed", seed, "--save-hypotheses", "-q"]) == 0
    first, again, other = (lines(f)[1:] for f in files)
    assert first == again
    assert first != other


@pytest.mark.parametrize("lookahead", ["0", "5"])
def test_look_ahead_returns_every_frame(tmp_path: Path, lookahead: str) -> None:
    data = tmp_path / "out.jsonl"
    assert run(["video", str(CLIP), "--save-json", str(data), *PART, "--lookahead", lookahead, "-q"]) == 0
    assert [f["frame"] for f in lines(data)[1:]] == list(range(lines(data)[1]["frame"], lines(data)[1]["frame"] + 24))


def test_nobody_in_view_is_a_good_result(tmp_path: Path) -> None:
    clip, data, out = write_clip(tmp_path / "noise.mp4"), tmp_path / "out.jsonl", tmp_path / "out.mp4"
    assert run(["video", str(clip), "--save-json", str(data), "--out", str(out), "-q"]) == 0
    header, *frames = lines(data)
    assert header["fps"] == [30000, 1001] and len(frames) == 6 and all(f["persons"] == [] for f in frames)
    with av.open(str(out)) as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)


@pytest.mark.parametrize("layout", ["overlay", "side", "3d"])
@pytest.mark.parametrize("no_3d", [[], ["--no-3d"]])
def test_every_layout_with_and_without_3d(tmp_path: Path, layout: str, no_3d: list[str]) -> None:
    out = tmp_path / "out.mp4"
    assert run(["video", str(CLIP), "--out", str(out), "--start", "1.5", "--max-frames", "3", "--layout", layout, *no_3d, "-q"]) == 0
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3


def _missing(folder: Path) -> Path:
    return folder / "no_such.mp4"


def _text(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("this is not a video\n" * 50)
    return path


def _empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.write_bytes(b"")
    return path


def _audio(folder: Path) -> Path:
    path = folder / "audio.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("make", "codes"), [(_missing, {2}), (lambda folder: folder, {2}), (_text, {1}), (_empty, {1}), (_audio, {1})])
def test_bad_input_is_one_sentence_and_leaves_nothing(
    make: Callable[[Path], Path], codes: set[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    source, out = make(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    assert run(["video", str(source), "--out", str(out / "o.mp4"), "--save-json", str(out / "o.jsonl")]) in codes
    error = capsys.readouterr().err
    assert error.startswith("pose-rt: ") and len(error.strip().splitlines()) == 1 and "Traceback" not in error
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "nothing to write"),
        (["--out", "x.mp4", "--layout", "round"], "layout"),
        (["--out", "x.mp4", "--model", "huge"], "huge"),
        (["--out", "x.mp4", "--backend", "magic"], "backend"),
        (["--out", "x.mp4", "--hypotheses", "0"], "hypotheses"),
        (["--out", "x.mp4", "--horizon", "9"], "horizon"),
        (["--out", "x.mp4", "--fov", "60", "--focal", "900"], "--fov and --focal"),
        (["--out", "x.mp4", "--speed", "9"], "--speed"),
        (["--out", "x.mp4", "--max-frames", "0"], "max-frames"),
        (["--out", "x.mp4", "--save-json", "x.mp4"], "same name"),
    ],
)
def test_misuse_is_exit_code_2_and_says_what_was_wanted(
    options: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = write_clip(tmp_path / "in.mp4")
    assert run(["video", str(clip), *options]) == 2
    error = capsys.readouterr().err
    assert says in error and "Traceback" not in error
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_outputs_are_never_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, out = write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    out.write_bytes(b"mine")
    assert run(["video", str(clip), "--out", str(out), "-q"]) == 1
    assert out.read_bytes() == b"mine" and "--overwrite" in capsys.readouterr().err
    assert run(["video", str(clip), "--out", str(out), "--overwrite", "-q"]) == 0
    assert out.stat().st_size > 500


def test_the_input_is_never_the_output(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4")
    before = clip.read_bytes()
    link = tmp_path / "link.mp4"
    os.link(clip, link)
    for out in (clip, link):
        assert run(["video", str(clip), "--out", str(out), "--overwrite", "-q"]) == 2
    assert clip.read_bytes() == before


def test_an_output_folder_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "in.mp4")
    assert run(["video", str(clip), "--out", str(tmp_path / "none" / "o.mp4"), "-q"]) in (1, 2)
    assert "none" in capsys.readouterr().err


def test_an_unavailable_backend_is_an_error_not_a_fallback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        clip = write_clip(tmp_path / "in.mp4")
        assert run(["video", str(clip), "--out", str(tmp_path / "o.mp4"), "--backend", "tensorrt", "-q"]) == 1
        error = capsys.readouterr().err.lower()
        assert "tensorrt" in error or "nvidia" in error
    else:
        pytest.skip("tensorrt is installed here")


def test_a_truncated_clip_is_processed_as_far_as_it_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = CLIP.read_bytes()
    cut, data = tmp_path / "cut.mp4", tmp_path / "o.jsonl"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    code = run(["video", str(cut), "--save-json", str(data), "--no-3d"])
    error = capsys.readouterr().err
    if code == 0:  # the index is at the front of this file
        assert 10 < len(lines(data)) - 1 < 174 and "note:" in error
    else:
        assert code == 1 and "Traceback" not in error


def test_exchanged_sides_that_were_put_right_are_in_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["video", str(CLIP), "--save-json", str(tmp_path / "out.jsonl"), "--start", "4.2", "--max-frames", "20", "--overwrite"]
    assert run([*args, "--repair-swaps"]) == 0
    _, *frames = lines(tmp_path / "out.jsonl")
    repaired = any(person.get("swapped") for frame in frames for person in frame["persons"])
    assert repaired and "were put right" in capsys.readouterr().err
    assert run(args) == 0
    assert "put right" not in capsys.readouterr().err
