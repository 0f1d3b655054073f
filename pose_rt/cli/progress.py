"""Progress on the terminal, as sinks: they see each finished packet and write no file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
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


class _BuildProgress:
    """A bar an engine: how far, and what TensorRT is doing."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._number = progress, total, 0
        self._name = ""
        self._task: TaskID | None = None

    def begin(self, name: str) -> None:
        self._number, self._name = self._number + 1, f"{self._number + 1}/{self._total} {name}"
        self._task = self._progress.add_task(self._name, total=1.0)

    def show(self, what: str, done: float) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, description=f"{self._name}: {what}")

    def waiting(self) -> None:
        self.show("another process builds it, waiting", 0.0)

    def end(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=1.0, description=self._name)
        self._task = None


@contextmanager
def build_progress(total: int) -> Iterator[_BuildProgress]:
    """Bars for `total` engines on stderr; silent where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=8, disable=not console.is_terminal) as progress:
        yield _BuildProgress(progress, total)
