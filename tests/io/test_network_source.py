"""A real stream on loopback: read, cut and restored in mid-stream, refused, and never a secret in what is said about it."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from itertools import pairwise

import pytest

from pose_rt.errors import InputError, PoseRtError, UsageError
from pose_rt.io.sources import live
from pose_rt.io.sources.address import parse, redact
from pose_rt.io.sources.live import LiveSource
from pose_rt.io.sources.network import NetworkStream
from pose_rt.io.sources.open import LiveWish, open_live

from .rtsp_server import RtspServer
from .stream_server import StreamServer

SECRET = "pa55-w0rd"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BACK_OFF_S", (0.05, 0.1))


def connect(server: StreamServer) -> LiveSource:
    return LiveSource(lambda: NetworkStream(server.url, open_s=3, read_s=1), redact(server.url))


def test_frames_come_with_rising_times_and_close_ends_them() -> None:
    with StreamServer() as server:
        source = connect(server)
        assert (source.info.width, source.info.height, source.info.fps, source.info.live) == (96, 64, 30, True)
        frames = []
        for frame in source:
            frames.append(frame)
            assert 0 <= time.monotonic_ns() - frame.captured_ns < 60_000_000_000  # the same clock
            if len(frames) == 20:
                source.close()
        assert len(frames) == 20 and source.notes == []
    media = [frame.media_ns for frame in frames]
    steps = [b - a for a, b in pairwise(media)]
    assert media[0] == 0 and all(abs(step - 33_333_333) < 1_000_000 for step in steps)  # the stream's own stamps, free of jitter
    assert [frame.index for frame in frames] == list(range(20)) and all(frame.gap_ns == 0 for frame in frames)


def test_a_cut_is_survived_marked_and_told(quick: None) -> None:
    with StreamServer() as server:
        source = connect(server)
        assert source.state == "open"
        sizes, gaps, media, states = [], [], [], set()
        for count, frame in enumerate(source):
            sizes.append((frame.width, frame.height))
            gaps.append(frame.gap_ns)
            media.append(frame.media_ns)
            if count == 10:
                server.up, server.size = False, (128, 80)
                server.cut()
                threading.Timer(0.6, lambda: setattr(server, "up", True)).start()
                threading.Timer(0.4, lambda: states.add(source.state)).start()
            if frame.gap_ns:
                last = count
            if any(gaps) and count == last + 5:
                break
        source.close()
    back = next(i for i, gap in enumerate(gaps) if gap)
    assert 500_000_000 < gaps[back] < 10_000_000_000 and sum(gap > 0 for gap in gaps) == 1
    assert abs(media[back] - media[back - 1] - gaps[back]) < 500_000_000  # media time went on meanwhile
    assert sizes[0] == (96, 64) and sizes[back] == (128, 80) and states == {"lost"}
    assert media == sorted(set(media)) and source.losses >= 1 and "came back after" in source.notes[0]


def test_exit_on_loss_ends_with_an_error() -> None:
    with StreamServer() as server:
        source = open_live(server.url, LiveWish(exit_on_loss=True))
        with pytest.raises(InputError, match="was lost"):
            for frame in source:
                if frame.index == 3:
                    server.cut()
        source.close()


@pytest.mark.timeout(60)  # it would wait for ever
def test_a_silent_server_is_a_loss_in_bounded_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(InputError, match="did not answer in time"):
        NetworkStream(f"http://127.0.0.1:{silent.getsockname()[1]}/x", open_s=0.3, read_s=0.3)


def test_wrong_and_right_credentials(capfd: pytest.CaptureFixture[str]) -> None:
    with StreamServer(password=SECRET) as server:
        wrong = server.url.replace(SECRET, "wr0ng-w0rd")
        with pytest.raises(InputError, match="refused the user or password") as caught:
            NetworkStream(wrong)
        said = "".join(traceback.format_exception(caught.value))
        assert "wr0ng-w0rd" not in said and "***@127.0.0.1" in said
        source = connect(server)
        frame = next(iter(source))
        assert frame.width == 96 and SECRET not in repr(source.info)
        source.close()
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "http", "https"])
def test_no_failure_tells_a_secret(scheme: str, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # free again when it is asked for
    url = f"{scheme}://admin:{SECRET}@127.0.0.1:{port}/live?token={SECRET}"
    with pytest.raises(InputError, match=r"listens there|cannot be opened") as caught:
        open_live(url, LiveWish())
    said = "".join(traceback.format_exception(caught.value))
    assert SECRET not in said and SECRET not in "".join(capfd.readouterr())
    error: BaseException | None = caught.value
    while error is not None:  # nor in the chain of causes that a debugger shows
        assert SECRET not in repr(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "concat:a|b://x", "gopher://h/"])
def test_other_protocols_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not read, wanted rtsp"):
        parse(url)


def test_a_stored_video_is_no_live_stream() -> None:
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from pathlib import Path

    clips = Path(__file__).parents[2] / "demos" / "clips"

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(clips))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as http:
        threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
        base = f"http://127.0.0.1:{http.server_address[1]}"
        with pytest.raises(PoseRtError, match=r"stored video|cannot be opened"):
            NetworkStream(f"{base}/woman_walking.mp4")
        with pytest.raises(InputError, match="no such stream"):
            NetworkStream(f"{base}/nothing.ts")
        http.shutdown()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://u:p@h:554/a?t=1", "rtsp://***@h:554/a?***"),
        ("http://h/a", "http://h/a"),
        ("rtsp://u:p@ss@h/x", "rtsp://***@h/x"),
        ("rtsp://[broken:p@h/x", "rtsp://***"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, shown: str) -> None:
    assert redact(url) == shown


def test_an_rtsp_camera_with_a_password_is_read_cut_and_read_again(quick: None, capfd: pytest.CaptureFixture[str]) -> None:
    with RtspServer(password=SECRET) as server:
        with pytest.raises(InputError, match="refused the user or password"):
            open_live(server.url.replace(SECRET, "wr0ng-w0rd"), LiveWish())
        source = open_live(server.url, LiveWish())
        assert (source.info.width, source.info.height, source.info.fps) == (96, 64, 30)
        assert source.info.name == redact(server.url) and SECRET not in source.info.name
        frames = []
        for frame in source:
            frames.append(frame)
            if len(frames) == 10:
                server.size = (128, 80)
                server.cut()
            if len(frames) > 10 and frame.width == 128:
                source.close()
    gaps = [f.gap_ns for f in frames]
    assert gaps[-1] > 0 and sum(gap > 0 for gap in gaps) == 1 and frames[-1].height == 80
    assert all(b.media_ns > a.media_ns for a, b in pairwise(frames))
    assert SECRET not in "".join(capfd.readouterr()) + "".join(source.notes)
