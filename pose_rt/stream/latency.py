"""How old results are, from the capture of their frame: the whole age, and apart from it the wait for the look-ahead."""

from __future__ import annotations

import math
import time
from array import array
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from ..core.types import Packet

RANKS = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


class LatencySummary(NamedTuple):
    """Figures of the frames that a `LatencyMeter` remembers; empty dictionaries before the first one.

    Attributes:
        age_ms: "p50", "p95", "p99", "max" of the time from capture to `add`.
        work_ms: the same without the wait for the look-ahead.
        wait_ms: mean algorithmic delay of the look-ahead.
        stage_ms: mean time of each stage.
        fps: frames a second between the first and the last frame remembered, by the clock of `add`.
        frames: added in all.
        dropped: lost before the pipeline until the last frame.
    """

    age_ms: dict[str, float]
    work_ms: dict[str, float]
    wait_ms: float
    stage_ms: dict[str, float]
    fps: float
    frames: int
    dropped: int


class LatencyMeter:
    """Collects the last `window` frames' ages in bounded memory.

    Args:
        window: frames remembered; about 8000 for a report, about 100 for a display that shall follow.
    """

    def __init__(self, window: int = 8192) -> None:
        self._seen: deque[tuple[int, int, int]] = deque(maxlen=window)  # now, age, wait
        self._stages: deque[tuple[tuple[str, ...], array[int]]] = deque(maxlen=window)  # compact: thousands are kept
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._dropped = 0
        self.frames = 0

    def add(self, packet: Packet, now_ns: int | None = None) -> None:
        """A packet has arrived where its age is asked for; `now_ns` on the monotonic clock, None: now."""
        now = time.monotonic_ns() if now_ns is None else now_ns
        self._seen.append((now, now - packet.frame.captured_ns, packet.waited_ns))
        names = tuple(span.stage for span in packet.spans)
        self._stages.append((self._names.setdefault(names, names), array("q", [span.end_ns - span.start_ns for span in packet.spans])))
        self._dropped = packet.dropped
        self.frames += 1

    def summary(self) -> LatencySummary:
        """The figures of the frames remembered."""
        seen, stages = list(self._seen), list(self._stages)
        if not seen:
            return LatencySummary({}, {}, 0.0, {}, 0.0, 0, 0)
        totals: dict[str, int] = {}
        for names, durations in stages:
            for stage, taken in zip(names, durations, strict=True):
                totals[stage] = totals.get(stage, 0) + taken
        elapsed = seen[-1][0] - seen[0][0]
        return LatencySummary(
            age_ms=_percentiles(age for _, age, _ in seen),
            work_ms=_percentiles(age - wait for _, age, wait in seen),
            wait_ms=sum(wait for _, _, wait in seen) / len(seen) / 1e6,
            stage_ms={stage: total / len(stages) / 1e6 for stage, total in totals.items()},
            fps=(len(seen) - 1) * 1e9 / elapsed if elapsed > 0 else 0.0,
            frames=self.frames,
            dropped=self._dropped,
        )


def _percentiles(values_ns: Iterable[int]) -> dict[str, float]:
    """Nearest-rank percentiles, ms."""
    ordered = sorted(values_ns)
    return {name: ordered[max(0, math.ceil(rank * len(ordered)) - 1)] / 1e6 for name, rank in RANKS.items()}
