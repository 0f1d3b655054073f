"""The contracts of the stream: where frames come from, what turns them into results, and where results go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol, runtime_checkable

from ..core.types import Frame, Packet


class ColorTags(NamedTuple):
    """ISO/IEC 23091-2 code points of a video: colour primaries, transfer characteristics, matrix coefficients (2 = unknown)."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a source before its first frame is asked for.

    Attributes:
        width, height: size in px of every frame, rotation already applied.
        fps: mean frame rate; single frames lie where `Frame.media_ns` says.
        live: frames come at their own pace and the newest counts; False: every frame counts.
        length: frames that will come as far as the container says (a file may break off earlier), or None.
        duration_s: seconds that will come as far as the container says, or None.
        name: path or description, for messages and file headers.
        rotation: degrees counter-clockwise by which the stored frames were turned.
        has_audio: the source holds at least one audio stream.
        time_base: smallest step of its time stamps, s.
        start_s: media time asked for as the start; `Frame.media_ns` still counts from the start of the source.
        pixel_aspect: width of a pixel divided by its height.
        color: colour tags of the stored video, or None.
    """

    width: int
    height: int
    fps: Fraction
    live: bool
    length: int | None
    duration_s: float | None
    name: str
    rotation: int = 0
    has_audio: bool = False
    time_base: Fraction = Fraction(1, 90000)
    start_s: float = 0.0
    pixel_aspect: Fraction = Fraction(1)
    color: ColorTags | None = None


class Source(Protocol):
    """Gives frames in order. `close` may be called from another thread, and twice.

    A source that can lose its device has an attribute `state` as well: "open", "stalled" or "lost".
    """

    @property
    def info(self) -> SourceInfo: ...

    @property
    def notes(self) -> list[str]: ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...


class Sink(Protocol):
    """Takes finished packets in order. `close` keeps what was written so far and may be called twice."""

    def write(self, packet: Packet) -> None: ...

    def close(self) -> None: ...


class Status(NamedTuple):
    """How a run stands, for views.

    Attributes:
        state: of the source: "open", "stalled" (open, but no frame for longer than expected) or "lost" (being reconnected).
        read, processed, written, dropped: as in `RunReport`, so far.
    """

    state: str
    read: int
    processed: int
    written: int
    dropped: int


@runtime_checkable
class View(Sink, Protocol):
    """A sink with a life of its own: `tick` is called between packets, on the sinks' thread, also while no packet comes."""

    def tick(self, status: Status) -> None: ...


class Processor(Protocol):
    """Turns packets into finished packets, in order; with look-ahead a packet comes back calls later, the last ones from `flush`."""

    def __call__(self, packet: Packet) -> Sequence[Packet]: ...

    def flush(self) -> Sequence[Packet]: ...


class _Each:
    def __init__(self, function: Callable[[Packet], Packet]) -> None:
        self._function = function

    def __call__(self, packet: Packet) -> Sequence[Packet]:
        return (self._function(packet),)

    def flush(self) -> Sequence[Packet]:
        return ()


def each(function: Callable[[Packet], Packet]) -> Processor:
    """Wrap a function of one packet, such as a stage, as a processor without look-ahead."""
    return _Each(function)
