"""Run a source through a processor into sinks: source thread -> channel -> pipeline thread -> channel -> sinks on the caller's thread.

A file loses nothing and keeps order and time stamps. A live source keeps its newest frame only, so a frame can be lost in one
place, before any work, and it is counted there. The first error wins: what came before it is still written, every thread ends,
the sinks are closed, and the error is raised once, in the caller.
"""

from __future__ import annotations

import math
import signal
import threading
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from types import FrameType

from ..core.types import Frame, Packet
from .channel import Channel
from .protocols import Processor, Sink, Source

QUEUE_FRAMES = 8
QUEUE_BYTES = 256 << 20
_LATENCY_WINDOW = 8192


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        read, processed, written, dropped: frames that left the source, entered the processor, reached every sink, and were
            replaced by a newer one before any work (live sources only).
        wall_s: from the call to the last sink closed.
        latency_ms: "p50", "p95", "p99", "max" from capture to the end of the last sink's write, over the last 8192 frames.
        stage_ms: mean time of each stage per written frame, from the packets' spans.
        interrupted: Ctrl-C ended the run; what had been read by then was still written.
    """

    read: int
    processed: int
    written: int
    dropped: int
    wall_s: float
    latency_ms: dict[str, float]
    stage_ms: dict[str, float]
    interrupted: bool

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


class _Clock:
    """Counts written packets, their latency and their stage times in bounded memory."""

    def __init__(self) -> None:
        self.written = 0
        self._latency_ns: deque[int] = deque(maxlen=_LATENCY_WINDOW)
        self._stage_ns: defaultdict[str, int] = defaultdict(int)

    def count(self, packet: Packet) -> None:
        self.written += 1
        self._latency_ns.append(time.monotonic_ns() - packet.frame.captured_ns)
        for span in packet.spans:
            self._stage_ns[span.stage] += span.end_ns - span.start_ns

    def latency_ms(self) -> dict[str, float]:
        ordered = sorted(self._latency_ns)
        if not ordered:
            return {}
        ranks = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        return {name: ordered[max(0, math.ceil(rank * len(ordered)) - 1)] / 1e6 for name, rank in ranks.items()}

    def stage_ms(self) -> dict[str, float]:
        return {stage: total / 1e6 / self.written for stage, total in self._stage_ns.items()}


@contextmanager
def _on_ctrl_c(act: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C call `act` instead of raising in the middle of a write; the second raises as usual."""
    own = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not own:
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        act()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
        self.results: Channel[Packet] = Channel(max(1, capacity // 2))
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
                if not self._pass_on(self.process(Packet(frame))):
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


def run(source: Source, process: Processor, sinks: Sink | Sequence[Sink], *, capacity: int | None = None, join_s: float = 5.0) -> RunReport:
    """Run until the source ends, an error or Ctrl-C; then close the source and every sink.

    Args:
        source: iterated on its own thread and closed at the end.
        process: called on its own thread, one packet at a time.
        sinks: written and closed on the caller's thread, in this order.
        capacity: frames that may wait before the pipeline, and half as many results after it; None: 8, fewer for very large
            pictures. Of a live source one frame waits.
        join_s: seconds a thread may take to end before the source is closed under it, and again before it is given up with a
            warning that names it.

    Raises:
        The first error of source, processor or sinks, after all of them were closed. The first Ctrl-C does not raise: the
        report says `interrupted`.
    """
    sinks = [sinks] if not isinstance(sinks, Sequence) else sinks
    start = time.monotonic()
    state = _Run(source, process, _capacity(source) if capacity is None else capacity)
    threads = [
        threading.Thread(target=state.feed, name="pose-rt source", daemon=True),
        threading.Thread(target=state.work, name="pose-rt pipeline", daemon=True),
    ]
    watcher = threading.Thread(target=state.watch, name="pose-rt interrupt", daemon=True)
    clock = _Clock()
    killed = False
    with _on_ctrl_c(lambda: state.signals.put(True)):
        try:
            for thread in (watcher, *threads):
                thread.start()
            for packet in state.results:
                for sink in sinks:
                    sink.write(packet)
                clock.count(packet)
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
    return RunReport(
        read=state.read,
        processed=state.processed,
        written=clock.written,
        dropped=state.frames.dropped,
        wall_s=time.monotonic() - start,
        latency_ms=clock.latency_ms(),
        stage_ms=clock.stage_ms(),
        interrupted=interrupted,
    )


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
