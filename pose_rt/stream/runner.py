"""Run a source through a processor into sinks: source thread -> channel -> pipeline thread -> channel -> sinks on the caller's thread.

A file loses nothing and keeps order and time stamps. A live source keeps its newest frame only, so a frame can be lost in one
place, before any work, and it is counted there. The first error wins: what came before it is still written, every thread ends,
the sinks are closed, and the error is raised once, in the caller.
"""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from types import FrameType

from ..core.types import Frame, Packet
from .channel import Channel
from .control import Control
from .latency import LatencyMeter
from .protocols import Processor, Sink, Source, Status, View

QUEUE_FRAMES = 8
QUEUE_BYTES = 256 << 20
TICK_S = 1 / 60


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        read, processed, written, dropped: frames that left the source, entered the processor, reached every sink, and were
            replaced by a newer one before any work (live sources only).
        wall_s: from the call to the last sink closed.
        latency_ms: "p50", "p95", "p99", "max" from capture to the end of the last sink's write, over the last 8192 frames.
        work_ms: the same without `wait_ms`.
        wait_ms: mean algorithmic delay of the look-ahead.
        stage_ms: mean time of each stage over the same frames, from the packets' spans.
        interrupted: Ctrl-C ended the run; what had been read by then was still written.
        result_fps: results a second between the first and the last of the same frames; `fps` counts the start as well.
    """

    read: int
    processed: int
    written: int
    dropped: int
    wall_s: float
    latency_ms: dict[str, float]
    work_ms: dict[str, float]
    wait_ms: float
    stage_ms: dict[str, float]
    interrupted: bool
    result_fps: float = 0.0

    @property
    def fps(self) -> float:
        return self.written / self.wall_s if self.wall_s > 0 else 0.0


class _FirstError:
    """Keeps the first exception of several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.error: BaseException | None = None

    def record(self, error: BaseException) -> None:
        with self._lock:
            if self.error is None:
                self.error = error


@contextmanager
def _on_interrupt(act: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM, see `run`) call `act` instead of raising in the middle of a write; the second raises."""
    mine = signal.default_int_handler
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is mine]
    if threading.current_thread() is not threading.main_thread() or not numbers:
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        restore()
        act()

    def restore() -> None:
        for each_number in numbers:
            signal.signal(each_number, mine)

    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()


def _capacity(source: Source) -> int:
    """Frames that may wait: 8, fewer where the pictures are so large that 8 would take more than 256 MB."""
    return max(1, min(QUEUE_FRAMES, QUEUE_BYTES // max(1, source.info.width * source.info.height * 3)))


class _Run:
    """The state the three threads share."""

    def __init__(self, source: Source, process: Processor, capacity: int) -> None:
        self.source = source
        self.process = process
        live = source.info.live
        self.frames: Channel[Frame] = Channel(1 if live else capacity, newest_only=live)
        self.results: Channel[Packet] = Channel(1 if live else max(1, capacity // 2))  # what waits here grows old
        self.failure = _FirstError()
        self.stop = threading.Event()
        self.signals: SimpleQueue[bool] = SimpleQueue()
        """True: Ctrl-C; False: the run is over. Its `put` is the one hand-over that is safe inside a signal handler."""
        self.read = 0
        self.processed = 0

    def feed(self) -> None:
        """Source thread. Its error ends the input; frames already read are still processed."""
        try:
            for frame in self.source:
                self.read += 1
                if not self.frames.put(frame) or self.stop.is_set():
                    break
        except BaseException as error:
            self.failure.record(error)
        finally:
            self.frames.finish()

    def work(self) -> None:
        """Pipeline thread. Its error ends the input at once; packets already finished are still written."""
        try:
            for frame in self.frames:
                self.processed += 1
                if not self._pass_on(self.process(Packet(frame, dropped=self.frames.dropped))):
                    return
            if not self.frames.aborted:
                self._pass_on(self.process.flush())
        except BaseException as error:
            self.failure.record(error)
            self.frames.abort()
        finally:
            self.results.finish()

    def _pass_on(self, packets: Sequence[Packet]) -> bool:
        return all(self.results.put(packet) for packet in packets)

    def watch(self) -> None:
        """Thread that waits for Ctrl-C: stop reading, also out of a driver that is stuck; what was read by now runs through."""
        if self.signals.get():
            self.stop.set()
            try:
                self.source.close()
            except BaseException as error:
                self.failure.record(error)

    def abort(self) -> None:
        self.stop.set()
        self.frames.abort()
        self.results.abort()

    def status(self, written: int) -> Status:
        return Status(getattr(self.source, "state", "open"), self.read, self.processed, written, self.frames.dropped)


def run(
    source: Source,
    process: Processor,
    sinks: Sink | Sequence[Sink],
    *,
    capacity: int | None = None,
    join_s: float = 5.0,
    control: Control | None = None,
) -> RunReport:
    """Run until the source ends, an error or Ctrl-C; then close the source and every sink.

    Args:
        source: iterated on its own thread and closed at the end.
        process: called on its own thread, one packet at a time.
        sinks: written and closed on the caller's thread, in this order.
        capacity: frames that may wait before the pipeline, and half as many results after it; None: 8, fewer for very large
            pictures. Of a live source one frame waits.
        join_s: seconds a thread may take to end before the source is closed under it, and again before it is given up with a
            warning that names it.
        control: lets sinks that are views end the run; they also get a `tick` between packets.

    Raises:
        The first error of source, processor or sinks, after all of them were closed. The first Ctrl-C does not raise: the
        report says `interrupted`. SIGTERM is treated the same where `signal.default_int_handler` was made its handler.
    """
    sinks = [sinks] if not isinstance(sinks, Sequence) else sinks
    start = time.monotonic()
    state = _Run(source, process, _capacity(source) if capacity is None else capacity)
    threads = [
        threading.Thread(target=state.feed, name="pose-rt source", daemon=True),
        threading.Thread(target=state.work, name="pose-rt pipeline", daemon=True),
    ]
    watcher = threading.Thread(target=state.watch, name="pose-rt interrupt", daemon=True)
    clock = LatencyMeter()
    killed = False
    if control is not None:
        control.bind(lambda: state.signals.put(True))
    with _on_interrupt(lambda: state.signals.put(True)):
        try:
            for thread in (watcher, *threads):
                thread.start()
            for packet in _packets(state, [sink for sink in sinks if isinstance(sink, View)], clock):
                for sink in sinks:
                    sink.write(packet)
                clock.add(packet)
        except KeyboardInterrupt:
            killed = True
            state.abort()
        except BaseException as error:
            state.failure.record(error)
            state.abort()
        interrupted = killed or state.stop.is_set()
        _end(state, threads, sinks, join_s)
        state.signals.put(False)
    if state.failure.error is not None:
        raise state.failure.error
    figures = clock.summary()
    return RunReport(
        read=state.read,
        processed=state.processed,
        written=clock.frames,
        dropped=state.frames.dropped,
        wall_s=time.monotonic() - start,
        latency_ms=figures.age_ms,
        work_ms=figures.work_ms,
        wait_ms=figures.wait_ms,
        stage_ms=figures.stage_ms,
        interrupted=interrupted and not (control is not None and control.stopped),
        result_fps=figures.fps,
    )


def _packets(state: _Run, views: Sequence[View], clock: LatencyMeter) -> Iterator[Packet]:
    """The finished packets; views get their tick before each one and at least every `TICK_S` while none comes."""
    while True:
        for view in views:
            view.tick(state.status(clock.frames))
        try:
            yield state.results.take(TICK_S if views else None)
        except TimeoutError:
            continue
        except EOFError:
            return


def _end(state: _Run, threads: Sequence[threading.Thread], sinks: Sequence[Sink], join_s: float) -> None:
    """Join, close the source (which may free a read stuck in a driver) and the sinks, join again, name who is left."""
    _join(threads, join_s)
    for close in (state.source.close, *(sink.close for sink in sinks)):
        try:
            close()
        except BaseException as error:
            state.failure.record(error)
    _join(threads, join_s)
    for thread in threads:
        if thread.is_alive():
            warnings.warn(f"the thread '{thread.name}' did not end within {2 * join_s:g} s and was given up", RuntimeWarning, stacklevel=3)


def _join(threads: Sequence[threading.Thread], join_s: float) -> None:
    """Wait for threads that were started; a further Ctrl-C ends the waiting, not the closing that follows."""
    deadline = time.monotonic() + join_s
    with suppress(KeyboardInterrupt):
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
