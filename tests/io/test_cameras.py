"""Cameras, with a fake for the one call that touches the hardware: stamps, what is read back, loss, and why one does not open."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_rt.cli.app import run as cli
from pose_rt.errors import InputError, UsageError
from pose_rt.io.sources import camera, live, v4l2
from pose_rt.io.sources.camera import CameraDevice, Request, open_camera
from pose_rt.io.sources.live import BACK_OFF_S


class Capture:
    """cv2.VideoCapture of a camera with modes of its own; fails after `frames` grabs."""

    def __init__(self, size: tuple[int, int] = (64, 48), frames: int = 1000, opened: bool = True, fps: float = 100.0) -> None:
        self.size, self.left, self.opened, self.fps = size, frames, opened, fps
        self.asked: dict[int, float] = {}
        self.released = 0
        self.grabbed_ns: list[int] = []
        self.decoding_ns: list[int] = []

    def isOpened(self) -> bool:
        return self.opened

    def set(self, name: int, value: float) -> bool:
        self.asked[name] = value
        return True

    def get(self, name: int) -> float:
        known = {cv2.CAP_PROP_FRAME_WIDTH: self.size[0], cv2.CAP_PROP_FRAME_HEIGHT: self.size[1], cv2.CAP_PROP_FPS: self.fps}
        return float(known.get(name, self.asked.get(name, 0)))

    def grab(self) -> bool:
        self.left -= 1
        time.sleep(1 / self.fps)
        self.grabbed_ns.append(time.monotonic_ns())
        return self.left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        self.decoding_ns.append(time.monotonic_ns())
        return True, np.full((self.size[1], self.size[0], 3), 90, np.uint8)

    def release(self) -> None:
        self.released += 1


def plug(monkeypatch: pytest.MonkeyPatch, *captures: Any) -> list[Any]:
    """The next calls open these, in order; the last one stays."""
    queue = list(captures)
    monkeypatch.setattr(camera, "open_capture", lambda index: queue.pop(0) if len(queue) > 1 else queue[0])
    monkeypatch.setattr(live, "BACK_OFF_S", (0.01,))
    return list(captures)


def test_a_frame_is_stamped_between_grab_and_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    (fake,) = plug(monkeypatch, Capture())
    source = open_camera(0, Request(64, 48, 100))
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == 5:
            source.close()
    for frame in frames:
        grabbed = max(t for t in fake.grabbed_ns if t <= frame.captured_ns)
        assert frame.captured_ns <= min(t for t in fake.decoding_ns if t >= grabbed)
    assert source.notes == [] and fake.released and fake.asked[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")


def test_another_mode_than_asked_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, Capture(size=(64, 48), fps=100))
    device = CameraDevice(3, Request(1280, 720, 30, mjpeg=False))
    assert device.notes == [
        "camera 3 gives 64x48 px, asked for 1280x720 (see: pose-rt cameras)",
        "camera 3 gives 100 frames a second, asked for 30 (see: pose-rt cameras)",
    ]


def test_pictures_that_waited_are_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Backlog(Capture):
        def grab(self) -> bool:
            if len(self.grabbed_ns) < 6:
                self.grabbed_ns.append(time.monotonic_ns())
                return True
            return super().grab()

    (fake,) = plug(monkeypatch, Backlog(fps=10))
    monkeypatch.setattr(live, "_FRESH_NS", 50_000_000)
    source = open_camera(0, Request(64, 48, 10))
    first = next(iter(source))
    source.close()
    assert first.index == 0 and len(fake.grabbed_ns) == 7 and first.captured_ns >= fake.grabbed_ns[-1]


def test_unplugged_and_back_with_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _, second = plug(monkeypatch, Capture(frames=6), Capture(opened=False), Capture(size=(80, 60)))
    source = open_camera(0, Request(64, 48, 100))
    seen = []
    for frame in source:
        seen.append(frame)
        if len(seen) == 10:
            source.close()
    assert [f.width for f in seen] == [64] * 5 + [80] * 5 and [f.gap_ns > 0 for f in seen] == [False] * 5 + [True] + [False] * 4
    assert first.released and second.released and source.losses == 1


def test_a_camera_that_gives_nothing_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (fake,) = plug(monkeypatch, Capture(frames=0))
    with pytest.raises(InputError, match="opens but gives no picture"):
        open_camera(0, Request())
    assert fake.released


def test_the_waits_between_attempts_grow() -> None:
    assert list(BACK_OFF_S) == sorted(BACK_OFF_S) and BACK_OFF_S[-1] <= 10


@pytest.mark.parametrize(
    ("there", "kind", "sentence"),
    [
        ([], UsageError, "there is no camera 0, nor any other; plug one in, or play a file .* --realtime"),
        ([v4l2.Camera(2, "/dev/video2", "Cam", None, ())], UsageError, r"there is no camera 0; there is 2 \('Cam'\)"),
        ([v4l2.Camera(0, "/dev/video0", "Cam", None, ())], InputError, "another program is probably using it"),
        ([v4l2.Camera(0, "/dev/video0", "Cam", "no permission to open /dev/video0; sudo", ())], InputError, "no permission"),
    ],
)
def test_why_a_camera_does_not_open(monkeypatch: pytest.MonkeyPatch, there: list, kind: type, sentence: str) -> None:
    plug(monkeypatch, Capture(opened=False))
    monkeypatch.setattr(v4l2, "cameras", lambda: there)
    monkeypatch.setattr(camera.sys, "platform", "linux")
    with pytest.raises(kind, match=sentence):
        open_camera(0, Request())


def kernel(device: int, request: int, data: bytearray) -> None:
    """What a driver with one format of two sizes answers."""
    index = struct.unpack_from("=I", data)[0]
    if request == 0x80685600:
        data[16:20] = b"Cam\0"
        struct.pack_into("=II", data, 84, 0x80000001, 0x00000001)
    elif request == 0xC0405602 and index == 0:
        data[44:48] = b"MJPG"
    elif request == 0xC02C564A and index < 2:
        struct.pack_into("=3I", data, 8, 1, *((1280, 720), (640, 480))[index])
    elif request == 0xC034564B and index < 2:
        struct.pack_into("=3I", data, 16, 1, 1, (15, 30)[index])
    else:
        raise OSError(22, "Invalid argument")


def test_the_list_tells_names_and_modes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "video1").mkdir()
    (tmp_path / "video1" / "name").write_text("HD Webcam\n")
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    monkeypatch.setattr(v4l2, "_ioctl", kernel)
    real = os.open
    monkeypatch.setattr(v4l2.os, "open", lambda path, flags: real(os.devnull if path == "/dev/video1" else path, flags))
    (found,) = v4l2.cameras()
    assert (found.number, found.name, found.problem) == (1, "HD Webcam", None)
    assert found.modes == (v4l2.Mode("MJPG", 1280, 720, 30.0), v4l2.Mode("MJPG", 640, 480, 30.0))
    assert cli(["cameras"]) == 0
    assert capsys.readouterr().out == "1  HD Webcam  (/dev/video1)\n   MJPG: 1280x720@30, 640x480@30\n"


def test_an_empty_list_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    assert cli(["cameras"]) == 0
    assert "no camera here; try it without one: pose-rt webcam clip.mp4 --realtime" in capsys.readouterr().out


def test_a_node_that_may_not_be_opened_is_listed_with_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "video0").mkdir()
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)

    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(v4l2.os, "open", refuse)
    (found,) = v4l2.cameras()
    assert found.problem is not None and "usermod -aG video" in found.problem
