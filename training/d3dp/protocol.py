"""The published evaluation: windows of recordings -> hypotheses of every iteration -> four selections -> errors.

Windows tile a recording; the last one overlaps the one before, and the frames of both count, as in the published numbers. Poses of
a whole recording are put together without counting twice; velocity and MPI-INF-3DHP's measures are taken from those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pose_rt.core.aggregate import choose_by_reprojection, mean_pose, take_joints
from pose_rt.core.camera import denormalise_screen
from pose_rt.core.skeleton import to_h36m
from pose_rt.core.windows import reassemble, take_windows, window_starts
from pose_rt.errors import InputError, UsageError
from pose_rt.metrics.pose3d import (
    Scope,
    best_joint_index,
    best_pose_index,
    hypothesis_errors,
    joint_errors,
    procrustes_align,
    velocity_error,
)
from training.data.recordings import Recording

from .sampling import Lifter, draw_noise

SELECTIONS = ("J_Best", "P_Best", "P_Agg", "J_Agg")
Draw = Callable[[tuple[int, ...]], np.ndarray]
"""``draw(shape)`` -> standard normal float32 numbers."""


@dataclass(frozen=True)
class Protocol:
    """How a recording is lifted and scored.

    Attributes:
        hypotheses, steps: H and K.
        batch: windows lifted together; only `scope` "batch" makes a number depend on it.
        scope: of P-Best's choice, see `best_pose_index`; "window" does not depend on the batch, "batch" is the published figure.
        flip: average with the mirrored input.
        aligned: also protocol 2.
    """

    hypotheses: int = 20
    steps: int = 10
    batch: int = 4
    scope: Scope = "window"
    flip: bool = True
    aligned: bool = False

    def check(self, timesteps: int) -> None:
        """Raises UsageError: no hypothesis, no step, more steps than the diffusion has, or an empty batch."""
        if self.hypotheses < 1:
            raise UsageError(f"-H: got {self.hypotheses} hypotheses, wanted at least 1")
        if not 1 <= self.steps <= timesteps:
            raise UsageError(f"-K: got {self.steps} iterations, wanted 1 to {timesteps}, the steps of this model's diffusion")
        if self.batch < 1:
            raise UsageError(f"--batch: got {self.batch} windows, wanted at least 1")


@dataclass
class Lifted:
    """Results of one recording.

    Attributes:
        frames: B F of all batches, the weight of `errors`.
        errors: "p1" and "p2" -> selection -> (K,) mean error, metres.
        poses: selection -> (K, T, J, 3) metres, root zero, re-assembled.
        velocity: selection -> (K,) metres a frame.
    """

    frames: int
    errors: dict[str, dict[str, np.ndarray]]
    poses: dict[str, np.ndarray]
    velocity: dict[str, np.ndarray] = field(default_factory=dict)


def lift_recording(
    lifter: Lifter,
    recording: Recording,
    frames: int,
    protocol: Protocol,
    draw: Draw,
    progress: Callable[[int], None] = lambda windows: None,
) -> Lifted:
    """Lift and score one recording.

    Args:
        frames: F, the model's window.
        draw: the noise; asked for in the published order (start, then each further iteration, batch by batch).
        progress: told after each batch how many windows it had.
    """
    starts = window_starts(len(recording), frames)
    xy, target, root = _windows(recording, starts, frames, lifter.root)
    sums: dict[str, dict[str, np.ndarray]] = {}
    poses: dict[str, list[np.ndarray]] = {}
    for first in range(0, len(starts), protocol.batch):
        rows = slice(first, first + protocol.batch)
        noise = draw_noise(draw, xy[rows], protocol.hypotheses, protocol.steps)
        hypotheses = lifter.iterations(xy[rows], noise, flip=protocol.flip)
        chosen = _choose(lifter, recording, hypotheses, xy[rows], root[rows])
        selected, errors = select(hypotheses, target[rows], chosen, protocol)
        weight = xy[rows].shape[0] * frames
        for name, by_selection in errors.items():
            for key, value in by_selection.items():
                total = sums.setdefault(name, {}).setdefault(key, np.zeros(protocol.steps))
                total += weight * value
        for key, pose in selected.items():
            poses.setdefault(key, []).append(pose)
        progress(len(xy[rows]))
    count = len(starts) * frames
    whole = {key: _whole(np.concatenate(parts), len(recording)) for key, parts in poses.items()}
    errors = {name: {key: total / count for key, total in by.items()} for name, by in sums.items()}
    return Lifted(count, errors, whole, _velocities(whole, recording, lifter.root))


def select(
    hypotheses: np.ndarray, target: np.ndarray, chosen: np.ndarray | None, protocol: Protocol
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """Poses (B, K, F, J, 3) of each selection, and their mean errors (K,) by protocol.

    Args:
        hypotheses: (B, K, H, F, J, 3).
        target: (B, F, J, 3).
        chosen: (B, K, F, J), JPMA's choice, or None without a camera.
    """
    truth = target[:, None]
    distance = joint_errors(hypotheses, truth[:, :, None])
    best_pose = best_pose_index(distance, protocol.scope)
    poses = {
        "J_Best": take_joints(hypotheses, best_joint_index(distance)),
        "P_Best": take_joints(hypotheses, np.broadcast_to(best_pose[..., None], (*best_pose.shape, hypotheses.shape[-2]))),
        "P_Agg": mean_pose(hypotheses),
    }
    if chosen is not None:
        poses["J_Agg"] = take_joints(hypotheses, chosen)
    errors = {"p1": {key: joint_errors(pose, truth).mean((0, 2, 3)) for key, pose in poses.items()}}
    if protocol.aligned:
        aligned = hypothesis_errors(hypotheses, truth, chosen, align=procrustes_align, scope=protocol.scope)
        errors["p2"] = {key: value.mean((0, 2, 3)) for key, value in aligned.items()}
    return poses, errors


def combine(results: list[Lifted]) -> dict[str, dict[str, np.ndarray]]:
    """Errors of several recordings, weighted by their frames: "p1" and "p2" -> selection -> (K,) metres."""
    weights = np.array([r.frames for r in results], np.float64)
    return {
        name: {key: np.average([r.errors[name][key] for r in results], axis=0, weights=weights) for key in results[0].errors[name]}
        for name in results[0].errors
    }


def seeded(seed: int) -> Draw:
    """Noise from NumPy's generator."""
    rng = np.random.default_rng(seed)
    return lambda shape: rng.standard_normal(shape, dtype=np.float32)


def check_skeletons(lifter: Lifter, data_in: str, data_out: str) -> None:
    """Raises InputError where a model and a data set have other joint orders."""
    for what, have, want in (("keypoints", data_in, lifter.skeleton_in.name), ("poses", data_out, lifter.skeleton_out.name)):
        if have != want:
            cure = "choose other --keypoints or another --dataset"
            raise InputError(f"the data have {what} in {have} order, the model was trained with {want}", cure)


def _windows(recording: Recording, starts: np.ndarray, frames: int, root: int) -> tuple[np.ndarray, ...]:
    """xy (n, F, J, 2), target (n, F, J, 3) with its root at zero, and the root's place (n, F, 3)."""
    pose = take_windows(recording.pose, starts, frames)
    place = pose[:, :, root].copy()
    pose[:, :, root] = 0.0
    return take_windows(recording.xy, starts, frames), pose, place


def reprojection_target(lifter: Lifter, recording: Recording, xy: np.ndarray) -> np.ndarray:
    """Keypoints (..., J, 2) in the joints of the poses and the unit of the recording's camera."""
    if lifter.skeleton_in is not lifter.skeleton_out:
        xy, _ = to_h36m(xy, None, lifter.skeleton_in)
    return xy if recording.intrinsics.size == 9 else denormalise_screen(xy, *recording.size)


def _choose(lifter: Lifter, recording: Recording, hypotheses: np.ndarray, xy: np.ndarray, root: np.ndarray) -> np.ndarray | None:
    """JPMA with the true root, as published: (B, K, F, J); None where the camera is not known."""
    if recording.intrinsics.size == 0:
        return None
    target = reprojection_target(lifter, recording, xy)
    return choose_by_reprojection(hypotheses, target[:, None], root[:, None], recording.intrinsics)


def _whole(windows: np.ndarray, length: int) -> np.ndarray:
    """(n, K, F, J, 3) -> (K, T, J, 3)."""
    return np.stack([reassemble(windows[:, k], length) for k in range(windows.shape[1])])


def _velocities(poses: dict[str, np.ndarray], recording: Recording, root: int) -> dict[str, np.ndarray]:
    if len(recording) < 2:
        return {}
    truth = recording.pose.copy()
    truth[:, root] = 0.0
    return {key: velocity_error(pose, truth[None]).mean(-1) for key, pose in poses.items()}
