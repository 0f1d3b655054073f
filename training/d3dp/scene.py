"""One recording with all that a lifter says about it, ready to be drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pose_rt.core.aggregate import choose_by_reprojection, mean_pose, take_joints
from pose_rt.core.camera import camera_to_world, denormalise_screen
from pose_rt.core.root import estimate_root
from pose_rt.core.skeleton import H36M17, Skeleton
from pose_rt.core.windows import reassemble, take_windows, window_starts
from training.data.cmu17 import Pairs
from training.data.recordings import Recording

from .protocol import Draw, Protocol, reprojection_target
from .sampling import Lifter, draw_noise

_LEVEL = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float32)
"""A level camera's axes (x right, y down, z forward) in a world whose z points up."""


@dataclass(frozen=True)
class Scene:
    """T frames of one person.

    Attributes:
        name: of the recording.
        xy_px: (T, J, 2) the network's keypoints, px of a picture of `size`.
        truth: (T, 17, 3) metres, camera axes, relative to the root.
        hypotheses: (T, H, 17, 3) of the last iteration.
        mean, jagg: (T, 17, 3); `jagg` is None without a camera.
        place: (T, 3) true place of the root in camera axes.
        to_world: camera-space points (..., 3) to the world, z up.
    """

    name: str
    size: tuple[int, int]
    rate_hz: float
    skeleton_in: Skeleton
    skeleton_out: Skeleton
    xy_px: np.ndarray
    truth: np.ndarray
    hypotheses: np.ndarray
    mean: np.ndarray
    jagg: np.ndarray | None
    place: np.ndarray
    to_world: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return len(self.truth)


def recorded_scene(lifter: Lifter, recording: Recording, frames: int, protocol: Protocol, draw: Draw, rate_hz: float, limit: int) -> Scene:
    """Lift the first `limit` frames of a recording, J-Agg with the true root as published."""
    length = min(limit, len(recording)) if limit > 0 else len(recording)
    xy, pose = recording.xy[:length], recording.pose[:length]
    starts = window_starts(length, frames)
    parts = []
    for first in range(0, len(starts), protocol.batch):
        windows = take_windows(xy, starts[first : first + protocol.batch], frames)
        noise = draw_noise(draw, windows, protocol.hypotheses, protocol.steps)
        parts.append(lifter.iterations(windows, noise, flip=protocol.flip)[:, -1].swapaxes(1, 2))
    hypotheses = reassemble(np.concatenate(parts), length)  # (T, H, J, 3)
    place = pose[:, lifter.root]
    truth = pose.copy()
    truth[:, lifter.root] = 0.0
    by_hypothesis = hypotheses.swapaxes(0, 1)
    jagg = None
    if recording.intrinsics.size:
        target = reprojection_target(lifter, recording, xy)
        jagg = take_joints(by_hypothesis, choose_by_reprojection(by_hypothesis, target, place, recording.intrinsics))
    orientation, translation = recording.orientation, recording.translation

    def to_world(points: np.ndarray) -> np.ndarray:
        return points @ _LEVEL.T if orientation is None or translation is None else camera_to_world(points, orientation, translation)

    return Scene(
        recording.name, recording.size, rate_hz, lifter.skeleton_in, lifter.skeleton_out, denormalise_screen(xy, *recording.size), truth,
        hypotheses, mean_pose(by_hypothesis), jagg, place, to_world,
    )  # fmt: skip


def virtual_scene(lifter: Lifter, windows: Pairs, index: int, protocol: Protocol, draw: Draw, rate_hz: float) -> Scene:
    """One window of cmu17 in front of a virtual camera; the root and J-Agg are those of the run time, without the truth."""
    xy = windows.xy[index : index + 1]
    noise = draw_noise(draw, xy, protocol.hypotheses, protocol.steps)
    turned = lifter.iterations(xy, noise, flip=protocol.flip)[0, -1]  # (H, F, J, 3)
    back = windows.rotation[index]
    dense = (windows.target_m.shape[1] - 1) // max(xy.shape[1] - 1, 1)
    hypotheses, truth = turned @ back, windows.target_m[index, :: max(dense, 1)] @ back
    plane, mean = windows.plane[index], mean_pose(hypotheses)
    root = estimate_root(plane, mean, 1.0, np.zeros(2))
    camera = np.array([1.0, 1.0, 0.0, 0.0], np.float32)
    jagg = take_joints(hypotheses, choose_by_reprojection(hypotheses, plane, root, camera, clamp=False))
    xy_px = plane * 1100.0 + np.array([640, 360])
    return Scene(
        f"cmu17 window {index}", (1280, 720), rate_hz, H36M17, H36M17, xy_px, truth, hypotheses.swapaxes(0, 1),
        mean, jagg, root, lambda points: points @ _LEVEL.T,
    )  # fmt: skip
