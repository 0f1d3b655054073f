"""Single poses of cmu17 as a camera sees them, with the 2D or 3D that the network is shown of them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pose_rt.core.image_space import to_image_space
from pose_rt.core.viewpoint import look_at_rotation
from pose_rt.models.gfpose import GROUP
from training.data.bodies import apply
from training.data.cmu17 import CameraRange, camera_space
from training.data.detector import DetectorNoise, observe, shift_definitions
from training.data.motion import Clips, Mixture, motion_windows

from .config import TrainConfig

BELOW = np.arange(17) < 8
"""Pelvis, legs and spine: what a desk or the picture's lower edge hides (the spine and the pelvis are derived from the hips)."""

OFFSET_M = 0.08
"""A third of the poses are moved by so much at random: where the root is hidden, the rest is placed by a guess of it."""
POSES = Mixture(recombined=0.03, procedural_legs=0.05, procedural=0.03, tilted=0.03)
"""Mostly what people did: upper bodies on other legs would teach that legs cannot be told from the rest."""
PARALLEL = 0.25
"""Share of poses seen from infinitely far, as motion without a camera."""
NOISE_3D_M = 0.04
"""Conditions in 3D come from a lifter: noise of up to this deviation, drawn for each pose."""
_CHUNK = 16


class Poses(NamedTuple):
    """Targets (B, 17, 3), their conditions (B, 17, 3; z = 0 where 2D) in `pose_rt.core.image_space`, and which joints of a condition are
    hidden (B, 17) bool besides those that the network hides itself."""

    target: np.ndarray
    condition: np.ndarray
    hidden: np.ndarray


def draw_poses(
    rng: np.random.Generator, clips: Clips, count: int, config: TrainConfig, mixture: Mixture | None = None, offset_m: float = OFFSET_M
) -> Poses:
    """`count` poses and conditions; `mixture` None = training's augmentation; `offset_m` moves them."""
    cameras, noise = CameraRange(), replace(DetectorNoise(), occluded=0.0, swap=0.0)
    camera = camera_space(rng, motion_windows(rng, clips, count, 1, 50.0, mixture or POSES), cameras)
    seen = shift_definitions(rng, camera, noise)[:, 0]
    camera = camera[:, 0]
    root = camera[:, 0].copy()
    root[:, 2] = np.maximum(root[:, 2], 0.5)
    rotation = look_at_rotation(root).astype(np.float32)
    depth = np.linalg.norm(root, axis=-1)
    depth[rng.random(count) < PARALLEL] = np.inf
    target = to_image_space(apply(rotation, camera - camera[:, :1]), depth)
    shifted = to_image_space(apply(rotation, seen - camera[:, :1]), depth)
    xy = observe(rng, shifted[:, None, :, :2], np.ones(count), noise)[:, 0]
    flat = np.concatenate([np.where(np.isfinite(xy), xy, shifted[..., :2]), np.zeros((count, 17, 1))], -1)
    solid = target + rng.normal(0.0, 1.0, target.shape) * rng.uniform(0.0, NOISE_3D_M, (count, 1, 1))
    in_3d = _for_groups(rng, count) < config.condition_3d
    condition = np.where(in_3d[:, None, None], solid, flat)
    below = _for_groups(rng, count) < config.hide_below
    hidden = below[:, None] & BELOW
    offset = rng.normal(0.0, offset_m, (count, 1, 3)) * (below | (rng.random(count) < 0.33))[:, None, None]
    condition = condition + offset * np.where(in_3d[:, None, None], 1.0, [1.0, 1.0, 0.0])
    return Poses((target + offset).astype(np.float32), condition.astype(np.float32), hidden)


def _for_groups(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count,) uniform draws, one for each `GROUP` of poses."""
    return np.repeat(rng.random(-(-count // GROUP)), GROUP)[:count]


class PoseStream:
    """Batch number i of a run, the same whenever it is asked for: chunks are seeded by (seed, chunk)."""

    def __init__(self, clips: Clips, config: TrainConfig) -> None:
        self._clips, self._config = clips, config
        self._chunk, self._poses = -1, Poses(*(np.empty(0) for _ in range(3)))

    def __call__(self, step: int) -> Poses:
        chunk, place = divmod(step, _CHUNK)
        size = self._config.batch
        if chunk != self._chunk:
            rng = np.random.default_rng((self._config.seed, chunk))
            self._chunk, self._poses = chunk, draw_poses(rng, self._clips, size * _CHUNK, self._config)
        rows = slice(place * size, (place + 1) * size)
        return Poses(*(part[rows] for part in self._poses))

    def typical(self, count: int) -> np.ndarray:
        """(count, 17, 3) targets, of draws that no batch has."""
        return draw_poses(np.random.default_rng((self._config.seed, 0, 1)), self._clips, count, self._config).target
