"""How far pose-rt, running by itself, lies from MediaPipe's recorded landmarks: ``python benchmarks/free_running.py VECTORS VIDEOS``.

VECTORS holds `<clip>.npz` with `raw/landmarks` (N, 33, 4) of MediaPipe 0.10.21 legacy Pose without smoothing, VIDEOS the clips. Prints,
per clip and mode of refinement, the median 2D difference in percent of the torso over the frames in which both see a person.
"""

import sys
from pathlib import Path

import numpy as np

from pose_rt.config import Settings
from pose_rt.core.skeleton import BLAZEPOSE33
from pose_rt.core.types import Packet
from pose_rt.io.sources.video import VideoSource
from pose_rt.metrics.keypoints import torso_px
from pose_rt.pipeline import Pipeline


def difference(vector: Path, video: Path, refine: str) -> np.ndarray:
    """(M,) difference of every landmark of every shared frame, as a share of the torso."""
    reference = np.load(vector, allow_pickle=False)["raw/landmarks"]
    source = VideoSource(video, max_frames=len(reference))
    pipeline = Pipeline(Settings(lift=False, smooth=False, refine=refine), source.info.width, source.info.height)
    shares = []
    for frame in source:
        (packet,) = pipeline(Packet(frame))
        expected = reference[frame.index, :, :2]
        if packet.keypoints is not None and packet.keypoints.people and np.isfinite(expected).all():
            distance = np.linalg.norm(packet.keypoints.xy_px[0] - expected, axis=-1)
            shares.append(distance / torso_px(expected, BLAZEPOSE33))
    source.close()
    pipeline.close()
    return np.concatenate(shares)


def main() -> None:
    vectors, videos = Path(sys.argv[1]), Path(sys.argv[2])
    for vector in sorted(vectors.glob("*.npz")):
        for refine in ("mediapipe", "sampling-argmax"):
            shares = 100 * difference(vector, videos / f"{vector.stem}.mp4", refine)
            print(f"{vector.stem:<32} {refine:<16} median {np.median(shares):5.2f} %  mean {shares.mean():5.2f} % of the torso")


if __name__ == "__main__":
    main()
