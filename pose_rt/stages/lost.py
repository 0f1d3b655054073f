"""Lost joints over time: where they may still be, and one pose out of several samples of them."""

from __future__ import annotations

import numpy as np

from ..core.skeleton import H36M17

LAST_SEEN_M = 0.04
"""Error of a coordinate of a joint when it was last seen."""
DRIFT_M = np.array(
    [0.03, 0.03, 0.15, 0.24, 0.03, 0.15, 0.24, 0.05, 0.10, 0.12, 0.13, 0.11, 0.15, 0.24, 0.11, 0.15, 0.24], np.float32
)  # fmt: skip
DRIFT_S = 0.3
"""How far a coordinate of each joint gets from where it was, seen from the pelvis, and the time in which two thirds of it are done
(root mean square over cmu17/train)."""
LONGEST_STRETCH = 1.3


def drift_noise(unseen_s: np.ndarray) -> np.ndarray:
    """Standard deviation, metres, of coordinates of joints (..., 17) that were last seen so long ago; infinity: never."""
    drift = DRIFT_M * -np.expm1(-np.where(np.isfinite(unseen_s), unseen_s, 0.0) / DRIFT_S)
    out: np.ndarray = np.where(np.isfinite(unseen_s), np.hypot(LAST_SEEN_M, drift), np.inf)
    return out


def between_seen(joints_m: np.ndarray, gone: np.ndarray, time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where lost joints of a recording may be: on straight lines between the frames in which they are seen, or where last seen.

    Args:
        joints_m: (T, 17, 3).
        gone: (T, 17) bool, lost.
        time_s: (T,), rising.

    Returns:
        (T, 17, 3) and the time to the nearest frame in which each is seen, (T, 17) seconds, infinity for joints that never are.
    """
    place, away = joints_m.copy(), np.zeros(gone.shape)
    for joint in np.flatnonzero(gone.any(0)):
        seen = np.flatnonzero(~gone[:, joint])
        if len(seen) == 0:
            away[:, joint] = np.inf
            continue
        for axis in range(3):
            place[:, joint, axis] = np.interp(time_s, time_s[seen], joints_m[seen, joint, axis])
        away[:, joint] = np.abs(time_s[:, None] - time_s[None, seen]).min(1)
    return place, away


def one_pose(mean: np.ndarray, samples: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The mean pose, with bones to unknown joints as long as the samples have them (a mean of directions is shorter).

    Args:
        mean: (B, 17, 3).
        samples: (B, H, 17, 3).
        known: (B, 17) bool.

    Returns:
        (B, 17, 3).
    """
    out = mean.copy()
    for joint, parent in enumerate(H36M17.parents or ()):
        if parent < 0:
            continue
        bone = mean[:, joint] - mean[:, parent]
        length = np.linalg.norm(samples[:, :, joint] - samples[:, :, parent], axis=-1).mean(1)
        stretch = np.clip(length / np.maximum(np.linalg.norm(bone, axis=-1), 1e-6), 1.0, LONGEST_STRETCH)
        out[:, joint] = np.where(known[:, joint, None], mean[:, joint], out[:, parent] + stretch[:, None] * bone)
    return out
