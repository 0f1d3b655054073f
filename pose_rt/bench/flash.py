"""Glass to glass without the glass: a flash painted into the source, and the moment at which a view shows it."""

from __future__ import annotations

import math
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from pose_rt.core.types import Frame
from pose_rt.errors import UsageError
from pose_rt.stream import Control, Sink, SourceInfo

FLASH_FRAMES = 3
_EVERY = (17, 23, 19, 29)
"""Frames from flash to flash; no common rhythm with anything that happens every so many frames."""
_LEFT, _TOP, _SIDE = 0.78, 0.66, 0.12
"""Place of the flash, as shares of width and height: away from what views write over the picture."""
_BRIGHT = 150.0
LEFT_OUT = {
    "none": "",
    "window": "exposure, read-out and USB of a camera before it; the scan-out and response of the screen after it",
    "web": "exposure, read-out and USB of a camera before it; painting by the browser, scan-out and response of the screen after it",
}


class FlashMeter:
    """Paints flashes (source thread) and sees them (a view's thread)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count, self._next, self._flashes = 0, 40, 0
        self._since_ns: int | None = None
        self._bright = False
        self.delays_ms: list[float] = []

    def paint(self, frame: Frame) -> Frame:
        """The frame with a patch: black, or white while a flash lasts. A flash begins at the capture time of its first frame."""
        self._count += 1
        if self._count == self._next + FLASH_FRAMES:
            self._next = self._count + _EVERY[self._flashes % len(_EVERY)]
        lit = self._next <= self._count < self._next + FLASH_FRAMES
        if self._count == self._next:
            self._flashes += 1
            with self._lock:
                self._since_ns = frame.captured_ns
        image = frame.bgr.copy()
        _patch(image)[...] = 255 if lit else 0
        return replace(frame, bgr=image)

    def see(self, picture: np.ndarray, now_ns: int) -> None:
        """A view shows `picture` (h, w, 3) since `now_ns`."""
        bright = float(_patch(picture).mean()) > _BRIGHT
        with self._lock:
            if bright and not self._bright and self._since_ns is not None:
                self.delays_ms.append((now_ns - self._since_ns) / 1e6)
                self._since_ns = None
            self._bright = bright

    def summary(self) -> dict[str, Any]:
        """Percentiles of the delays, ms, and how many flashes were made and seen."""
        ordered = sorted(self.delays_ms)
        ranks = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0} if ordered else {}
        figures = {name: round(ordered[math.ceil(rank * len(ordered)) - 1], 2) for name, rank in ranks.items()}
        return {**figures, "made": self._flashes, "seen": len(ordered)}


def _patch(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return image[int(_TOP * height) : int((_TOP + _SIDE) * height), int(_LEFT * width) : int((_LEFT + _SIDE) * width)]


def open_view(name: str, info: SourceInfo, control: Control, flash: FlashMeter | None, stack: ExitStack) -> Sink:
    """The view that is measured, with its picture read back where flashes are wanted.

    Raises:
        UsageError: no such view, or what it needs is missing.
    """
    from pose_rt.io.draw import Annotator, Style

    if name == "window":
        from pose_rt.io.sinks.window import WindowView

        seen = None if flash is None else (lambda packet, now, picture: flash.see(picture, now))
        return WindowView("pose-rt", Annotator(Style(boxes=False)), control, size=(info.width, info.height), presented=seen)
    if name == "web":
        from pose_rt.io.sinks.web import WebView

        view = WebView(port=0, control=control)
        from pose_rt.io.sinks.web.client import LoopbackClient

        client = LoopbackClient(
            view.url, presented=None if flash is None else (lambda picture, head: flash.see(picture, time.monotonic_ns()))
        )
        stack.callback(client.close)
        client.wait_connected()
        return view
    raise UsageError(f"view is {name!r}, wanted window or web", "these are the views that can be read back")
