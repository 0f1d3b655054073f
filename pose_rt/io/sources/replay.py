"""A file played as if it were a camera: the way to try the live pipeline without one, and to measure it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

from ...core.types import Frame
from ...stream.protocols import Source

NS = 1_000_000_000
_LATE_NS = NS


class ReplaySource:
    """Frames of a file in real time, each stamped with the moment at which it was due, as a camera would have taken it then.

    Decoding runs ahead of the clock. Where it cannot, and falls a second behind, the clock stands still for that long, as a camera that
    stutters; `notes` says so.

    Args:
        open_pass: opens the file; called once a round.
        loop: begin again after the last frame.
        fps: frame rate to play at; None: the file's own time stamps.
        paint: changes each frame before it is due, so that its time does not count; None: nothing does.

    Raises:
        PoseRtError: what `open_pass` raises.
    """

    def __init__(
        self,
        open_pass: Callable[[], Source],
        *,
        loop: bool = False,
        fps: Fraction | None = None,
        paint: Callable[[Frame], Frame] | None = None,
    ) -> None:
        self._open_pass, self._loop, self._fps, self._paint = open_pass, loop, fps, paint
        self._closed = threading.Event()
        self._source: Source | None = open_pass()
        info = self._source.info
        rate = info.fps if fps is None else fps
        duration = None if loop or info.duration_s is None else float(info.duration_s * info.fps / rate)
        self.info = replace(
            info, fps=rate, live=True, length=None if loop else info.length, duration_s=duration, has_audio=False, start_s=0.0
        )
        self._notes: list[str] = []
        self._late_ns = 0

    @property
    def notes(self) -> list[str]:
        late = [f"decoding was {self._late_ns / NS:.1f} s too slow for real time"] if self._late_ns else []
        return [*self._notes, *late]

    def __iter__(self) -> Iterator[Frame]:
        start = index = 0
        while not self._closed.is_set():
            source = self._source or self._open_pass()
            self._source = None
            with closing(source):
                begin: tuple[int, int] | None = None  # time on our axis, media time of the first frame of this round
                for number, frame in enumerate(source):
                    place = frame.media_ns if self._fps is None else round(number * NS / self._fps)
                    now = time.monotonic_ns()
                    if begin is None:
                        start = start or now - place
                        begin = (now - start, place)  # the next round begins as soon as it is open
                    media = begin[0] + place - begin[1]
                    due = start + media
                    behind = time.monotonic_ns() - due
                    if behind > _LATE_NS:
                        self._late_ns += behind
                        start, due = start + behind, due + behind
                    ready = replace(frame, index=index, media_ns=media, captured_ns=due)
                    if self._paint is not None:
                        ready = self._paint(ready)
                    if self._closed.wait(max(0.0, (due - time.monotonic_ns()) / NS)):
                        return
                    yield ready
                    index += 1
            self._notes.extend(note for note in source.notes if note not in self._notes)
            if not self._loop or begin is None:
                return

    def close(self) -> None:
        """End the iteration; from another thread too, and safe twice."""
        self._closed.set()
        source, self._source = self._source, None
        if source is not None:
            source.close()
