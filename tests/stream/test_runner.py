"""The runner: nothing lost from files, the newest from cameras, the first error once, and nothing left running."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pose_rt.core.types import Frame, Packet, Span
from pose_rt.io.sources import SyntheticSource
from pose_rt.stream import SourceInfo, each, run
from pose_rt.stream.runner import _capacity


class Boom(Exception):
    """The error of a test."""


class Source:
    """`frames` small frames as fast as they are taken; a live one every 0.2 ms. Raises in place of frame `fail`."""

    def __init__(self, frames: int = 120, *, live: bool = False, fail: int | None = None) -> None:
        self.info = SourceInfo(4, 4, Fraction(30), live, None if live else frames, None, "test")
        self.notes: list[str] = []
        self.frames, self.fail = frames, fail
        self.closed = 0
        self.thread: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        self.thread = threading.current_thread().name
        for i in range(self.frames):
            if i == self.fail:
                raise Boom(f"source {i}")
            if self.info.live:
                time.sleep(2e-4)
            yield Frame(np.zeros((4, 4, 3), np.uint8), i, i * 33_333_333, time.monotonic_ns())

    def close(self) -> None:
        self.closed += 1


class Sink:
    def __init__(self, fail: int | None = None, error: type[BaseException] = Boom, delay_s: float = 0.0) -> None:
        self.fail, self.error, self.delay_s = fail, error, delay_s
        self.packets: list[Packet] = []
        self.closed = 0
        self.thread: str | None = None

    def write(self, packet: Packet) -> None:
        self.thread = threading.current_thread().name
        if len(self.packets) == self.fail:
            raise self.error(f"sink {self.fail}")
        time.sleep(self.delay_s)
        self.packets.append(packet)

    def close(self) -> None:
        self.closed += 1

    @property
    def indices(self) -> list[int]:
        return [packet.frame.index for packet in self.packets]


class Lookahead:
    """Gives each packet back `delay` packets later, and the last ones on flush."""

    def __init__(self, delay: int) -> None:
        self.delay = delay
        self.waiting: list[Packet] = []

    def __call__(self, packet: Packet) -> Sequence[Packet]:
        self.waiting.append(packet)
        return [self.waiting.pop(0)] if len(self.waiting) > self.delay else []

    def flush(self) -> Sequence[Packet]:
        rest, self.waiting = self.waiting, []
        return rest


def pipeline(fail: int | None = None) -> tuple[object, list[int]]:
    seen: list[int] = []

    def step(packet: Packet) -> Packet:
        if len(seen) == fail:
            raise Boom(f"pipeline {fail}")
        seen.append(packet.frame.index)
        return packet

    return each(step), seen


def no_thread_is_left() -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not [t for t in threading.enumerate() if t.name.startswith("pose-rt")]:
            return True
        time.sleep(0.005)
    return False


@pytest.mark.parametrize("delay", [0, 1, 13, 500])
def test_a_file_loses_nothing(delay: int) -> None:
    source, sink = Source(120), Sink()
    report = run(source, Lookahead(delay), sink)
    assert sink.indices == list(range(120))
    assert [p.frame.media_ns for p in sink.packets] == [i * 33_333_333 for i in range(120)]
    assert (report.read, report.processed, report.written, report.dropped, report.interrupted) == (120, 120, 120, 0, False)
    assert source.closed == sink.closed == 1 and no_thread_is_left()
    assert source.thread == "pose-rt source" and sink.thread == threading.current_thread().name
    assert 0 <= report.latency_ms["p50"] <= report.latency_ms["p95"] <= report.latency_ms["max"] and report.fps > 0


def test_a_slow_sink_loses_nothing_and_memory_stays_bounded() -> None:
    source, sink = Source(60), Sink(delay_s=0.001)
    ahead = 0

    def step(packet: Packet) -> Packet:
        nonlocal ahead
        ahead = max(ahead, packet.frame.index - len(sink.packets))
        return packet

    run(source, each(step), sink)
    assert sink.indices == list(range(60)) and ahead <= 4 + 3


def test_a_camera_drops_in_one_place_and_counts() -> None:
    source, sink = Source(300, live=True), Sink()

    def slow(packet: Packet) -> Packet:
        time.sleep(0.002)
        return packet

    report = run(source, each(slow), sink)
    assert report.read == 300 and report.dropped > 100 and report.read == report.processed + report.dropped
    assert report.written == report.processed == len(sink.packets)
    assert sink.indices == sorted(set(sink.indices)) and sink.indices[-1] == 299  # in order, and the newest came through


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("at", [0, 2, 99])
@pytest.mark.parametrize("where", ["source", "pipeline", "sink"])
def test_the_first_error_is_raised_once_and_everything_ends(where: str, at: int, live: bool) -> None:
    frames = 120 if not live else 100_000
    source = Source(frames, live=live, fail=at if where == "source" else None)
    process, seen = pipeline(at if where == "pipeline" else None)
    sink, other = Sink(at if where == "sink" else None), Sink()
    with pytest.raises(Boom, match=f"^{where} {at}$"):
        run(source, process, [other, sink])  # type: ignore[arg-type]
    assert source.closed == sink.closed == other.closed == 1 and no_thread_is_left()
    assert sink.indices == seen[: len(sink.packets)]
    if where != "sink" and not live:
        assert sink.indices == list(range(at))  # what came before the error is written
    if where == "sink":
        assert len(sink.packets) == at


def test_the_first_of_two_errors_wins() -> None:
    class Failing(Sink):
        def close(self) -> None:
            super().close()
            raise RuntimeError("close after the failure")

    sink = Failing(fail=3)
    with pytest.raises(Boom, match="sink 3"):
        run(Source(), each(lambda packet: packet), sink)
    alone = Failing()
    with pytest.raises(RuntimeError, match="close after"):
        run(Source(5), each(lambda packet: packet), [alone, last := Sink()])
    assert alone.closed == last.closed == 1


def test_an_error_of_flush_is_raised() -> None:
    class Bad(Lookahead):
        def flush(self) -> Sequence[Packet]:
            raise Boom("flush")

    with pytest.raises(Boom, match="flush"):
        run(Source(10), Bad(3), sink := Sink())
    assert sink.indices == list(range(7))


def test_ctrl_c_stops_reading_and_writes_what_was_read() -> None:
    source, sink = SyntheticSource(4, 4, frames=None, live=True, fps=Fraction(500)), Sink()
    pressed = threading.Event()

    def step(packet: Packet) -> Packet:
        if packet.frame.index >= 20 and not pressed.is_set():
            pressed.set()
            os.kill(os.getpid(), signal.SIGINT)
        return packet

    report = run(source, each(step), sink)
    assert report.interrupted and report.written == report.processed == len(sink.packets) > 0
    assert sink.closed == 1 and no_thread_is_left()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_a_file_leaves_an_unbroken_beginning() -> None:
    def step(packet: Packet) -> Packet:
        if packet.frame.index == 30:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1e-4)
        return packet

    report = run(source := SyntheticSource(4, 4, frames=100_000), each(step), sink := Sink())
    assert report.interrupted and 30 < report.written < 100_000
    assert sink.indices == list(range(report.read)) and sink.closed == 1 and source.info.length == 100_000


def test_a_keyboard_interrupt_out_of_a_sink_ends_at_once() -> None:
    report = run(source := Source(), each(lambda packet: packet), sink := Sink(fail=5, error=KeyboardInterrupt))
    assert report.interrupted and report.written == 5 and source.closed == sink.closed == 1 and no_thread_is_left()


def test_closing_frees_a_read_stuck_in_a_driver() -> None:
    class Stuck(Source):
        def __init__(self) -> None:
            super().__init__(live=True)
            self.freed = threading.Event()

        def __iter__(self) -> Iterator[Frame]:
            yield Frame(np.zeros((4, 4, 3), np.uint8), 0, 0, 0)
            self.freed.wait(10)

        def close(self) -> None:
            super().close()
            self.freed.set()

    process, _ = pipeline(fail=0)
    with pytest.raises(Boom):
        run(source := Stuck(), process, Sink(), join_s=0.05)  # type: ignore[arg-type]
    assert source.closed == 1 and no_thread_is_left()


def test_ctrl_c_frees_a_read_stuck_in_a_driver() -> None:
    class Stuck(Source):
        freed = threading.Event()

        def __iter__(self) -> Iterator[Frame]:
            yield Frame(np.zeros((4, 4, 3), np.uint8), 0, 0, 0)
            os.kill(os.getpid(), signal.SIGINT)
            assert self.freed.wait(40), "the source is closed at once, not after join_s"

        def close(self) -> None:
            self.freed.set()

    report = run(source := Stuck(live=True), each(lambda packet: packet), sink := Sink(), join_s=50)
    assert report.interrupted and sink.indices == [0] and source.freed.is_set() and no_thread_is_left()


def test_a_thread_that_does_not_end_is_named() -> None:
    release = threading.Event()

    def step(packet: Packet) -> Packet:
        release.wait(10)
        return packet

    with pytest.warns(RuntimeWarning, match="'pose-rt pipeline' did not end"):
        report = run_interrupted(Source(3), step)
    release.set()
    assert report == "interrupted" and no_thread_is_left()


def run_interrupted(source: Source, step: object) -> str:
    """A run whose sink loop is broken by a second Ctrl-C while the pipeline hangs."""
    timer = threading.Timer(0.05, lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(0.05), os.kill(os.getpid(), signal.SIGINT)))
    timer.start()
    report = run(source, each(step), Sink(), join_s=0.05)  # type: ignore[arg-type]
    timer.join()
    return "interrupted" if report.interrupted else "complete"


def test_stage_times_are_means_over_the_written_frames() -> None:
    def step(packet: Packet) -> Packet:
        return replace(packet, spans=(Span("a", 0, 1_000_000), Span("b", 0, 2_000_000 * packet.frame.index)))

    assert run(Source(3), each(step), Sink()).stage_ms == {"a": 1.0, "b": 2.0}


def test_very_large_pictures_wait_in_smaller_numbers() -> None:
    source = Source()
    assert _capacity(source) == 8
    source.info = replace(source.info, width=8192, height=8192)
    assert _capacity(source) == 1
