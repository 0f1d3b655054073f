"""How far 2D keypoints are from the truth, in pixels and relative to the person's size."""

from __future__ import annotations

import numpy as np

from pose_rt.core.skeleton import Skeleton

_TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


def torso_px(xy_px: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Distance from the middle of the shoulders to the middle of the hips: (..., J, 2) px -> (...) px.

    Raises:
        ValueError: a skeleton without shoulders and hips.
    """
    missing = [name for name in _TORSO if name not in skeleton.joints]
    if missing:
        raise ValueError(f"skeleton: {skeleton.name} has no {', '.join(missing)}, wanted shoulders and hips")
    ls, rs, lh, rh = (xy_px[..., skeleton.joints.index(name), :].astype(np.float64) for name in _TORSO)
    return np.linalg.norm((ls + rs) / 2 - (lh + rh) / 2, axis=-1)


def normalised_errors(predicted_px: np.ndarray, target_px: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Distance of each keypoint as a share of the target's torso: (..., J, 2) twice -> (..., J); NaN where either is not seen."""
    distance = np.linalg.norm(predicted_px.astype(np.float64) - target_px, axis=-1)
    torso = torso_px(target_px, skeleton)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(torso > 0, distance / torso, np.nan)


def pck(errors: np.ndarray, threshold: float = 0.2) -> float:
    """Percentage of correct keypoints: the share of `normalised_errors` strictly below the threshold.

    A keypoint that was not found (NaN) counts as wrong; no keypoints at all give NaN.
    """
    return 100.0 * float((errors < threshold).mean()) if errors.size else float("nan")
