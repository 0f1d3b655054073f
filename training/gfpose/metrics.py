"""Scores of GFPose's evaluation: errors in absolute camera coordinates, the best of several hypotheses, and what the paper lacks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pose_rt.metrics.pose3d import auc_3dhp, joint_errors, pck_3dhp, procrustes_align

from .h36m import ACTIONS, Split

_ALL_JOINTS = {"all": tuple(range(17))}


class Alignment(NamedTuple):
    """``aligned = scale * pose @ rotation + shift`` and what is left: the squared distance over that of the target from its mean."""

    rest: float
    aligned: np.ndarray
    rotation: np.ndarray
    scale: float
    shift: np.ndarray


def procrustes(target: np.ndarray, pose: np.ndarray, *, scaling: bool = True, reflection: bool = True) -> Alignment:
    """Bring a pose (J, 3) nearest to its target: ``svd(T' P) = U S V'``, rotation ``V U'``.

    With `reflection` the best orthogonal matrix is taken, which may mirror the pose, as the published protocol 2 does.
    """
    mean_t, mean_p = target.mean(0), pose.mean(0)
    t, p = target - mean_t, pose - mean_p
    norm_t, norm_p = np.linalg.norm(t), np.linalg.norm(p)
    u, s, vt = np.linalg.svd((t / norm_t).T @ (p / norm_p), full_matrices=False)
    v = vt.T.copy()
    if not reflection and np.linalg.det(v @ u.T) < 0:
        v[:, -1] *= -1
        s[-1] *= -1
    rotation, trace = v @ u.T, s.sum()
    scale = trace * norm_t / norm_p if scaling else 1.0
    rest = 1 - trace**2 if scaling else 1 + (norm_p / norm_t) ** 2 - 2 * trace * norm_p / norm_t
    return Alignment(float(rest), scale * p @ rotation + mean_t, rotation, float(scale), mean_t - scale * mean_p @ rotation)


def image_to_camera(pixels: np.ndarray, box: np.ndarray, camera: np.ndarray, root_depth_mm: np.ndarray) -> np.ndarray:
    """Poses in crop pixels to millimetres in camera space.

    ``z = z_px / r + root depth`` with ``r = (x1 - x0 + 1) / 2000``, then ``x = (x_px - cx) / fx z`` and y alike.

    Args:
        pixels: (N, ..., 17, 3).
        box: (N, 4) x0, y0, x1, y1 px.
        camera: (N, 4) cx, cy, fx, fy px.
        root_depth_mm: (N,), the true one.
    """

    def each(values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, *([1] * (pixels.ndim - 2)))

    z = pixels[..., 2] / each((box[:, 2] - box[:, 0] + 1) / 2000) + each(root_depth_mm)
    cx, cy, fx, fy = (each(camera[:, i]) for i in range(4))
    return np.stack([(pixels[..., 0] - cx) / fx * z, (pixels[..., 1] - cy) / fy * z, z], -1)


def hypothesis_errors(predicted: np.ndarray, target: np.ndarray, *, protocol: int = 1, reference: bool = False) -> np.ndarray:
    """MPJPE of each hypothesis: (N, H, 17, 3) and (N, 17, 3) -> (N, H), in the unit of the poses.

    Args:
        protocol: 1 = as they are; 2 = after Procrustes alignment.
        reference: the alignment may mirror a pose, as published; otherwise it is a rotation.
    """
    truth = target[:, None]
    if protocol == 1:
        return joint_errors(predicted, truth).mean(-1)
    if not reference:
        return joint_errors(procrustes_align(predicted, truth), truth).mean(-1)
    aligned = np.array([[procrustes(t, p).aligned for p in poses] for t, poses in zip(target, predicted, strict=True)])
    return joint_errors(aligned, truth).mean(-1)


def over_actions(values: np.ndarray, action: np.ndarray, *, reference: bool = False) -> float:
    """The mean over the fifteen actions of each one's mean; an absent action makes it NaN as published, or is left out."""
    means = [values[action == a].mean() if (action == a).any() else np.nan for a in ACTIONS]
    return float(np.mean(means) if reference else np.nanmean(means))


def spread_xyz(predicted: np.ndarray) -> np.ndarray:
    """(3,) standard deviation over the hypotheses (N, H, 17, 3) of the joints but the root, relative to it, averaged."""
    relative = predicted[..., 1:, :] - predicted[..., :1, :]
    out: np.ndarray = relative.std(1).mean((0, 1))
    return out


def calibration(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Whether the spread of the hypotheses tells their error.

    The share of the truth's coordinates within 1 and 1.96 standard deviations of the mean (68.3 and 95 % if it does), and the largest
    distance of their ranks among the sorted hypotheses from uniform ones; nothing for a single hypothesis.
    """
    count = predicted.shape[1]
    if count < 2:
        return {}
    deviation = np.maximum(predicted.std(1, ddof=1) * np.sqrt(1 + 1 / count), 1e-9)
    ratio = np.abs(target - predicted.mean(1)) / deviation
    rank = (predicted < target[:, None]).sum(1)
    shares = np.bincount(rank.reshape(-1), minlength=count + 1) / rank.size
    worst = np.abs(np.cumsum(shares) - np.arange(1, count + 2) / (count + 1)).max()
    return {"within_1_sd": float((ratio < 1).mean()), "within_1.96_sd": float((ratio < 1.96).mean()), "rank_distance": float(worst)}


def scores(predicted_mm: np.ndarray, target_mm: np.ndarray, *, action: np.ndarray | None = None, reference: bool = False) -> dict[str, Any]:
    """All scores of hypotheses (N, H, 17, 3) against the truth (N, 17, 3), millimetres, percent.

    Args:
        action: (N,) labels, over which the means are balanced; None = plain means.
        reference: the published protocol (an alignment may mirror).
    """

    def mean(values: np.ndarray) -> float:
        return float(values.mean()) if action is None else over_actions(values, action, reference=reference)

    result: dict[str, Any] = {"poses": len(predicted_mm), "hypotheses": predicted_mm.shape[1]}
    for protocol, name in ((1, "mpjpe_mm"), (2, "pa_mpjpe_mm")):
        errors = hypothesis_errors(predicted_mm, target_mm, protocol=protocol, reference=reference)
        average = hypothesis_errors(predicted_mm.mean(1, keepdims=True), target_mm, protocol=protocol, reference=reference)[:, 0]
        result |= {f"min_{name}": mean(errors.min(1)), f"mean_{name}": mean(errors.mean(1)), f"of_the_mean_{name}": mean(average)}
    best = hypothesis_errors(predicted_mm, target_mm).argmin(1)
    relative, truth = (p - p[..., :1, :] for p in (predicted_mm[np.arange(len(best)), best], target_mm))
    errors_m = joint_errors(relative, truth) / 1000
    result["pck_150mm"] = float(pck_3dhp(errors_m, groups=_ALL_JOINTS)[-1])
    result["auc"] = float(auc_3dhp(errors_m, groups=_ALL_JOINTS)[-1])
    result["spread_xyz_mm"] = spread_xyz(predicted_mm).tolist()
    return result | calibration(predicted_mm, target_mm)


def camera_poses(split: Split, poses: np.ndarray) -> np.ndarray:
    """Poses (N, H, 17, 3) in the data's unit -> millimetres in camera space."""
    from .h36m import denormalise

    return image_to_camera(denormalise(poses.astype(np.float64)), split.box, split.camera, split.root_depth_mm)
