"""The definition of the pose ops in plain NumPy: projection and the aggregation of hypotheses."""

from __future__ import annotations

import numpy as np


def project(points: np.ndarray, camera: np.ndarray, *, distortion: bool | None = None, clamp: bool = True) -> np.ndarray:
    """Camera space to image: f * a' + c with a = clamp(XY / Z, -1, 1) and Human3.6M's distortion.

    r2 = |a|^2; a' = a (1 + k1 r2 + k2 r2^2 + k3 r2^3 + p . a) + p r2. This tangential form is Human3.6M's own, not OpenCV's.

    Args:
        points: (..., 3) float32; the sign of Z is not looked at.
        camera: (4,) fx, fy, cx, cy or (9,) with k1, k2, k3, p1, p2, float32.
        distortion: None = when the camera has 9 numbers.

    Returns:
        (..., 2) float32 in the unit of f and c.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        a = points[..., :2] / points[..., 2:]
    if clamp:
        a = np.clip(a, np.float32(-1), np.float32(1))
    if distortion or (distortion is None and len(camera) == 9):
        k1, k2, k3 = camera[4:7]
        p = camera[7:9]
        r2 = a[..., :1] * a[..., :1] + a[..., 1:] * a[..., 1:]
        radial = np.float32(1) + r2 * (k1 + r2 * (k2 + r2 * k3))
        tangential = p[0] * a[..., :1] + p[1] * a[..., 1:]
        a = a * (radial + tangential) + p * r2
    return camera[:2] * a + camera[2:4]


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
        dx, dy = seen[..., 0] - target_xy[:, None, ..., 0], seen[..., 1] - target_xy[:, None, ..., 1]
        distance = dx * dx + dy * dy
        distance = np.where(np.isnan(distance), np.float32(np.inf), distance)
        best = distance.argmin(1)
        found = distance.min(1) < np.inf
        picked = np.take_along_axis(hypotheses, best[:, None, ..., None], 1)[:, 0]
        joints, chosen = np.where(found[..., None], picked, joints), np.where(found, best, -1).astype(np.int32)
    return joints, sigma, chosen
