"""Progress on the terminal, as sinks: they see each finished packet and write no file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from pose_rt.core.types import Packet
    from pose_rt.stream.protocols import SourceInfo


class Counter:
    """Counts what the summary tells."""

    def __init__(self) -> None:
        self.with_person = 0

    def write(self, packet: Packet) -> None:
        if packet.keypoints is not None and packet.keypoints.people:
            self.with_person += 1

    def close(self) -> None:
        pass


class _FpsColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("-- fps" if task.speed is None else f"{task.speed:.1f} fps")


class _ProgressSink:
    def __init__(self, progress: Progress, name: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=total)

    def write(self, packet: Packet) -> None:
        self._progress.advance(self._task)

    def close(self) -> None:
        self._progress.stop()


@contextmanager
def progress_sink(info: SourceInfo, name: str) -> Iterator[_ProgressSink]:
    """A bar with frames, fps and time left on stderr; silent where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), _FpsColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, refresh_per_second=4, disable=not console.is_terminal) as progress:
        yield _ProgressSink(progress, name, info.length)
