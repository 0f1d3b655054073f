"""The definition of the pose ops in plain NumPy: projection and the aggregation of hypotheses."""

from __future__ import annotations

import numpy as np

from pose_rt.core.aggregate import nearest_to_target
from pose_rt.core.camera import project

__all__ = ["aggregate", "ddim_step", "project"]

CLAMP = 1.1
"""Predictions and network inputs stay within this many scales (D3DP)."""


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


def ddim_step(
    noisy: np.ndarray,
    prediction: np.ndarray,
    noise: np.ndarray | None,
    *,
    alpha: float,
    alpha_next: float,
    sigma: float,
    c: float,
    scale: float = 1.0,
    mirror: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One DDIM step of a network that predicts the clean sample (Song et al. 2021, as D3DP clamps it), with flip averaging.

    ``x0 = clamp(p s)``, ``e = (sqrt(1/a) y - x0) / sqrt(1/a - 1)`` in float64, ``y' = sqrt(a') x0 + c e + sigma n``. With a' = 1 and
    c = sigma = 0, as after the last step, y' is x0.

    Args:
        noisy: (N, F, J, 3) float32, y.
        prediction: (N, F, J, 3), p; with `mirror` (2 N, F, J, 3), the second half predicted from mirrored inputs: p is the mean of the
            first and of the second mirrored back.
        noise: (N, F, J, 3), n; None only with sigma 0.
        alpha, alpha_next, sigma, c: see `pose_rt.diffusion.ddim.StepCoefficients`.
        scale: signal scale s of the schedule.
        mirror: (J,) int32, the partner of each joint.

    Returns:
        y' (N, F, J, 3), and the network's next input ``clamp(y') / s``, shaped like `prediction`, its second half mirrored.
    """
    limit = CLAMP * scale
    if mirror is not None:
        half = len(noisy)
        prediction = (prediction[:half] + _mirrored(prediction[half:], mirror)) / np.float32(2)
    clean = np.clip(prediction * np.float32(scale), -np.float32(limit), np.float32(limit))
    implied = (noisy.astype(np.float64) * np.sqrt(1 / alpha) - clean.astype(np.float64)) / np.sqrt(1 / alpha - 1)
    following = clean * np.float32(np.sqrt(alpha_next)) + implied.astype(np.float32) * np.float32(c)
    if noise is not None:
        following = following + noise * np.float32(sigma)
    network = np.clip(following, -np.float32(limit), np.float32(limit)) / np.float32(scale)
    return following, network if mirror is None else np.concatenate([network, _mirrored(network, mirror)])


def _mirrored(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return points[..., mirror, :] * np.array([-1, 1, 1], np.float32)
