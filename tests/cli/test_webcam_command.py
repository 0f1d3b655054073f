"""`pose-rt webcam` as a user types it: a file in place of the camera, and one clear sentence for everything that can go wrong."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from pose_rt.cli.app import run
from pose_rt.cli.views import wanted_views
from pose_rt.errors import UsageError
from pose_rt.io.results import read_jsonl, read_npz
from pose_rt.io.sources import v4l2
from pose_rt.io.sources.video import VideoSource

CLIP = str(Path(__file__).parents[2] / "demos" / "clips" / "woman_walking.mp4")
LIVE = ["webcam", CLIP, "--realtime", "--view", "none", "--model", "lite"]


def test_a_replay_gives_data_a_recording_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, arrays, video = tmp_path / "o.jsonl", tmp_path / "o.npz", tmp_path / "o.mp4"
    outputs = ["--save-json", str(data), "--save-npz", str(arrays), "--record", str(video)]
    assert run([*LIVE, "--loop", "--duration", "2.5", "--lookahead", "2", *outputs]) == 0
    result = read_jsonl(data)
    frames = result.frames
    assert result.complete and result.header["settings"]["lookahead"] == 2 and len(frames) >= 2
    numbers = [f["frame"] for f in frames]
    assert numbers == sorted(set(numbers))
    for frame in frames:
        timing = frame["timing"]
        assert set(timing) == {"captured_s", "age_ms", "wait_ms", "queued_ms", "spans_ms", "dropped"}
        assert timing["age_ms"] > timing["wait_ms"] >= 0 and {"detect", "pose2d", "lift", "forecast"} <= set(timing["spans_ms"])
        assert abs(timing["captured_s"] - time.time()) < 600
    dropped = [f["timing"]["dropped"] for f in frames]
    assert dropped == sorted(dropped) and all(n - i >= d for i, (n, d) in enumerate(zip(numbers, dropped, strict=True)) if i == 0)
    assert any(f["timing"]["wait_ms"] > 0 for f in frames)
    loaded = read_npz(arrays)
    assert len(loaded.arrays["frame"]) == len(frames) and (loaded.arrays["gap_s"] == 0).all()
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(frames)
    said = capsys.readouterr().err
    assert all(word in said for word in ("read ", "processed ", "dropped ", "p50", "p99", "look-ahead ", "stages (mean ms): detect"))
    assert f"wrote {video}" in said and f"wrote {data}" in said


def test_the_counts_of_the_report_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*LIVE, "--duration", "1.5", "--camera-fps", "60", "--no-3d"]) == 0
    words = capsys.readouterr().err.replace(",", "").split()
    read, processed, dropped = (int(words[words.index(name) + 1]) for name in ("read", "processed", "dropped"))
    assert read == processed + dropped > 0


def when_written(data: Path, act: Callable[[], None]) -> None:
    """Call `act` on a thread as soon as some frames are in the file."""

    def wait() -> None:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline and not (data.exists() and len(data.read_bytes().splitlines()) > 4):
            time.sleep(0.02)
        act()

    threading.Thread(target=wait, daemon=True).start()


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `pose-rt`; what has not ended with the test is killed."""
    started = []

    def one(*arguments: str) -> subprocess.Popen[str]:
        started.append(subprocess.Popen([sys.executable, "-m", "pose_rt.cli.app", *arguments], stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_and_keeps_the_files(start: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: int) -> None:
    data, video = tmp_path / "o.jsonl", tmp_path / "o.mp4"
    process = start(*LIVE, "--loop", "--no-3d", "--save-json", str(data), "--record", str(video))
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and not (data.exists() and len(data.read_bytes().splitlines()) > 8):
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=80)[1]
    assert process.returncode == 130 and "Traceback" not in said and "interrupted: the outputs hold" in said
    frames = read_jsonl(data)
    assert frames.complete and len(frames.frames) > 7
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(frames.frames)


@pytest.mark.parametrize("after_s", [0.3, 0.8])
def test_a_signal_before_the_first_frame_is_a_clean_end(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, after_s: float
) -> None:
    process = start(*LIVE, "--loop", "--record", str(tmp_path / "o.mp4"))
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=80)[1]
    # Before the program proper has begun, Python itself ends it with the signal.
    assert process.returncode in (130, -signal.SIGINT) and ("Traceback" not in said or process.returncode == -signal.SIGINT)


def test_a_lost_stream_says_so_and_the_gap_is_in_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pose_rt.io.sources import live
    from tests.io.stream_server import StreamServer

    monkeypatch.setattr(live, "BACK_OFF_S", (0.05,))
    data, arrays = tmp_path / "o.jsonl", tmp_path / "o.npz"

    def cut() -> None:
        server.up, server.size = False, (160, 120)
        server.cut()
        threading.Timer(0.7, lambda: setattr(server, "up", True)).start()

    with StreamServer(password="s3cr3t") as server:
        when_written(data, cut)
        options = ["--duration", "7", "--save-json", str(data), "--save-npz", str(arrays), "--record", str(tmp_path / "o.mp4")]
        assert run(["webcam", server.url, "--view", "none", "--model", "lite", *options]) == 0
    said = capsys.readouterr().err
    assert "is lost, connecting again" in said and "is back" in said and "came back after" in said
    assert "s3cr3t" not in said and b"s3cr3t" not in data.read_bytes()
    frames = read_jsonl(data).frames
    (back,) = [i for i, f in enumerate(frames) if f.get("gap_s")]
    assert frames[back]["gap_s"] > 0.5 and frames[back]["pts_s"] - frames[back - 1]["pts_s"] > 0.3
    assert frames[back]["size"] == [160, 120] and "size" not in frames[back - 1]
    table = read_npz(arrays).arrays
    assert (table["gap_s"] > 0).sum() == 1 and table["size"][-1].tolist() == [160, 120]
    assert (tmp_path / "o-2.mp4").exists()  # a picture size is a file


def test_exit_on_loss_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from tests.io.stream_server import StreamServer

    with StreamServer() as server:
        data = tmp_path / "o.jsonl"
        when_written(data, server.cut)
        assert run(["webcam", server.url, "--view", "none", "--no-3d", "--exit-on-loss", "--save-json", str(data)]) == 1
    assert "was lost" in capsys.readouterr().err and read_jsonl(data).frames


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["webcam"], 2, "there is no camera 0, nor any other; plug one in, or play a file"),
        (["webcam", "ftp://host/x"], 2, "are not read, wanted rtsp"),
        (["webcam", "nothing.mp4"], 2, "does not exist"),
        (["webcam", CLIP], 2, "--realtime"),
        (["webcam", "rtsp://user:hidden@127.0.0.1:9/live"], 1, "refused the connection: nothing listens there"),
        ([*LIVE, "--view", "web"], 2, "'none' was given together with web"),
        (["webcam", CLIP, "--realtime", "--view", "hologram"], 2, "view is 'hologram', wanted one of auto"),
        ([*LIVE, "--record", "out.avi"], 2, "ends in '.avi'"),
        ([*LIVE, "--record", "no/such/out.mp4"], 2, "does not exist"),
        ([*LIVE, "--lookahead", "-1"], 2, "lookahead is -1"),
        ([*LIVE, "--layout", "cube"], 2, "layout is 'cube'"),
        (["webcam", "rtsp://127.0.0.1:9/x", "--width", "640"], 2, "are for cameras"),
        (["webcam", "http://127.0.0.1:9/x", "--loop"], 2, "is live anyway"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    monkeypatch.chdir(tmp_path)
    if arguments == ["webcam"] and Path("/dev/video0").exists():
        pytest.skip("a camera is connected here")
    assert run(arguments) == code
    said = capsys.readouterr().err
    assert sentence in said and len(said.strip().splitlines()) == 1 and "hidden" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("aiohttp")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["webcam", CLIP, "--realtime", "--view", "web", "--port", port, "--no-3d"]) == 1
    said = capsys.readouterr().err
    assert port in said and "in use" in said and "Traceback" not in said


def test_no_display_is_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygame")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform != "linux":
        pytest.skip("a display is always there")
    assert run(["webcam", CLIP, "--realtime", "--view", "window", "--no-3d"]) == 2
    assert "--view web" in capsys.readouterr().err


def test_views_are_chosen_by_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from pose_rt.cli import views

    monkeypatch.setattr(views, "has_display", lambda: False)
    assert wanted_views(["auto"]) == ("web",) and wanted_views(["auto", "web", "rerun"]) == ("web", "rerun")
    with pytest.raises(UsageError):
        wanted_views(["none", "web"])
    monkeypatch.setattr(views, "has_display", lambda: True)
    monkeypatch.setattr(views, "find_spec", lambda name: object())
    assert wanted_views(["auto"]) == ("window",)
    monkeypatch.setattr(views, "find_spec", lambda name: None)
    assert wanted_views(["auto"]) == ("web",)


def test_a_full_disk_ends_with_one_sentence_and_what_was_recorded(tmp_path: Path) -> None:
    """A file size limit of the system in place of a small disk: the kernel refuses the write either way."""
    video = tmp_path / "o.mp4"
    limit = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
    arguments = [*LIVE, "--loop", "--no-3d", "--duration", "90", "--record", str(video)]
    code = limit + f"from pose_rt.cli.app import run; sys.exit(run({arguments!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=115, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "grew too large" in done.stderr and f"kept: '{video}'" in done.stderr
    assert sum(1 for _ in VideoSource(video)) > 0  # whole fragments; the last one may be cut off


def test_timings_are_json_numbers(tmp_path: Path) -> None:
    data = tmp_path / "o.jsonl"
    assert run([*LIVE, "--duration", "1", "--no-3d", "-q", "--save-json", str(data)]) == 0
    for line in data.read_text().splitlines()[1:]:
        assert all(isinstance(v, (int, float)) for v in json.loads(line)["timing"]["spans_ms"].values())
