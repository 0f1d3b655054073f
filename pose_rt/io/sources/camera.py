"""Local cameras through OpenCV (V4L2, AVFoundation, DirectShow).

OpenCV rather than PyAV: it grabs and decodes in two steps, so that a frame is stamped between them; its V4L2 read gives up after a time
(FFmpeg's waits in the driver for ever); size, rate and format are read back; one call serves three systems. It does not say why a
camera did not open: `v4l2.py` asks the kernel.
"""

from __future__ import annotations

import os
import sys
import time
from fractions import Fraction
from typing import Any, NamedTuple

import cv2

from ...errors import InputError, UsageError
from . import v4l2
from .live import DeviceLost, Grab, LiveSource

REPLAY_HINT = "or play a file as if it were a camera: pose-rt webcam clip.mp4 --realtime"
_API = {"linux": cv2.CAP_V4L2, "darwin": cv2.CAP_AVFOUNDATION, "win32": cv2.CAP_DSHOW}
_SELECT_S = 3
_SILENT, _MJPEG = 0, cv2.VideoWriter.fourcc(*"MJPG")


class Request(NamedTuple):
    """What is asked of a camera; the nearest it has is taken. `mjpeg`: compressed pictures, which USB carries at full rate."""

    width: int = 1280
    height: int = 720
    fps: float = 30.0
    mjpeg: bool = True


class CameraDevice:
    """An open camera; a `live.Device`.

    Raises:
        UsageError: there is no such camera.
        InputError: it is busy, or may not be opened.
    """

    def __init__(self, index: int, request: Request) -> None:
        self.notes: list[str] = []
        self._name = f"camera {index}"
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(_SELECT_S))
        log: Any = cv2.utils.logging
        level = log.getLogLevel()
        log.setLogLevel(_SILENT)
        try:
            self._capture = open_capture(index)
            if not self._capture.isOpened():
                raise refusal(index)
            self._ask(request)
        finally:
            log.setLogLevel(level)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = Fraction(rate if 1 <= rate <= 1000 else request.fps).limit_denominator(1001)

    def _ask(self, request: Request) -> None:
        capture = self._capture
        if request.mjpeg:
            capture.set(cv2.CAP_PROP_FOURCC, _MJPEG)
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, request.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, request.height)
        capture.set(cv2.CAP_PROP_FPS, request.fps)
        width, height = round(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        fps = capture.get(cv2.CAP_PROP_FPS)
        if (width, height) != (request.width, request.height):
            self.notes.append(f"{self._name} gives {width}x{height} px, asked for {request.width}x{request.height} (see: pose-rt cameras)")
        if fps > 0 and abs(fps - request.fps) > 0.01 * request.fps:
            self.notes.append(f"{self._name} gives {fps:g} frames a second, asked for {request.fps:g} (see: pose-rt cameras)")
        if request.mjpeg and round(capture.get(cv2.CAP_PROP_FOURCC)) != _MJPEG:
            self.notes.append(f"{self._name} gives no MJPEG; uncompressed pictures of this size may come slowly")

    def read(self) -> Grab:
        """The next picture, stamped straight after the grab and before it is decoded.

        Raises:
            DeviceLost: it was unplugged, or gave nothing for a few seconds.
        """
        grabbed = self._capture.grab()
        now = time.monotonic_ns()
        if not grabbed:
            raise DeviceLost("unplugged, or no picture for some seconds")
        there, image = self._capture.retrieve()
        if not there or image is None:
            raise DeviceLost("its pictures cannot be decoded")
        return Grab(image, now, None)

    def close(self) -> None:
        """Free the camera; safe twice."""
        self._capture.release()


def open_capture(index: int) -> Any:
    """The one call that touches the hardware."""
    return cv2.VideoCapture(index, _API.get(sys.platform, cv2.CAP_ANY))


def names_of_cameras() -> list[str]:
    """Names of the cameras that macOS or Windows knows, in the order of their numbers."""
    import av
    import av.error

    try:
        found = av.enumerate_input_devices("avfoundation" if sys.platform == "darwin" else "dshow")
    except (av.error.FFmpegError, ValueError):
        return []
    return [str(device.description or device.name) for device in found]


def open_camera(index: int, request: Request, *, exit_on_loss: bool = False) -> LiveSource:
    """A camera by number, opened again after each loss."""
    return LiveSource(lambda: CameraDevice(index, request), f"camera {index}", exit_on_loss=exit_on_loss)


def refusal(index: int) -> InputError | UsageError:
    """Why a camera did not open."""
    known = v4l2.cameras() if sys.platform == "linux" else None
    camera = next((c for c in known or [] if c.number == index), None)
    if camera is not None and camera.problem is not None:
        return InputError(f"camera {index} ('{camera.name}') cannot be used: {camera.problem}")
    if camera is not None:
        return InputError(
            f"camera {index} ('{camera.name}') is there and does not open, so another program is probably using it",
            f"close that program (fuser -v {camera.path} names it)",
        )
    if known:
        listed = ", ".join(f"{c.number} ('{c.name}')" for c in known)
        return UsageError(f"there is no camera {index}; there is {listed}", f"give one of these numbers, {REPLAY_HINT}")
    if known is not None:
        return UsageError(f"there is no camera {index}, nor any other", f"plug one in, {REPLAY_HINT}")
    return InputError(
        f"camera {index} does not open: it is not there, another program uses it, or the system's privacy settings forbid it", REPLAY_HINT
    )
