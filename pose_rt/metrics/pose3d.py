"""How far 3D poses are from the truth: errors, alignments, and the four ways to score several hypotheses.

Poses are (..., J, 3) in metres and errors are in metres, in float64; all functions work on any leading axes. An alignment turns
MPJPE into another error: ``mpjpe(procrustes_align(p, g), g)`` is PA-MPJPE, ``mpjpe(scale_align(p, g), g)`` is N-MPJPE.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from pose_rt.core.aggregate import mean_pose

Alignment = Callable[[np.ndarray, np.ndarray], np.ndarray]
Scope = Literal["pose", "window", "batch"]

_TINY = 1e-12

PCK_GROUPS_3DHP: dict[str, tuple[int, ...]] = {
    "head": (0,), "neck": (1,), "shoulders": (2, 5), "elbows": (3, 6), "wrists": (4, 7), "hips": (8, 11), "knees": (9, 12),
    "ankles": (10, 13),
}  # fmt: skip
"""MPI-INF-3DHP's joint groups, in that data set's joint order."""
PCK_THRESHOLD_M = 0.150
AUC_THRESHOLDS_M = np.arange(31) * 0.005


def joint_errors(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Euclidean distance of each joint: (..., J, 3) twice -> (..., J)."""
    return np.linalg.norm(predicted.astype(np.float64) - target, axis=-1)


def mpjpe(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean per-joint position error of each pose (protocol 1): (..., J, 3) twice -> (...)."""
    return joint_errors(predicted, target).mean(-1)


def velocity_error(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """MPJPE of first differences along time: (..., F, J, 3) twice -> (..., F - 1), metres a frame."""
    return mpjpe(np.diff(predicted.astype(np.float64), axis=-3), np.diff(target.astype(np.float64), axis=-3))


def identity_align(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """No alignment: the poses as they are."""
    return np.broadcast_to(predicted, np.broadcast_shapes(predicted.shape, target.shape)).astype(np.float64)


def scale_align(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Scale each pose by ``s = sum(g . p) / sum(p . p)``, which brings it nearest to the target."""
    p, g = np.broadcast_arrays(predicted.astype(np.float64), target.astype(np.float64))
    norm = (p * p).sum((-2, -1), keepdims=True)
    return p * ((g * p).sum((-2, -1), keepdims=True) / np.maximum(norm, _TINY))


def procrustes_align(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Bring each pose nearest to its target by rotation, translation and one scale (protocol 2).

    Both poses are centred and divided by their Frobenius norms; with ``U S V' = svd(G' P)`` the rotation is ``R = V U'``, its last
    direction flipped (and the last singular value negated) where it would mirror; ``aligned = (P R) sum(S) |g| + mean(g)``.
    A pose with a value that is not finite becomes NaN; a pose without extent becomes its target's mean.
    """
    p, g = np.broadcast_arrays(predicted.astype(np.float64), target.astype(np.float64))
    finite = (np.isfinite(p) & np.isfinite(g)).all((-2, -1), keepdims=True)
    p, g = np.where(finite, p, 0.0), np.where(finite, g, 0.0)
    g_mean = g.mean(-2, keepdims=True)
    p, g = p - p.mean(-2, keepdims=True), g - g_mean
    p_norm, g_norm = (np.sqrt((a * a).sum((-2, -1), keepdims=True)) for a in (p, g))
    p = p / np.maximum(p_norm, _TINY)
    u, s, vt = np.linalg.svd(np.swapaxes(g / np.maximum(g_norm, _TINY), -1, -2) @ p)
    v = np.swapaxes(vt, -1, -2).copy()
    sign = np.where(np.linalg.det(v @ np.swapaxes(u, -1, -2)) < 0, -1.0, 1.0)
    v[..., :, -1] *= sign[..., None]
    s[..., -1] *= sign
    aligned = p @ (v @ np.swapaxes(u, -1, -2)) * (s.sum(-1)[..., None, None] * g_norm) + g_mean
    return np.where(finite, aligned, np.nan)


def pa_mpjpe(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """MPJPE after `procrustes_align`: (..., J, 3) twice -> (...)."""
    return mpjpe(procrustes_align(predicted, target), target)


def n_mpjpe(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """MPJPE after `scale_align`: (..., J, 3) twice -> (...)."""
    return mpjpe(scale_align(predicted, target), target)


def best_pose_index(errors: np.ndarray, scope: Scope = "pose") -> np.ndarray:
    """P-Best: the hypothesis whose mean joint error is smallest, given the truth.

    Args:
        errors: (..., H, F, J).
        scope: "pose" = one choice a frame; "window" = one for all frames of a window; "batch" = one for all windows of axis 0 too,
            as the published numbers of D3DP were made (they depend on the batch size).

    Returns:
        (..., F) int64.
    """
    mean = errors.mean(-1)
    if scope != "pose":
        mean = np.broadcast_to(mean.mean(-1, keepdims=True), mean.shape)
    if scope == "batch":
        mean = np.broadcast_to(mean.mean(0, keepdims=True), mean.shape)
    return mean.argmin(-2)


def best_joint_index(errors: np.ndarray) -> np.ndarray:
    """J-Best: per frame and joint the hypothesis with the smallest error, given the truth: (..., H, F, J) -> (..., F, J) int64."""
    return errors.argmin(-3)


def take_errors(errors: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Errors (..., H, F, J) of the hypotheses chosen per joint (..., F, J) or per pose (..., F) -> (..., F, J)."""
    if index.ndim == errors.ndim - 2:
        index = np.broadcast_to(index[..., None], (*index.shape, errors.shape[-1]))
    return np.take_along_axis(errors, index[..., None, :, :], -3)[..., 0, :, :]


def hypothesis_errors(
    hypotheses: np.ndarray,
    target: np.ndarray,
    chosen: np.ndarray | None = None,
    *,
    align: Alignment = identity_align,
    scope: Scope = "pose",
) -> dict[str, np.ndarray]:
    """The error of each joint under each way to use several hypotheses; mean them as the protocol asks.

    Every hypothesis is aligned on its own and the selections work on the aligned errors; P-Agg aligns the mean pose; J-Agg takes
    the aligned errors of the joints that `chosen` names (the aggregated pose itself is not aligned), as published.

    Args:
        hypotheses: (..., H, F, J, 3).
        target: (..., F, J, 3).
        chosen: (..., F, J), JPMA's choice (`pose_rt.core.aggregate`), -1 where it had none (P-Agg counts); None leaves J_Agg out.
        align: `identity_align` (protocol 1), `procrustes_align` (protocol 2) or `scale_align`.
        scope: see `best_pose_index`.

    Returns:
        P_Agg, P_Best, J_Best and, with `chosen`, J_Agg: each (..., F, J), metres.
    """
    truth = target[..., None, :, :, :]
    errors = joint_errors(align(hypotheses, truth), truth)
    mean = mean_pose(hypotheses.astype(np.float64))
    result = {
        "P_Agg": joint_errors(align(mean, target), target),
        "P_Best": take_errors(errors, best_pose_index(errors, scope)),
        "J_Best": take_errors(errors, best_joint_index(errors)),
    }
    if chosen is not None:
        result["J_Agg"] = np.where(chosen >= 0, take_errors(errors, np.maximum(chosen, 0)), result["P_Agg"])
    return result


def pck_3dhp(errors: np.ndarray, threshold: float = PCK_THRESHOLD_M, groups: dict[str, tuple[int, ...]] | None = None) -> np.ndarray:
    """Percentage of correct keypoints: joint errors strictly below the threshold, by joint group.

    Args:
        errors: (frames, J), in the unit of the threshold.
        groups: joints of each group; None = `PCK_GROUPS_3DHP`.

    Returns:
        (groups + 1,) float64 percent; the last is the mean of the groups weighted by their number of joints.
    """
    groups = PCK_GROUPS_3DHP if groups is None else groups
    hits = [100.0 * (errors[:, list(joints)] < threshold).mean() for joints in groups.values()]
    sizes = [len(joints) for joints in groups.values()]
    return np.array([*hits, np.average(hits, weights=sizes)])


def auc_3dhp(errors: np.ndarray, thresholds: np.ndarray = AUC_THRESHOLDS_M, groups: dict[str, tuple[int, ...]] | None = None) -> np.ndarray:
    """Mean of `pck_3dhp` over the thresholds 0, 5, ..., 150 mm: (frames, J) -> (groups + 1,) float64 percent.

    Nothing lies strictly below a threshold of 0, so the highest value is 100 * 30 / 31.
    """
    return np.mean([pck_3dhp(errors, threshold, groups) for threshold in thresholds], axis=0)
