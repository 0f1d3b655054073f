"""Training pairs for the lifter: cmu17 (and procedural) motion seen by virtual cameras through an imperfect 2D detector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pose_rt.core.viewpoint import normalise_window

from .bodies import apply, rot_x, rot_z
from .detector import DetectorNoise, detect, shift_definitions
from .motion import Clips, Mixture, motion_windows

# World (x right, y forward, z up) -> a level camera that looks along +y (x right, y down, z forward).
_LEVEL = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)


@dataclass(frozen=True)
class CameraRange:
    """Where virtual cameras stand. Angles in degrees; pitch > 0 looks down; `focal_error` is the true over the assumed focal length."""

    distance_m: tuple[float, float] = (1.9, 9.0)
    pitch: tuple[float, float] = (-25.0, 45.0)
    roll: float = 4.0
    off_axis: tuple[float, float] = (11.0, 6.0)
    focal_error: float = 1.3


@dataclass(frozen=True)
class PairConfig:
    """Everything that decides what a training pair looks like. With `dense` > 1 the target has that many frames an input frame."""

    frames: int = 9
    rate_hz: float = 12.5
    dense: int = 1
    mixture: Mixture = field(default_factory=Mixture)
    cameras: CameraRange = field(default_factory=CameraRange)
    noise: DetectorNoise = field(default_factory=DetectorNoise)


class Pairs(NamedTuple):
    """What the network gets and should give, and what the run time knows besides.

    Attributes:
        xy: (B, F, 17, 2) the network's input.
        target_m: (B, (F - 1) dense + 1, 17, 3) root-relative metres in the centred view.
        plane: (B, F, 17, 2) detected points in the image plane of the camera that the run time assumes (focal length 1, centre 0).
        rotation: (B, 3, 3) from camera axes to the centred view.
    """

    xy: np.ndarray
    target_m: np.ndarray
    plane: np.ndarray
    rotation: np.ndarray


def camera_space(rng: np.random.Generator, world: np.ndarray, cameras: CameraRange) -> np.ndarray:
    """(B, F, 17, 3) world windows -> camera axes of a random camera each."""
    count = len(world)
    typical = rng.normal(8.0, 9.0, count)
    wide = rng.uniform(*cameras.pitch, count)
    pitch = np.deg2rad(np.where(rng.random(count) < 0.65, typical, wide).clip(*cameras.pitch))
    roll = np.deg2rad(rng.normal(0.0, cameras.roll, count).clip(-10, 10))
    rotation = rot_z(roll) @ rot_x(pitch) @ _LEVEL
    log_near, log_far = np.log(cameras.distance_m)
    distance = np.exp(rng.uniform(log_near, log_far, count))
    angle = np.deg2rad(rng.normal(0.0, 1.0, (count, 2)) * np.array(cameras.off_axis)).clip(-0.5, 0.5)
    direction = np.stack([np.tan(angle[:, 0]), np.tan(angle[:, 1]), np.ones(count)], -1)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    place = (direction * distance[:, None]).astype(np.float32)
    return apply(rotation[:, None], world) + place[:, None, None]


def make_pairs(rng: np.random.Generator, clips: Clips, count: int, config: PairConfig) -> Pairs:
    """Draw `count` training pairs."""
    frames, rate_hz = (config.frames - 1) * config.dense + 1, config.rate_hz * config.dense
    every = camera_space(rng, motion_windows(rng, clips, count, frames, rate_hz, config.mixture), config.cameras)
    camera = every[:, :: config.dense]
    spread = np.log(config.cameras.focal_error)
    focal = np.exp(rng.uniform(-spread, spread, count)).astype(np.float32)
    seen = shift_definitions(rng, camera, config.noise)
    exact = focal[:, None, None, None] * seen[..., :2] / np.maximum(seen[..., 2:], 0.25)
    depth = np.maximum(camera[:, :, 0, 2].mean(1), 0.5)
    plane = detect(rng, exact, focal / depth, config.noise)
    view = normalise_window(plane, 1.0, np.zeros(2))
    target = apply(view.rotation[:, None], every - every[:, :, :1])
    return Pairs(view.xy, target, plane.astype(np.float32), view.rotation)
