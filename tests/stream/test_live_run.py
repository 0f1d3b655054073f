"""The live contract: a camera faster than the machine never makes results older, and nothing is lost uncounted."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import pytest

from pose_rt.core.types import Packet
from pose_rt.io.sources import SyntheticSource
from pose_rt.io.sources.replay import ReplaySource
from pose_rt.stream import Control, each, run
from pose_rt.stream.protocols import Status


class Ages:
    """Keeps the age of each result, ms, and the count of drops it came with."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.ages: list[float] = []
        self.dropped: list[int] = []
        self.index: list[int] = []

    def write(self, packet: Packet) -> None:
        time.sleep(self.delay_s)
        self.ages.append((time.monotonic_ns() - packet.frame.captured_ns) / 1e6)
        self.dropped.append(packet.dropped)
        self.index.append(packet.frame.index)

    def close(self) -> None:
        pass


def slow(seconds: float) -> object:
    def step(packet: Packet) -> Packet:
        time.sleep(seconds)
        return packet

    return each(step)


@pytest.mark.parametrize(("pipeline_s", "sink_s"), [(0.04, 0.0), (0.0, 0.04), (0.03, 0.03)])
def test_60_fps_into_something_slow_never_grows_old(pipeline_s: float, sink_s: float) -> None:
    source = ReplaySource(lambda: SyntheticSource(16, 12, Fraction(60), 30), loop=True)
    control, sink = Control(), Ages(sink_s)
    timer = threading.Timer(2.5, control.stop)
    timer.start()
    report = run(source, slow(pipeline_s), sink, control=control)  # type: ignore[arg-type]
    timer.cancel()
    assert report.read == report.processed + report.dropped and report.written == report.processed == len(sink.ages)
    assert report.dropped > 0.4 * report.read
    # A frame may wait for one in the pipeline, one between the threads and one in the sink, and be worked on: never for more.
    assert len(sink.ages) > 10 and max(sink.ages[-5:]) < 1000 * (4 * (pipeline_s + sink_s)) + 500
    missing = [a - i for i, a in enumerate(sink.index)]
    assert all(d >= m for d, m in zip(sink.dropped, missing, strict=True))  # every missing number was counted before its successor came


def test_sigterm_is_ctrl_c_where_the_program_says_so() -> None:
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        source, sink = SyntheticSource(4, 4, Fraction(100), None, live=True), Ages()
        timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        timer.start()
        report = run(source, slow(0.001), sink)  # type: ignore[arg-type]
        timer.join()
        assert report.interrupted and report.written == report.processed > 0
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_sigterm_is_left_alone_otherwise() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    class Looking(Ages):
        def write(self, packet: Packet) -> None:
            seen.append(signal.getsignal(signal.SIGTERM))

    run(SyntheticSource(4, 4, frames=3), slow(0), Looking())  # type: ignore[arg-type]
    assert seen == [before] * 3


def test_views_see_the_state_of_the_source() -> None:
    class Losing(SyntheticSource):
        state = "open"

        def __iter__(self) -> Iterator:  # type: ignore[type-arg]
            for frame in super().__iter__():
                if frame.index == 3:
                    self.state = "lost"
                    self._closed.wait(0.3)
                    self.state = "open"
                yield frame

    class Watching(Ages):
        states: list[str] = []  # noqa: RUF012

        def tick(self, status: Status) -> None:
            if not self.states or self.states[-1] != status.state:
                self.states.append(status.state)

    view = Watching()
    run(Losing(4, 4, Fraction(50), 8, live=True), slow(0), view)  # type: ignore[arg-type]
    assert view.states == ["open", "lost", "open"]
