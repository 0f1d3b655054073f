"""Recording of a live run: switched on and off while it goes on, and whole up to the last second whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from ...core.types import Packet
from ...errors import OutputError
from ...stream.control import Control
from ...stream.protocols import SourceInfo
from ..output import check_output_path
from .video import VideoSink

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")


class RecordSink:
    """Writes the annotated pictures while `control.recording` is set: one file for each stretch, so that no file has a hole.

    A picture of another size, as after a camera came back with another mode, begins a new file as well. The first file has the name
    given, the next ones the same with -2, -3 and so on; each is playable up to about its last second even if the process is killed.

    Args:
        path: of the first file; None: a name with date and time in the working folder.
        info: of the source.
        draw: gives the picture of a packet.
        control: its `recording` switches.
        overwrite: replace the file of the name given; the further ones never replace any.

    Raises:
        UsageError, OutputError: see `check_output_path`; OutputError also while writing, with what was recorded until then kept.

    Attributes:
        files: written so far, in order.
    """

    def __init__(
        self,
        path: str | Path | None,
        info: SourceInfo,
        draw: Callable[[Packet], np.ndarray],
        control: Control,
        *,
        overwrite: bool = False,
    ) -> None:
        self.notes: list[str] = []
        self.files: list[Path] = []
        self._given = None if path is None else check_output_path(path, overwrite=overwrite, suffixes=SUFFIXES, inputs=[info.name])
        self._info, self._draw, self._control, self._overwrite = info, draw, control, overwrite
        self._current: VideoSink | None = None
        self._size: tuple[int, ...] = ()

    def write(self, packet: Packet) -> None:
        """Record one packet, if recording is on."""
        if not self._control.recording:
            self._end()
            return
        image = self._draw(packet)
        if image.shape != self._size:
            self._end()
        if self._current is None:
            self._current = self._begin(packet)
            self._size = image.shape
        try:
            self._current.write(packet)
        except OutputError as error:
            kept = ", ".join(f"'{file}'" for file in self.files if file.exists())
            raise OutputError(error.message, f"{error.cure}; kept: {kept}" if kept else error.cure) from error

    def close(self) -> None:
        """Finish the file in work; safe twice."""
        self._end()

    def _begin(self, packet: Packet) -> VideoSink:
        # A start above zero makes the first frame the file's time zero.
        info = replace(self._info, start_s=max(packet.frame.media_ns / 1e9, 1e-9))
        path, overwrite = self._next_path()
        self.files.append(path)
        return VideoSink(path, info, self._draw, overwrite=overwrite, crash_safe=True)

    def _next_path(self) -> tuple[Path, bool]:
        if self._given is None:
            first = Path(time.strftime("pose-rt-%Y%m%d-%H%M%S.mp4"))
        elif not self.files:
            return self._given, self._overwrite
        else:
            first = self._given
        names = (first if n == 1 else first.with_stem(f"{first.stem}-{n}") for n in count(1))
        return next(name for name in names if not name.exists()), False

    def _end(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            current.close()
