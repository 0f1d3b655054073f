"""A video in, 3D joints out, in a dozen lines of Python: ``python demos/video_to_3d.py [CLIP]``."""

import sys
from pathlib import Path

from pose_rt.config import Settings
from pose_rt.core.types import Packet
from pose_rt.io.sources.video import VideoSource
from pose_rt.pipeline import Pipeline
from pose_rt.stream.runner import run

CLIP = Path(__file__).parent / "clips" / "woman_walking.mp4"


class PrintWrist:
    """A sink is anything with `write` and `close`. This one prints where the right wrist is, and how sure the model is."""

    def write(self, packet: Packet) -> None:
        pose = packet.pose
        if pose is None or not len(pose.track):
            return
        wrist = pose.skeleton.joints.index("right_wrist")
        x, y, z = pose.joints_m[0, wrist]
        place = f"{x:+.2f} {y:+.2f} {z:+.2f} m from the pelvis"
        print(f"{packet.frame.media_ns / 1e9:6.3f} s  right wrist {place}, sigma {pose.sigma_m[0, wrist]:.2f} m")

    def close(self) -> None:
        pass


def main() -> None:
    source = VideoSource(sys.argv[1] if len(sys.argv) > 1 else CLIP, start_s=1.0, duration_s=1.0)
    pipeline = Pipeline(Settings(hypotheses=5, forecast=False), source.info.width, source.info.height)
    report = run(source, pipeline, PrintWrist())
    print(f"{report.written} frames at {report.fps:.0f} fps")


if __name__ == "__main__":
    main()
