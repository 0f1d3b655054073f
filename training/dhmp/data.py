"""Motion windows for DHMP from cmu17: root-relative, camera axes, augmented; noise on the observed part only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pose_rt.core.skeleton import H36M17
from training.data.bodies import apply, from_bones, rot_x, rot_z, to_bones
from training.data.motion import Clips

# World (x right, y forward, z up) -> a level camera that looks along +y (x right, y down, z forward).
_LEVEL = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)

# Lifters err more at the ends of limbs, and more in depth than across the picture.
_JOINT_NOISE = np.array([0, 0.5, 1, 1.4, 0.5, 1, 1.4, 0.6, 0.8, 1, 1, 0.9, 1.2, 1.5, 0.9, 1.2, 1.5], np.float32)
_AXIS_NOISE = np.array([0.8, 0.8, 1.4], np.float32)


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes to a training window; a zero width switches a change off.

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


def root_relative(clips: Clips) -> Clips:
    """The same clips with the pelvis at the origin of every frame."""
    return Clips(clips.joints - clips.joints[:, :1], clips.start, clips.length, clips.action, clips.name)


def camera_rotation(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """(B, 3, 3) rotations from world axes (z up) to camera axes (x right, y down, z forward); angles (B,) in radians.

    The person is turned by `yaw` about the vertical before a camera that is pitched down by `pitch` and rolled by `roll`.
    """
    return rot_z(roll) @ rot_x(pitch) @ _LEVEL @ rot_z(yaw)


def _resample(clips: Clips, clip: np.ndarray, frames: int, speed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(B, frames, 17, 3): random windows played `speed` times as fast, linear between frames."""
    span = (frames - 1) * speed
    at = rng.random(len(clip)) * (clips.length[clip] - 1 - span)
    time = at[:, None] + np.arange(frames) * speed[:, None]
    low = np.minimum(time.astype(np.int64), clips.length[clip][:, None] - 2)
    part = (time - low).astype(np.float32)[..., None, None]
    first = clips.start[clip][:, None] + low
    return clips.joints[first] * (1 - part) + clips.joints[first + 1] * part


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


def lifter_noise(history: np.ndarray, sigma: np.ndarray, memory: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The history (B, T, 17, 3) as a lifter would see it: correlated noise, stronger at limb ends and in depth, none at the root."""
    return history + correlated_noise(history.shape, sigma, memory, rng) * _JOINT_NOISE[:, None] * _AXIS_NOISE


class WindowSampler:
    """Draws augmented windows; the same (seed, step) always gives the same batch.

    Clips are drawn in proportion to length / sqrt(frames of the same action), so that the most filmed action does not drown the
    others. `clips` are root-relative.
    """

    def __init__(self, clips: Clips, history: int, future: int, augmentation: Augmentation, seed: int = 0) -> None:
        self.clips, self.history, self.frames = clips, history, history + future
        self.augmentation, self.seed = augmentation, seed
        self._usable = np.flatnonzero(clips.length - 1 > (1 - augmentation.speed) * (self.frames - 1))
        if not len(self._usable):
            raise ValueError(f"clips: got none of at least {self.frames} frames")
        length = clips.length[self._usable].astype(np.float64)
        _, group = np.unique(clips.action[self._usable], return_inverse=True)
        weight = length / np.sqrt(np.bincount(group, length)[group])
        self._weight = weight / weight.sum()

    def batch(self, size: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Clean windows (size, T, 17, 3) and the noisy history (size, T_his, 17, 3), camera axes, metres, root at zero."""
        a, rng = self.augmentation, np.random.default_rng([self.seed, step])
        clip = rng.choice(self._usable, size, p=self._weight)
        fastest = np.minimum(1 + a.speed, (self.clips.length[clip] - 1) / (self.frames - 1))
        joints = _resample(self.clips, clip, self.frames, rng.uniform(1 - a.speed, fastest), rng)
        factor = rng.uniform(1 - a.scale, 1 + a.scale, (size, 1)) * rng.uniform(1 - a.bone, 1 + a.bone, (size, 17))
        factor[:, list(H36M17.left)] = factor[:, list(H36M17.right)]
        joints = from_bones(to_bones(joints) * factor.astype(np.float32)[:, None, :, None])
        flip = rng.random(size) < a.mirror
        joints[flip] = joints[flip][:, :, H36M17.mirror] * np.array([-1, 1, 1], np.float32)
        yaw = rng.uniform(0, 2 * np.pi, size)
        pitch = np.deg2rad(rng.uniform(*a.pitch_deg, size))
        roll = np.deg2rad(rng.uniform(-a.roll_deg, a.roll_deg, size))
        joints = apply(camera_rotation(yaw, pitch, roll)[:, None], joints)
        observed = joints[:, : self.history]
        low, high = a.noise_m
        if high > 0:
            sigma = np.exp(rng.uniform(np.log(low), np.log(high), size))
            observed = lifter_noise(observed, sigma, rng.uniform(*a.noise_memory, size), rng)
        return joints, observed
