"""MediaPipe's legacy Pose (complexity 1), for `pose-rt bench pipeline --peer`; needs mediapipe 0.10.x in its Python."""

import sys

import mediapipe as mp
from measure import measure

with mp.solutions.pose.Pose(model_complexity=1) as pose:
    measure(sys.argv[1], lambda rgb, index: pose.process(rgb))
