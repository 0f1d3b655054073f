"""The definition of the pose ops in plain NumPy: projection and the aggregation of hypotheses."""

from __future__ import annotations

import numpy as np

from pose_rt.core.aggregate import nearest_to_target
from pose_rt.core.camera import project

__all__ = ["aggregate", "project"]


def aggregate(
    hypotheses: np.ndarray,
    *,
    mode: str = "mean",
    target_xy: np.ndarray | None = None,
    root: np.ndarray | None = None,
    camera: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    distortion: bool | None = None,
    clamp: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Several hypotheses into one pose: mean (P-Agg), jpma (J-Agg) or weighted mean.

    jpma takes, joint by joint, the hypothesis whose projection of hypothesis + root lies nearest to the 2D target (lowest index on
    ties); a joint whose target or projections are NaN takes the mean.

    Args:
        hypotheses: (P, H, F, J, 3) float32, root-relative, metres.
        target_xy: (P, F, J, 2) float32 in the unit of the camera; jpma only.
        root: (P, F, 3) float32, camera space; jpma only.
        camera: (4,) or (9,), see `project`; jpma only.
        weights: (P, H) float32, not negative, one positive a row; weighted only.

    Returns:
        joints (P, F, J, 3); sigma (P, F, J), root of the mean (or weighted mean) squared distance of the hypotheses to their mean,
        per axis (divided by 3); chosen (P, F, J) int32, the hypothesis taken, -1 for a mean.
    """
    w = np.ones(hypotheses.shape[:2]) if weights is None else weights.astype(np.float64)
    w = (w / w.sum(1, keepdims=True))[:, :, None, None, None]
    mean = (hypotheses * w).sum(1)
    sigma = np.sqrt(((hypotheses - mean[:, None]) ** 2 * w).sum(1).mean(-1)).astype(np.float32)
    joints = mean.astype(np.float32)
    chosen = np.full(sigma.shape, -1, np.int32)
    if mode == "jpma":
        assert target_xy is not None and root is not None and camera is not None
        seen = project(hypotheses + root[:, None, :, None], camera, distortion=distortion, clamp=clamp)
        chosen = nearest_to_target(seen, target_xy).astype(np.int32)
        picked = np.take_along_axis(hypotheses, np.maximum(chosen, 0)[:, None, ..., None], 1)[:, 0]
        joints = np.where(chosen[..., None] >= 0, picked, joints)
    return joints, sigma, chosen
