"""The root of a pose in camera space: taken off a pose, and estimated from 2D keypoints and a root-relative pose."""

from __future__ import annotations

import numpy as np

MIN_DEPTH_M = 0.3
"""No person is estimated nearer to the camera than this."""
_MIN_SPREAD = 1e-6


def split_root(joints: np.ndarray, root_joint: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Joints (..., J, 3) in camera space -> joints relative to the root joint (its own entry zero), and the root (..., 3)."""
    root = joints[..., root_joint, :]
    return joints - root[..., None, :], root


def estimate_root(
    xy_px: np.ndarray,
    joints_m: np.ndarray,
    focal: float | np.ndarray,
    center: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    robust_iterations: int = 0,
    min_depth_m: float = MIN_DEPTH_M,
) -> np.ndarray:
    """Where a root-relative pose must stand to be seen at its 2D keypoints: weighted linear least squares, frame by frame.

    With u = (x - cx) / f the projection u = (X + Rx) / (Z + Rz) is linear in R: ``Rx - u Rz = u Z - X``, and likewise in y. For a
    given Rz the best Rx and Ry are weighted means, so Rz has a closed form; a depth below `min_depth_m` is set to it, which is the
    constrained optimum. Robust iterations reweight by ``(1 + (r / s)^2)^-2`` (Geman and McClure) with r the distance in the image
    plane and s three times its median.

    Args:
        xy_px: (..., J, 2) pixels; NaN where a joint is not seen.
        joints_m: (..., J, 3) root-relative, camera axes, metres.
        focal: px, scalar or (...,).
        center: (2,) or (..., 2) principal point, px.
        weight: (..., J) not negative, such as the detector's confidence; None = 1.
        robust_iterations: how often to solve again with outliers weighted down.
        min_depth_m: the smallest depth of the root.

    Returns:
        (..., 3) float32 metres in camera space; NaN where fewer than two joints at different places are seen.
    """
    lead = xy_px.shape[:-2]
    f = np.broadcast_to(np.asarray(focal, np.float64), lead)[..., None, None]
    c = np.broadcast_to(np.asarray(center, np.float64), (*lead, 2))[..., None, :]
    plane = (xy_px.astype(np.float64) - c) / f
    joints = joints_m.astype(np.float64)
    seen: np.ndarray = np.all(np.isfinite(plane), axis=-1) & np.all(np.isfinite(joints), axis=-1)
    base: np.ndarray = seen.astype(np.float64)
    if weight is not None:
        base = base * np.where(np.isfinite(weight), np.maximum(weight, 0.0), 0.0)
    plane, joints = np.where(seen[..., None], plane, 0.0), np.where(seen[..., None], joints, 0.0)
    root = _solve(plane, joints, base, min_depth_m)
    for _ in range(robust_iterations):
        placed = joints + root[..., None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            residual: np.ndarray = np.linalg.norm(placed[..., :2] / np.maximum(placed[..., 2:], _MIN_SPREAD) - plane, axis=-1)
        scale = 3.0 * _weighted_median(residual, base) + 1e-9
        root = _solve(plane, joints, base / (1.0 + (residual / scale[..., None]) ** 2) ** 2, min_depth_m)
    return root.astype(np.float32)


def _solve(plane: np.ndarray, joints: np.ndarray, weight: np.ndarray, min_depth: float) -> np.ndarray:
    """The closed form: plane (..., J, 2), joints (..., J, 3), weight (..., J) -> (..., 3) float64."""
    with np.errstate(divide="ignore", invalid="ignore"):
        w = (weight / weight.sum(-1, keepdims=True))[..., None]
        b = plane * joints[..., 2:] - joints[..., :2]
        plane_mean, b_mean = (w * plane).sum(-2), (w * b).sum(-2)
        du, db = plane - plane_mean[..., None, :], b - b_mean[..., None, :]
        spread = (w * du * du).sum((-2, -1))
        depth = -(w * du * db).sum((-2, -1)) / spread
    depth = np.where(spread > _MIN_SPREAD**2, np.maximum(depth, min_depth), np.nan)[..., None]
    return np.concatenate([b_mean + plane_mean * depth, depth], -1)


def _weighted_median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The smallest value (..., J) at which half of the weight is reached; NaN values carry no weight."""
    order = np.argsort(values, -1)
    cumulated = np.cumsum(np.take_along_axis(np.where(np.isnan(values), 0.0, weight), order, -1), -1)
    place = (cumulated < 0.5 * cumulated[..., -1:]).sum(-1, keepdims=True)
    return np.take_along_axis(values, np.take_along_axis(order, np.minimum(place, values.shape[-1] - 1), -1), -1)[..., 0]
