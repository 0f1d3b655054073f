"""Pictures made on the spot: a source for tests, benchmarks and checks of a machine without a camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from ...core.types import Frame
from ...stream.protocols import SourceInfo

_NS = 1_000_000_000


class SyntheticSource:
    """Gives `frames` pictures of a bright square that moves over a gradient; frame i is the same in every run.

    Args:
        width, height: px.
        fps: frame i has media time i / fps.
        frames: how many come; None: until closed.
        live: frames come in real time, as from a camera, instead of as fast as they are taken.
    """

    def __init__(
        self, width: int = 320, height: int = 240, fps: Fraction = Fraction(30), frames: int | None = 60, live: bool = False
    ) -> None:
        if width < 1 or height < 1 or fps <= 0 or (frames is not None and frames < 0):
            raise ValueError(f"got {width}x{height} px, {fps} fps, {frames} frames; wanted positive sizes and rate, no negative count")
        duration = None if frames is None else float(frames / fps)
        name = "synthetic camera" if live else "synthetic"
        self.info = SourceInfo(width, height, Fraction(fps), live, frames, duration, name, time_base=1 / Fraction(fps))
        self.notes: list[str] = []
        self._closed = threading.Event()
        ramp = np.linspace(32, 160, width, dtype=np.float32)[None, :, None] * np.ones((height, 1, 3), np.float32)
        self._background = ramp.astype(np.uint8)

    def picture(self, index: int) -> np.ndarray:
        """(h, w, 3) uint8 BGR of frame `index`."""
        image = self._background.copy()
        side = max(1, min(self.info.width, self.info.height) // 4)
        x = 3 * index % max(1, self.info.width - side + 1)
        y = 2 * index % max(1, self.info.height - side + 1)
        image[y : y + side, x : x + side] = 235
        return image

    def __iter__(self) -> Iterator[Frame]:
        start = time.monotonic()
        index = 0
        while (self.info.length is None or index < self.info.length) and not self._closed.is_set():
            if self.info.live and self._closed.wait(max(0.0, start + float(index / self.info.fps) - time.monotonic())):
                return
            yield Frame(self.picture(index), index, round(index * _NS / self.info.fps), time.monotonic_ns())
            index += 1

    def close(self) -> None:
        self._closed.set()
