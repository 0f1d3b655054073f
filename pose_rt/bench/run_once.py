"""One pass of the pipeline over a clip, in a process of its own: ``python -m pose_rt.bench.run_once 2d|3d|video CLIP``."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

if sys.platform != "win32":
    import resource

from pose_rt.core.types import Packet


class FirstFrame:
    """A sink that marks when the first frame is done and counts the rest."""

    def __init__(self) -> None:
        self.frames, self.wall, self.cpu = 0, 0.0, 0.0

    def write(self, packet: Packet) -> None:
        if self.frames == 0:
            self.wall, self.cpu = time.perf_counter(), time.process_time()
        self.frames += 1

    def close(self) -> None:
        pass


def run_once(mode: str, clip: Path) -> dict[str, float]:
    """Run it and return the fields of `bench_pipeline.Measured`."""
    from pose_rt.config import Settings
    from pose_rt.io.draw import Style, draw_frame
    from pose_rt.io.sinks.video import VideoSink
    from pose_rt.io.sources.video import VideoSource
    from pose_rt.pipeline import Pipeline
    from pose_rt.stream.protocols import Sink
    from pose_rt.stream.runner import run

    with tempfile.TemporaryDirectory() as folder:
        source = VideoSource(clip)
        pipeline = Pipeline(Settings(lift=mode != "2d", forecast=mode != "2d"), source.info.width, source.info.height)
        first = FirstFrame()
        sinks: list[Sink] = []
        if mode == "video":
            style = Style()
            sinks.append(VideoSink(Path(folder) / "out.mp4", source.info, lambda packet: draw_frame(packet, style), audio_from=clip))
        sinks.append(first)
        run(source, pipeline, sinks)
        wall, cpu = time.perf_counter(), time.process_time()
        pipeline.close()
    rest = max(first.frames - 1, 1)
    return {
        "frames": first.frames,
        "fps": rest / (wall - first.wall),
        "cpu_ms": 1000 * (cpu - first.cpu) / rest,
        "first_s": first.wall - process_start(),
        "rss_mb": peak_rss_mb(),
    }


def peak_rss_mb() -> float:
    """Greatest resident memory of this process so far, MB; NaN where the system does not tell."""
    if sys.platform == "win32":
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def process_start() -> float:
    """`time.perf_counter` at the start of the process, where the system tells; else at the import of this module."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        import os

        return time.perf_counter() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError):
        return _IMPORTED


_IMPORTED = time.perf_counter()

if __name__ == "__main__":
    print(json.dumps(run_once(sys.argv[1], Path(sys.argv[2]))))
