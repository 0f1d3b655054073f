"""Several hypotheses into one pose: P-Agg (mean) and J-Agg, the joint-wise choice by reprojection (JPMA).

Source: Shan et al., "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation" (ICCV 2023), section 3.3.
Hypotheses are (..., H, F, J, 3): H hypotheses of F frames, relative to the root.
"""

from __future__ import annotations

import numpy as np

from .camera import project


def mean_pose(hypotheses: np.ndarray) -> np.ndarray:
    """P-Agg: (..., H, F, J, 3) -> (..., F, J, 3)."""
    return hypotheses.mean(-4)


def nearest_to_target(reprojection: np.ndarray, target_xy: np.ndarray) -> np.ndarray:
    """JPMA's choice: per frame and joint, the hypothesis that is seen nearest to the 2D keypoint.

    Args:
        reprojection: (..., H, F, J, 2), in the unit of `target_xy`.
        target_xy: (..., F, J, 2).

    Returns:
        (..., F, J) int64, the lowest index on ties, -1 where the target or all reprojections are NaN.
    """
    target = target_xy[..., None, :, :, :]
    dx, dy = reprojection[..., 0] - target[..., 0], reprojection[..., 1] - target[..., 1]
    distance = dx * dx + dy * dy
    distance = np.where(np.isnan(distance), np.inf, distance)
    return np.where(distance.min(-3) < np.inf, distance.argmin(-3), -1)


def choose_by_reprojection(
    hypotheses: np.ndarray,
    target_xy: np.ndarray,
    root: np.ndarray,
    intrinsics: np.ndarray,
    *,
    distortion: bool | None = None,
    clamp: bool = True,
) -> np.ndarray:
    """`nearest_to_target` of the projections of ``hypothesis + root``.

    Args:
        hypotheses: (..., H, F, J, 3).
        target_xy: (..., F, J, 2) in the unit of the camera.
        root: (..., F, 3), camera space.
        intrinsics: (4 | 9,), see `project`.

    Returns:
        (..., F, J) int64 hypothesis index, -1 where there is none.
    """
    placed = hypotheses + root[..., None, :, None, :]
    return nearest_to_target(project(placed, intrinsics, distortion=distortion, clamp=clamp), target_xy)


def take_joints(hypotheses: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Put a pose together from chosen joints: (..., H, F, J, 3) and (..., F, J) -> (..., F, J, 3); -1 gives the mean."""
    index = np.maximum(chosen, 0)[..., None, :, :, None]
    picked = np.take_along_axis(hypotheses, index, -4)[..., 0, :, :, :]
    return np.where(chosen[..., None] >= 0, picked, mean_pose(hypotheses)) if (chosen < 0).any() else picked
