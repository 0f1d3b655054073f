"""MediaPipe's legacy Pose (complexity 1) over a clip, for `pose-rt bench pipeline --peer`; needs mediapipe 0.10.x in its Python."""

import json
import resource
import sys
import time

import cv2
import mediapipe as mp

with open("/proc/self/stat") as file:
    STARTED = int(file.read().rpartition(")")[2].split()[19]) / 100.0

capture = cv2.VideoCapture(sys.argv[1])
frames, wall, cpu, first = 0, 0.0, 0.0, 0.0
with mp.solutions.pose.Pose(model_complexity=1) as pose:
    while True:
        ok, bgr = capture.read()
        if not ok:
            break
        pose.process(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
        if frames == 0:
            wall, cpu, first = time.perf_counter(), time.process_time(), time.clock_gettime(time.CLOCK_BOOTTIME) - STARTED
        frames += 1
    rest = max(frames - 1, 1)
    print(
        json.dumps(
            {
                "frames": frames,
                "fps": rest / (time.perf_counter() - wall),
                "cpu_ms": 1000 * (time.process_time() - cpu) / rest,
                "first_s": first,
                "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
            }
        )
    )
