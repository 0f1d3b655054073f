"""What a 2D keypoint detector makes of a body: other joint definitions, noise, lag, guesses, swaps, outliers, lost joints.

The joints follow BlazePose mapped to Human3.6M-17 by `pose_rt.core.skeleton.BLAZEPOSE_TO_H36M`: pelvis, spine and thorax are
not detected but are means of the detected hips and shoulders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pose_rt.core.skeleton import BLAZEPOSE_TO_H36M, H36M17
from pose_rt.core.viewpoint import fill_missing

from .bodies import PARENTS, trunk_frame

_DETECTED = np.array([1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16])
_LIMBS = np.array([2, 3, 5, 6, 12, 13, 15, 16])
# How much noisier than a shoulder a joint is.
_NOISE = np.array([0, 1.3, 1.2, 1.5, 1.3, 1.2, 1.5, 0, 0, 0.8, 1.2, 1.0, 1.3, 1.8, 1.0, 1.3, 1.8], np.float32)


def _derived_from_detected() -> np.ndarray:
    """(17, 17): pelvis, spine and thorax from the hips and shoulders, by the run-time mapping; other joints unchanged."""
    matrix = np.eye(17, dtype=np.float32)
    blaze_joint = {1: 24, 4: 23, 11: 11, 14: 12}
    for joint in (0, 7, 8):
        matrix[joint] = 0.0
        for source, column in blaze_joint.items():
            matrix[joint, source] = BLAZEPOSE_TO_H36M[joint, column]
    return matrix


_DERIVE = _derived_from_detected()


@dataclass(frozen=True)
class DetectorNoise:
    """Strength of the errors; lengths in metres on the body, `noise` in parts of the torso's length, others are probabilities."""

    definition_m: tuple[float, float] = (0.006, 0.022)
    noise: tuple[float, float] = (0.004, 0.035)
    correlation: tuple[float, float] = (0.2, 0.85)
    outlier: float = 0.02
    swap: float = 0.045
    occluded: float = 0.05
    lost: float = 0.012
    lost_legs: float = 0.025


_TORSO_M = 0.5


def shift_definitions(rng: np.random.Generator, joints: np.ndarray, noise: DetectorNoise) -> np.ndarray:
    """Move each joint by a constant of its window in the trunk's frame: two systems never mean quite the same point by "hip".

    Args:
        joints: (B, F, 17, 3).

    Returns:
        (B, F, 17, 3): where the detector believes the joints to be.
    """
    count = len(joints)
    sigma = rng.uniform(*noise.definition_m, (count, 1, 1))
    flip = np.array([-1.0, 1.0, 1.0])
    alike = rng.normal(0.0, 1.0, (count, 17, 3)) * sigma
    alike = 0.5 * (alike + alike[:, H36M17.mirror] * flip) * np.sqrt(2.0)
    offset = 0.8 * alike + 0.6 * rng.normal(0.0, 1.0, (count, 17, 3)) * sigma
    hip_up, hip_out = rng.uniform(-0.005, 0.045, count), rng.uniform(-0.01, 0.03, count)
    shoulder_up, shoulder_out = rng.uniform(-0.03, 0.03, count), rng.uniform(-0.02, 0.02, count)
    for joint, sign in ((1, 1.0), (4, -1.0)):
        offset[:, joint, 0] += sign * hip_out
        offset[:, joint, 2] += hip_up
    for joint, sign in ((14, 1.0), (11, -1.0)):
        offset[:, joint, 0] += sign * shoulder_out
        offset[:, joint, 2] += shoulder_up
    offset[:, 9] += np.stack([np.zeros(count), rng.uniform(-0.01, 0.09, count), rng.uniform(-0.03, 0.08, count)], -1)
    offset[:, 10] += np.stack([np.zeros(count), rng.uniform(-0.04, 0.07, count), rng.uniform(-0.03, 0.12, count)], -1)
    return joints + np.matmul(offset.astype(np.float32)[:, None], trunk_frame(joints))


def detect(rng: np.random.Generator, xy: np.ndarray, scale: np.ndarray, noise: DetectorNoise) -> np.ndarray:
    """`observe` with the lost joints filled by `fill_missing`, as at run time: (B, F, 17, 2), every value finite."""
    return fill_missing(observe(rng, xy, scale, noise))


def observe(rng: np.random.Generator, xy: np.ndarray, scale: np.ndarray, noise: DetectorNoise) -> np.ndarray:
    """Add a detector's errors to projected joints.

    Args:
        xy: (B, F, 17, 2) exact image positions, any unit.
        scale: (B,) image units for a metre at the person's distance.

    Returns:
        (B, F, 17, 2), NaN where a joint was lost.
    """
    count, frames = xy.shape[:2]
    xy = xy.copy()
    metre = scale[:, None, None, None]
    _occlude(rng, xy, metre, noise)
    low, high = np.log(noise.noise)
    strength = np.exp(rng.uniform(low, high, (count, 1, 1, 1))) * _TORSO_M * _NOISE[:, None]
    xy += strength * metre * _ar1(rng, (count, frames, 17, 2), rng.uniform(*noise.correlation, (count, 1, 1)))

    hit = rng.random((count, frames, 17)) < noise.outlier * rng.exponential(1.0, (count, 1, 1))
    where = np.nonzero(hit)
    xy[where] += rng.normal(0.0, 1.0, (len(where[0]), 2)) * (0.14 * scale[where[0]])[:, None]

    swap_sides(rng, xy, noise.swap)
    flickering = rng.random((count, frames, 17)) < rng.choice([0.35, 1.0], (count, 1, 1))
    lost: np.ndarray = np.logical_and(rng.random((count, 1, 17)) < noise.lost, flickering)
    legs: np.ndarray = np.less(rng.random(count), noise.lost_legs)
    knees_too: np.ndarray = np.less(rng.random(count), 0.6)
    lost[..., [3, 6]] |= legs[:, None, None]
    lost[..., [2, 5]] |= (legs & knees_too)[:, None, None]
    xy[lost] = np.nan
    xy = np.matmul(_DERIVE, np.where(np.isfinite(xy), xy, 0.0)) + _missing_penalty(lost)
    return xy


def _missing_penalty(lost: np.ndarray) -> np.ndarray:
    """0 where a joint and all it is derived from were seen, NaN elsewhere; (..., 17, 1)."""
    gone = np.matmul(lost.astype(np.float32), (np.abs(_DERIVE) > 0).T.astype(np.float32)) > 0
    return np.where(gone, np.nan, 0.0)[..., None]


def _ar1(rng: np.random.Generator, shape: tuple[int, ...], rho: np.ndarray) -> np.ndarray:
    """Unit-variance noise whose neighbours along axis 1 correlate by `rho` (B, 1, 1)."""
    white = rng.standard_normal(shape, dtype=np.float32)
    fresh = np.sqrt(1.0 - rho**2)
    for t in range(1, shape[1]):
        white[:, t] = rho * white[:, t - 1] + fresh * white[:, t]
    return white


def _occlude(rng: np.random.Generator, xy: np.ndarray, metre: np.ndarray, noise: DetectorNoise) -> None:
    """Hidden limb joints: frozen, lagging behind, or guessed between the joint and its parent."""
    count, frames = xy.shape[:2]
    which = np.argwhere(rng.random((count, len(_LIMBS))) < noise.occluded * rng.exponential(1.0, (count, 1)))
    if len(which) == 0:
        return
    window, joint = which[:, 0], _LIMBS[which[:, 1]]
    track = xy[window, :, joint]
    parent = xy[window, :, PARENTS[joint]]
    manner = rng.random(len(window))[:, None, None]
    lag = rng.uniform(0.4, 0.95, (len(window), 1))
    late = track.copy()
    for t in range(1, frames):
        late[:, t] = lag * late[:, t - 1] + (1 - lag) * track[:, t]
    share = rng.uniform(0.3, 1.1, (len(window), 1, 1))
    guess = parent + share * (track - parent) + rng.normal(0.0, 0.07, (len(window), 1, 2)) * metre[window, 0]
    hidden = np.where(manner < 0.45, late, guess)
    start = rng.integers(-frames // 2, frames, len(window))[:, None]
    time = np.arange(frames)[None]
    inside = (time >= start) & (time < start + rng.integers(3, 2 * frames, len(window))[:, None])
    xy[window, :, joint] = np.where(inside[..., None], hidden, track)


def swap_sides(rng: np.random.Generator, xy: np.ndarray, probability: float) -> np.ndarray:
    """Left and right of `xy` (B, F, 17, 2) exchanged in place for a run of frames: legs, arms or both; (B, F, 2) bool: legs, arms."""
    count, frames = xy.shape[:2]
    swapped = np.zeros((count, frames, 2), bool)
    chosen = np.flatnonzero(rng.random(count) < probability)
    if len(chosen) == 0:
        return swapped
    part = rng.random(len(chosen))
    legs, arms = part < 0.65, part > 0.4
    start = rng.integers(-3, frames, len(chosen))
    length = np.where(rng.random(len(chosen)) < 0.8, rng.integers(1, 4, len(chosen)), rng.integers(4, frames + 4, len(chosen)))
    time = np.arange(frames)[None]
    inside = (time >= start[:, None]) & (time < (start + length)[:, None])
    order = np.arange(17)
    for active, joints in ((legs, np.arange(1, 7)), (arms, np.arange(11, 17))):
        other = order.copy()
        other[joints] = H36M17.mirror[joints]
        swap = inside & active[:, None]
        swapped[chosen, :, joints[0] // 11] = swap
        xy[chosen] = np.where(swap[..., None, None], xy[chosen][:, :, other], xy[chosen])
    return swapped
