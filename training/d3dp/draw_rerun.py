"""A scene as a Rerun file (.rrd), to be turned and scrubbed: ``rerun FILE.rrd``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from pose_rt.core.skeleton import Skeleton
from pose_rt.errors import UsageError

from .paint import HYPOTHESIS, JAGG, LEFT, MEAN, TRUTH
from .scene import Scene


def save_rerun(scene: Scene, path: Path) -> None:
    """Write every frame: keypoints, and in world axes truth, mean, J-Agg and hypotheses; under a temporary name, then moved.

    Raises:
        UsageError: Rerun is not installed.
    """
    try:
        import rerun as rr
    except ImportError as error:
        raise UsageError("Rerun is not installed", "install it with: pip install 'pose-rt[viewer]'") from error
    stream = rr.RecordingStream("pose-rt d3dp")
    temporary = path.with_name(f".{path.name}.part")
    stream.save(str(temporary))
    stream.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    for t in track(range(len(scene)), "drawing", console=Console(stderr=True)):
        stream.set_time("frame", sequence=t)
        stream.set_time("media", duration=t / scene.rate_hz)
        flat = scene.xy_px[t].astype(np.float32)
        stream.log("keypoints", rr.LineStrips2D(_strips(flat, scene.skeleton_in), colors=_rgb(LEFT)))
        layers = {"truth": (scene.truth[t], TRUTH, 0.012), "mean": (scene.mean[t], MEAN, 0.01)}
        if scene.jagg is not None:
            layers["j_agg"] = (scene.jagg[t], JAGG, 0.01)
        for name, (pose, colour, radius) in layers.items():
            _log_pose(rr, stream, f"world/{name}", scene, t, pose[None], colour, radius)
        _log_pose(rr, stream, "world/hypotheses", scene, t, scene.hypotheses[t], HYPOTHESIS, 0.003)
    stream.flush()
    stream.disconnect()
    temporary.replace(path)


def _log_pose(rr: Any, stream: Any, name: str, scene: Scene, t: int, poses: np.ndarray, colour: Any, radius: float) -> None:
    placed = scene.to_world(poses + scene.place[t]).astype(np.float32)
    strips = np.concatenate([_strips(pose, scene.skeleton_out) for pose in placed])
    stream.log(name, rr.LineStrips3D(strips, colors=_rgb(colour), radii=radius))


def _strips(points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(J, D) -> (bones, 2, D); bones with an unknown end are left out."""
    bones = points[np.array(skeleton.edges)]
    return bones[np.isfinite(bones).all((1, 2))]


def _rgb(bgr: tuple[int, int, int]) -> list[int]:
    return [bgr[2], bgr[1], bgr[0]]
