"""Live for a long time: memory, threads and the age of results must stay what they were (``python -m pose_rt.bench.soak CLIP``)."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from pose_rt.core.types import Packet
from pose_rt.errors import PoseRtError
from pose_rt.io.output import write_json

RSS_SHARE, RSS_MB = 0.05, 24.0
AGE_SHARE, AGE_MS = 0.5, 15.0
"""How much more is allowed at the end than at the start: a share, and a sum that noise alone can make."""
_WARM_SHARE = 0.15
"""Of the run's beginning is not compared: buffers and caches fill."""


class Sample(NamedTuple):
    """State of the process at one moment: seconds since the start, resident memory, threads, median age of the last results."""

    at_s: float
    rss_mb: float
    threads: int
    age_ms: float


class Sampler:
    """A sink that looks at the process once in `every_s`."""

    def __init__(self, every_s: float) -> None:
        self.samples: list[Sample] = []
        self._every_s, self._start = every_s, time.monotonic()
        self._next = self._start + every_s
        self._ages: list[float] = []

    def write(self, packet: Packet) -> None:
        self._ages.append((time.monotonic_ns() - packet.frame.captured_ns) / 1e6)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every_s
            self.samples.append(Sample(round(now - self._start, 2), rss_mb(), native_threads(), round(median(self._ages), 2)))
            self._ages = []

    def close(self) -> None:
        pass


def rss_mb() -> float:
    """Resident memory of this process now, MB; 0 where the system does not tell."""
    try:
        return round(int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6, 1)
    except OSError:
        return 0.0


def native_threads() -> int:
    """Threads of this process, those of libraries too."""
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return threading.active_count()


def verdict(samples: list[Sample]) -> list[str]:
    """What grew: sentences, none where everything is flat. The second and the last fifth of the run are compared."""
    samples = samples[int(_WARM_SHARE * len(samples)) :]
    fifth = max(1, len(samples) // 5)
    first, last = samples[:fifth], samples[-fifth:]
    problems = []
    for name, unit, share, sum_allowed in (
        ("rss_mb", "MB", RSS_SHARE, RSS_MB),
        ("age_ms", "ms", AGE_SHARE, AGE_MS),
        ("threads", "", 0.0, 0.0),
    ):
        before, after = (median(getattr(s, name) for s in part) for part in (first, last))
        if after > before + max(share * before, sum_allowed):
            problems.append(f"{name.split('_')[0]} grew from {before:g} to {after:g} {unit}".rstrip())
    return problems


def soak(clip: Path, seconds: float, *, model: str = "lite", samples: int = 60, record: Path | None = None) -> dict[str, Any]:
    """Run live for that long; the samples, the counts and what grew."""
    from pose_rt.config import Settings
    from pose_rt.io.draw import Annotator
    from pose_rt.io.sinks.record import RecordSink
    from pose_rt.io.sources.replay import ReplaySource
    from pose_rt.io.sources.video import VideoSource
    from pose_rt.pipeline import Pipeline
    from pose_rt.stream import Control, Sink, run

    with ExitStack() as stack:
        source = ReplaySource(lambda: VideoSource(clip), loop=True)
        stack.callback(source.close)
        pipeline = Pipeline(Settings(model=model, lookahead=0), source.info.width, source.info.height)
        stack.callback(pipeline.close)
        pipeline.warm_up()
        control = Control(recording=record is not None)
        sampler = Sampler(seconds / samples)
        sinks: list[Sink] = [RecordSink(record, source.info, Annotator(), control, overwrite=True), sampler]
        timer = threading.Timer(seconds, control.stop)
        timer.daemon = True
        timer.start()
        report = run(source, pipeline, sinks, control=control)
        timer.cancel()
    if len(sampler.samples) < 5:
        raise PoseRtError(f"only {len(sampler.samples)} samples in {seconds:g} s", "soak for longer")
    return {
        "clip": clip.name,
        "model": model,
        "seconds": seconds,
        "read": report.read,
        "processed": report.processed,
        "dropped": report.dropped,
        "columns": list(Sample._fields),
        "samples": [list(sample) for sample in sampler.samples],
        "grew": verdict(sampler.samples),
    }


def main(arguments: list[str] | None = None) -> int:
    """Soak, print a line a tenth, write the JSON; 1 if something grew."""
    from . import machine

    parser = argparse.ArgumentParser(prog="python -m pose_rt.bench.soak", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--model", default="lite")
    parser.add_argument("--record", type=Path, help="record an annotated video all the while")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    result = soak(given.clip, given.seconds, model=given.model, record=given.record)
    print("   at s   RSS MB  threads   age ms")
    for sample in result["samples"][:: max(1, len(result["samples"]) // 10)]:
        print("{:7.1f}  {:7.1f}  {:7d}  {:7.1f}".format(*sample))
    print(f"read {result['read']}, processed {result['processed']}, dropped {result['dropped']}")
    if given.json is not None:
        write_json(given.json, {"benchmark": "soak", "machine": machine.facts(), **result})
    for problem in result["grew"]:
        print(problem, file=sys.stderr)
    return int(bool(result["grew"]) or result["read"] != result["processed"] + result["dropped"])


if __name__ == "__main__":
    sys.exit(main())
