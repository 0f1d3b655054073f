"""Poses made from joint angles within human limits: what the motion capture lacks (sitting, squatting, kneeling, lying, raised arms).

Angles in degrees. A window's angles move smoothly from one value to another; the windows are canonical (facing +y).
"""

from __future__ import annotations

import numpy as np

from .bodies import apply, rot_x, rot_y, rot_z

# Mean bone lengths of an adult of 1.75 m in the joint definitions of cmu17, metres.
LENGTHS = np.array([0.0, 0.09, 0.42, 0.43, 0.09, 0.42, 0.43, 0.275, 0.285, 0.10, 0.118, 0.2, 0.275, 0.28, 0.2, 0.275, 0.28], np.float32)

# Directions of the shoulder and head bones in the frame of the upper trunk (right, forward, up), the mean of cmu17.
_SHOULDER = np.array([0.94, 0.05, -0.33], np.float32)
_NOSE = np.array([0.0, 0.66, 0.75], np.float32)
_HEAD = np.array([0.0, -0.05, 1.0], np.float32)

_DOWN = np.array([0.0, 0.0, -1.0], np.float32)
_UP = np.array([0.0, 0.0, 1.0], np.float32)

# Legs: (probability, hip flexion, knee flexion, abduction, inward rotation) as (low, high), and the most the sides differ.
_LEGS = (
    (0.45, (60, 112), (45, 120), (-6, 32), (-15, 25), 14),  # sitting
    (0.17, (55, 128), (70, 150), (0, 38), (-20, 30), 12),  # squatting
    (0.12, (-12, 35), (80, 152), (-3, 22), (-15, 15), 10),  # kneeling
    (0.14, (-22, 65), (0, 70), (-6, 30), (-25, 25), 60),  # standing, stepping, lunging
    (0.12, (-20, 120), (0, 140), (-8, 40), (-25, 35), 90),  # free: lying, crawling, hanging
)
# Arms: (probability, elevation from hanging, azimuth from sideways (0) to forward (90), elbow flexion, inward rotation).
_ARMS = (
    (0.32, (2, 35), (-60, 100), (0, 70), (-20, 50)),  # hanging
    (0.36, (8, 65), (20, 105), (40, 115), (5, 75)),  # hands before the body
    (0.16, (85, 170), (-10, 110), (0, 110), (-60, 60)),  # raised
    (0.16, (20, 130), (-50, 120), (0, 145), (-60, 85)),  # anything
)


class _Angles:
    """Draws angle tracks (B, F) that ease from one value to another inside their limits."""

    def __init__(self, rng: np.random.Generator, count: int, frames: int) -> None:
        self.rng = rng
        self.count = count
        start, duration = rng.uniform(-0.5, 0.7, (count, 1)), rng.uniform(0.3, 1.5, (count, 1))
        u = ((np.linspace(0.0, 1.0, frames)[None] - start) / duration).clip(0.0, 1.0)
        self.ease = 0.5 - 0.5 * np.cos(np.pi * u)
        self.motion = np.where(rng.random((count, 1)) < 0.35, rng.uniform(0, 4, (count, 1)), rng.uniform(4, 45, (count, 1)))

    def track(self, first: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
        """(B, 1) degrees -> (B, F) radians."""
        last = np.clip(first + self.rng.normal(0.0, 1.0, first.shape) * self.motion, low, high)
        degrees = first + (last - first) * self.ease
        return np.deg2rad(degrees).astype(np.float32)

    def normal(self, mean: np.ndarray | float, deviation: float, low: float, high: float) -> np.ndarray:
        first = np.clip(mean + self.rng.normal(0.0, deviation, (self.count, 1)), low, high)
        return self.track(first, low, high)


def _choose(rng: np.random.Generator, table: tuple, count: int) -> list[np.ndarray]:
    """One row of `table` for each window; returns its columns after the probability as arrays (B, 1[, 2])."""
    row = rng.choice(len(table), count, p=[entry[0] for entry in table])
    return [np.array([entry[i] for entry in table], np.float32)[row][:, None] for i in range(1, len(table[0]))]


def _within(rng: np.random.Generator, limits: np.ndarray) -> np.ndarray:
    low, high = limits[..., 0], limits[..., 1]
    return low + (high - low) * rng.random(low.shape)


def procedural_bones(rng: np.random.Generator, count: int, frames: int) -> np.ndarray:
    """(count, frames, 17, 3) unit-proportion bones times `LENGTHS`, metres, canonical; the trunk is upright up to the pelvis' pitch."""
    angles = _Angles(rng, count, frames)
    bones = np.zeros((count, frames, 17, 3), np.float32)

    hip, knee, abduction, rotation, differ = _choose(rng, _LEGS, count)
    hip_mean, knee_mean, abduction_mean = _within(rng, hip), _within(rng, knee), _within(rng, abduction)
    crossed = rng.random((count, 1)) < 0.12
    half_kneeling = rng.random((count, 1)) < 0.08
    for sign, (j_hip, j_knee, j_ankle) in ((1.0, (1, 2, 3)), (-1.0, (4, 5, 6))):
        first_hip = np.clip(hip_mean + rng.uniform(-0.5, 0.5, (count, 1)) * differ, -22, 130)
        first_knee = np.clip(knee_mean + rng.uniform(-0.8, 0.8, (count, 1)) * differ, 0, 152)
        if sign > 0:
            first_hip = np.where(half_kneeling, rng.uniform(70, 105, (count, 1)), first_hip)
            first_knee = np.where(half_kneeling, rng.uniform(75, 115, (count, 1)), first_knee)
        else:
            first_hip = np.where(half_kneeling, rng.uniform(-20, 25, (count, 1)), first_hip)
            first_knee = np.where(half_kneeling, rng.uniform(70, 120, (count, 1)), first_knee)
        first_abduction = np.where(crossed, rng.uniform(-18, 5, (count, 1)), abduction_mean + rng.normal(0, 5, (count, 1)))
        flexion = angles.track(first_hip, -22, 130)
        turn = rot_x(flexion) @ rot_y(-sign * angles.track(first_abduction, -20, 45))
        turn = turn @ rot_z(sign * angles.track(_within(rng, rotation), -35, 45))
        bones[:, :, j_hip] = np.array([sign, 0.0, 0.0], np.float32)
        bones[:, :, j_knee] = turn @ _DOWN
        bones[:, :, j_ankle] = (turn @ rot_x(-angles.track(first_knee, 0, 152))) @ _DOWN

    lean = np.where(hip_mean > 50, rng.normal(14, 16, (count, 1)), rng.normal(4, 12, (count, 1)))
    flexion, bend, twist = angles.normal(lean, 6, -25, 75), angles.normal(0.0, 9, -30, 30), angles.normal(0.0, 14, -40, 40)
    lower = rot_z(0.4 * twist) @ rot_y(0.5 * bend) @ rot_x(-0.6 * flexion)
    upper = rot_z(twist) @ rot_y(bend) @ rot_x(-flexion)
    head = upper @ rot_z(angles.normal(0.0, 22, -70, 70)) @ rot_x(-angles.normal(4.0, 14, -40, 45))
    bones[:, :, 7] = lower @ _UP
    bones[:, :, 8] = upper @ _UP
    bones[:, :, 9] = head @ _NOSE
    bones[:, :, 10] = head @ _HEAD

    both_alike = rng.random((count, 1)) < 0.45
    drawn = [_arm(rng, count) for _ in range(2)]
    for side, (sign, (j_shoulder, j_elbow, j_wrist)) in enumerate(((1.0, (14, 15, 16)), (-1.0, (11, 12, 13)))):
        own = [np.where(both_alike, a + rng.normal(0, 6, a.shape), b) for a, b in zip(drawn[0], drawn[side], strict=True)]
        elevation, azimuth = angles.track(own[0], 0, 175), angles.track(own[1], -60, 125)
        heading = sign * (azimuth - 0.5 * np.pi)
        turn = upper @ rot_z(heading) @ rot_x(elevation) @ rot_z(-heading) @ rot_z(sign * angles.track(own[3], -70, 90))
        shrug = _SHOULDER * np.array([sign, 1.0, 1.0], np.float32)
        lift = (0.45 * (np.rad2deg(elevation) - 60).clip(0, 110) / 110)[..., None]
        shoulder = shrug + lift * _UP
        shoulder = shoulder / np.linalg.norm(shoulder, axis=-1, keepdims=True)
        bones[:, :, j_shoulder] = (upper @ shoulder[..., None])[..., 0]
        bones[:, :, j_elbow] = turn @ _DOWN
        bones[:, :, j_wrist] = (turn @ rot_x(angles.track(own[2], 0, 148))) @ _DOWN

    bones *= LENGTHS[:, None]
    pitch = angles.normal(0.0, 9, -30, 30)
    return apply(rot_x(pitch), bones)


def _arm(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    return [_within(rng, limits) for limits in _choose(rng, _ARMS, count)]
