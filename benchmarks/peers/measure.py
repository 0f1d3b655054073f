"""What every peer script reports of one pass over a clip: one JSON line, as `pose_rt.bench.bench_pipeline.Measured` wants it."""

import json
import os
import resource
import time
from collections.abc import Callable

import cv2
import numpy as np


def measure(clip: str, process: Callable[[np.ndarray, int], object]) -> None:
    """Decode the clip with OpenCV, call ``process(rgb, index)`` on every frame, print the figures."""
    with open("/proc/self/stat", encoding="utf-8") as file:
        started = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    capture = cv2.VideoCapture(clip)
    frames, wall, cpu, first = 0, 0.0, 0.0, 0.0
    while True:
        read, bgr = capture.read()
        if not read:
            break
        process(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), frames)
        if frames == 0:
            wall, cpu, first = time.perf_counter(), time.process_time(), time.clock_gettime(time.CLOCK_BOOTTIME) - started
        frames += 1
    rest = max(frames - 1, 1)
    result = {
        "frames": frames,
        "fps": rest / (time.perf_counter() - wall),
        "cpu_ms": 1000 * (time.process_time() - cpu) / rest,
        "first_s": first,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }
    print(json.dumps(result))
