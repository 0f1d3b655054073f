"""One live run over a clip played in real time, in a process of its own: ``python -m pose_rt.bench.run_live '{"clip": ...}'``."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pose_rt.core.types import Frame, Packet

from .run_once import process_start


@dataclass(frozen=True)
class LiveCase:
    """What is run.

    Attributes:
        clip: video that is looped.
        model: landmark model.
        seconds: of measuring, after the first result.
        lookahead: frames.
        threads: of a model run.
        fps: rate to play at; None: the clip's.
        slow_ms: each frame takes this much longer in the pipeline, to overload it on purpose.
        view: none, window or web.
        flash: paint a flash once in a while and measure until it is bright in the view.
    """

    clip: str
    model: str = "full"
    seconds: float = 20.0
    lookahead: int = 0
    threads: int = 1
    fps: float | None = None
    slow_ms: float = 0.0
    view: str = "none"
    flash: bool = False


class _Ages:
    """A sink that keeps when each result came and how old it was."""

    def __init__(self) -> None:
        self.first_s: float | None = None
        self.seen: list[tuple[float, float]] = []

    def write(self, packet: Packet) -> None:
        now = time.monotonic_ns()
        if self.first_s is None:
            self.first_s = time.perf_counter()
        self.seen.append((now / 1e9, (now - packet.frame.captured_ns) / 1e6))

    def close(self) -> None:
        pass


def run_live(case: LiveCase) -> dict[str, Any]:
    """Run it; the figures as JSON values."""
    from pose_rt.config import Settings
    from pose_rt.io.sources.replay import ReplaySource
    from pose_rt.io.sources.video import VideoSource
    from pose_rt.pipeline import Pipeline
    from pose_rt.stream import Control, Sink, run

    with ExitStack() as stack:
        control = Control()
        flash = None
        paint: Callable[[Frame], Frame] | None = None
        if case.flash:
            from .flash import FlashMeter

            flash = FlashMeter()
            paint = flash.paint
        fps = None if case.fps is None else Fraction(case.fps).limit_denominator(1001)
        source = ReplaySource(lambda: VideoSource(case.clip), loop=True, fps=fps, paint=paint)
        stack.callback(source.close)
        pipeline = Pipeline(
            Settings(model=case.model, lookahead=case.lookahead, threads=case.threads), source.info.width, source.info.height
        )
        stack.callback(pipeline.close)
        pipeline.warm_up()
        ages = _Ages()
        sinks: list[Sink] = [ages]
        if case.view != "none":
            from .flash import open_view

            sinks.insert(0, open_view(case.view, source.info, control, flash, stack))
        cpu, wall = time.process_time(), time.monotonic()
        timer = threading.Timer(case.seconds, control.stop)
        timer.daemon = True
        timer.start()
        report = run(source, _Slowed(pipeline, case.slow_ms), sinks, control=control)
        timer.cancel()
        cpu_share = (time.process_time() - cpu) / (time.monotonic() - wall)
    tenth = max(1, len(ages.seen) // 10)
    return {
        "case": {**asdict(case), "clip": Path(case.clip).name},
        "frame": [source.info.width, source.info.height],
        "read": report.read,
        "processed": report.processed,
        "dropped": report.dropped,
        "dropped_share": round(report.dropped / max(report.read, 1), 4),
        "results_fps": round(report.result_fps, 2),
        "capture_to_result_ms": _rounded(report.work_ms),
        "age_ms": _rounded(report.latency_ms),
        "lookahead_ms": round(report.wait_ms, 2),
        "stages_ms": _rounded(report.stage_ms),
        "first_result_s": None if ages.first_s is None else round(ages.first_s - process_start(), 2),
        "age_first_tenth_ms": _median([age for _, age in ages.seen[:tenth]]),
        "age_last_tenth_ms": _median([age for _, age in ages.seen[-tenth:]]),
        "cpu_cores": round(cpu_share, 3),
        "flash_ms": None if flash is None else flash.summary(),
        "notes": source.notes,
    }


class _Slowed:
    """The processor, with a pause for each frame."""

    def __init__(self, process: Any, slow_ms: float) -> None:
        self._process, self._pause = process, slow_ms / 1e3
        self.flush = process.flush

    def __call__(self, packet: Packet) -> Any:
        if self._pause:
            time.sleep(self._pause)
        return self._process(packet)


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in figures.items()}


def _median(values: list[float]) -> float | None:
    return round(sorted(values)[len(values) // 2], 2) if values else None


if __name__ == "__main__":
    print(json.dumps(run_live(LiveCase(**json.loads(sys.argv[1])))))
