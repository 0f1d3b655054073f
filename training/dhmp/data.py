"""Motion windows for DHMP from cmu17: root-relative, camera axes, augmented; noise on the observed part only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose_rt.core.skeleton import H36M17

PARENTS = H36M17.parents or ()


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes to a training window; zero widths switch a change off.

    Attributes:
        pitch_deg: camera pitch, low and high; positive looks down on the person. The heading is always uniform.
        roll_deg: camera roll is uniform in +- this.
        mirror: probability of exchanging left and right.
        scale, bone, speed: body size, each bone (left and right alike) and tempo change by a factor in 1 +- this.
        noise_m: standard deviation of the noise on the history, drawn log-uniformly from low..high for each window.
        noise_memory: lag-1 correlation of that noise, uniform low..high for each window.
    """

    pitch_deg: tuple[float, float] = (-25.0, 45.0)
    roll_deg: float = 8.0
    mirror: float = 0.5
    scale: float = 0.1
    bone: float = 0.1
    speed: float = 0.2
    noise_m: tuple[float, float] = (0.002, 0.03)
    noise_memory: tuple[float, float] = (0.6, 0.98)


NONE = Augmentation((0.0, 0.0), 0.0, 0.0, 0.0, 0.0, 0.0, (0.0, 0.0), (0.0, 0.0))
"""No change but a random heading."""

# Lifters err more at the ends of limbs, and more in depth than across the picture.
_JOINT_NOISE = np.array([0, 0.5, 1, 1.4, 0.5, 1, 1.4, 0.6, 0.8, 1, 1, 0.9, 1.2, 1.5, 0.9, 1.2, 1.5], np.float32)
_AXIS_NOISE = np.array([0.8, 0.8, 1.4], np.float32)


@dataclass(frozen=True)
class MotionClips:
    """Clips end to end: root-relative joints (N, 17, 3) in metres, world axes z up, 50 Hz; first frame, length and action of each."""

    joints_m: np.ndarray
    start: np.ndarray
    length: np.ndarray
    action: np.ndarray


def load_cmu17(path: Path) -> MotionClips:
    """Read ``train.npz`` or ``test.npz`` of cmu17."""
    with np.load(path, allow_pickle=False) as data:
        joints = data["pos_mm"].astype(np.float32) / np.float32(1000)
        start, length, action = data["start"].astype(np.int64), data["length"].astype(np.int64), data["action"].astype(str)
    return MotionClips(joints - joints[:, :1], start, length, action)


def camera_rotation(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """(B, 3, 3) rotations from world axes (z up) to camera axes (x right, y down, z forward); angles (B,) in radians.

    The person is turned by `yaw` about the vertical; a level camera looks along world +y; it is then pitched down by `pitch` and
    rolled by `roll` about its optical axis. Acts on column vectors.
    """
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)

    def stack(*rows: np.ndarray) -> np.ndarray:
        return np.stack(rows, -1).reshape(-1, 3, 3)

    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn = stack(cy, -sy, zero, sy, cy, zero, zero, zero, one)
    level = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    # Looking down by p, world "down" (camera y when level) gains a forward component sin p.
    tilt = stack(one, zero, zero, zero, cp, -sp, zero, sp, cp)
    twist = stack(cr, -sr, zero, sr, cr, zero, zero, zero, one)
    return twist @ tilt @ level @ turn


def _resample(clips: MotionClips, clip: np.ndarray, frames: int, speed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(B, frames, 17, 3): random windows played `speed` times as fast, linear between frames."""
    span = (frames - 1) * speed
    at = rng.random(len(clip)) * (clips.length[clip] - 1 - span)
    time = at[:, None] + np.arange(frames) * speed[:, None]
    low = np.minimum(time.astype(np.int64), clips.length[clip][:, None] - 2)
    part = (time - low).astype(np.float32)[..., None, None]
    first = clips.joints_m[clips.start[clip][:, None] + low]
    return first + part * (clips.joints_m[clips.start[clip][:, None] + low + 1] - first)


def scale_bones(joints: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Multiply the bone that ends in joint j of (B, T, J, 3) by `factor` (B, J); directions stay."""
    out = joints.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            out[:, :, joint] = out[:, :, parent] + factor[:, joint, None, None] * (joints[:, :, joint] - joints[:, :, parent])
    return out


def correlated_noise(shape: tuple[int, ...], sigma: np.ndarray, memory: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stationary first-order autoregressive noise (B, T, J, 3): standard deviation `sigma` (B,), lag-1 correlation `memory` (B,)."""
    white = rng.standard_normal(shape, np.float32)
    fresh = np.sqrt(1 - memory**2).astype(np.float32)[:, None, None]
    keep = memory.astype(np.float32)[:, None, None]
    noise = np.empty_like(white)
    noise[:, 0] = white[:, 0]
    for t in range(1, shape[1]):
        noise[:, t] = keep * noise[:, t - 1] + fresh * white[:, t]
    return noise * sigma.astype(np.float32)[:, None, None, None]


@dataclass(frozen=True)
class WindowSampler:
    """Draws augmented windows; the same (seed, step) always gives the same batch.

    Clips are drawn with probability proportional to (length / frames of the same action) * sqrt(frames of the action), so that
    the most filmed action does not drown the others.
    """

    clips: MotionClips
    history: int
    future: int
    augmentation: Augmentation
    seed: int = 0

    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        slowest = 1 - self.augmentation.speed
        usable = np.flatnonzero(self.clips.length - 1 > slowest * (self.history + self.future - 1))
        length = self.clips.length[usable].astype(np.float64)
        _, group = np.unique(self.clips.action[usable], return_inverse=True)
        total = np.bincount(group, length)
        weight = length / np.sqrt(total[group])
        return usable, weight / weight.sum()

    def batch(self, size: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Clean windows (size, T, 17, 3) and the noisy history (size, T_his, 17, 3), camera axes, metres, root at zero."""
        a, rng = self.augmentation, np.random.default_rng([self.seed, step])
        usable, weight = self._weights()
        clip = rng.choice(usable, size, p=weight)
        frames = self.history + self.future
        fastest = np.minimum(1 + a.speed, (self.clips.length[clip] - 1) / (frames - 1))
        speed = rng.uniform(1 - a.speed, fastest)
        joints = _resample(self.clips, clip, frames, speed, rng)
        factor = rng.uniform(1 - a.scale, 1 + a.scale, (size, 1)) * rng.uniform(1 - a.bone, 1 + a.bone, (size, 17))
        factor[:, list(H36M17.left)] = factor[:, list(H36M17.right)]
        joints = scale_bones(joints, factor.astype(np.float32))
        flip = rng.random(size) < a.mirror
        joints[flip] = joints[flip][:, :, H36M17.mirror] * np.array([-1, 1, 1], np.float32)
        yaw = rng.uniform(0, 2 * np.pi, size)
        pitch = np.deg2rad(rng.uniform(*a.pitch_deg, size))
        roll = np.deg2rad(rng.uniform(-a.roll_deg, a.roll_deg, size))
        rotation = camera_rotation(yaw, pitch, roll).astype(np.float32)
        joints = np.einsum("bij,btkj->btki", rotation, joints)
        return joints, self._observe(joints[:, : self.history], rng)

    def _observe(self, history: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low, high = self.augmentation.noise_m
        if high <= 0:
            return history
        size = len(history)
        sigma = np.exp(rng.uniform(np.log(low), np.log(high), size))
        memory = rng.uniform(*self.augmentation.noise_memory, size)
        noise = correlated_noise(history.shape, sigma, memory, rng)
        return history + noise * _JOINT_NOISE[:, None] * _AXIS_NOISE
