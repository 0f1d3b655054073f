"""Windows of 3D motion from cmu17 and from the procedural generator, on bodies of random proportions.

World metres, z up; (B, F, 17, 3) with the pelvis at the origin in the middle frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose_rt.core.skeleton import H36M17
from pose_rt.errors import InputError

from .bodies import UPPER, apply, facing, from_bones, length_factors, rot_x, rot_z, to_bones
from .procedural import procedural_bones

CLIP_RATE_HZ = 50.0


@dataclass(frozen=True)
class Clips:
    """All clips of one split concatenated: `joints` (N, 17, 3) float32 metres, and where each clip starts and how long it is."""

    joints: np.ndarray
    start: np.ndarray
    length: np.ndarray
    action: np.ndarray
    name: np.ndarray


def load_clips(folder: Path, split: str) -> Clips:
    """Read ``folder/split.npz`` (see the README of the data set for its arrays).

    Raises:
        InputError: the file is not there.
    """
    path = folder / f"{split}.npz"
    if not path.is_file():
        raise InputError(f"{path}: no such file", "give the folder that holds train.npz and test.npz with --data")
    with np.load(path, allow_pickle=False) as data:
        joints = data["pos_mm"].astype(np.float32) / np.float32(1000.0)
        return Clips(joints, data["start"].astype(np.int64), data["length"].astype(np.int64), data["action"], data["name"])


@dataclass(frozen=True)
class Mixture:
    """Shares of what a window is made of; the rest is plain motion capture. `vary` turns body and speed augmentation on."""

    recombined: float = 0.12
    procedural_legs: float = 0.13
    procedural: float = 0.11
    tilted: float = 0.05
    vary: bool = True


PLAIN = Mixture(recombined=0.0, procedural_legs=0.0, procedural=0.0, tilted=0.0, vary=False)
"""Motion as it was captured: for tests."""


def clip_windows(
    rng: np.random.Generator, clips: Clips, count: int, frames: int, rate_hz: float, vary: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Canonical windows cut at random times: bones (B, F, 17, 3) and root path (B, F, 3) relative to the middle frame.

    A clip is drawn with a weight between its length and the square root of it, so that the few long climbing clips do not rule.
    """
    weight = clips.length.astype(np.float64) ** (0.75 if vary else 1.0)
    clip = rng.choice(len(weight), count, p=weight / weight.sum())
    stride = CLIP_RATE_HZ / rate_hz
    speed = np.full(count, stride)
    if vary:
        speed = stride * np.exp(rng.normal(0.0, 0.17, count).clip(-0.35, 0.3)) * np.where(rng.random(count) < 0.3, -1.0, 1.0)
    last = clips.length[clip] - 1
    middle = rng.random(count) * last
    time = middle[:, None] + (np.arange(frames) - frames // 2) * speed[:, None]
    # A window that sticks out of its clip slides inwards; a clip shorter than the window holds its ends.
    time = time - np.minimum(time.min(1), 0.0)[:, None]
    time = time - np.maximum(time.max(1) - last, 0.0)[:, None]
    time = time.clip(0.0, last[:, None])
    floor = np.minimum(time.astype(np.int64), last[:, None] - 1)
    fraction = (time - floor)[..., None, None].astype(np.float32)
    base = clips.start[clip][:, None] + floor
    joints = clips.joints[base] * (1 - fraction) + clips.joints[base + 1] * fraction
    joints -= joints[:, frames // 2, None, None, 0]
    joints = apply(rot_z(-facing(joints[:, frames // 2]))[:, None], joints)
    return to_bones(joints), joints[:, :, 0]


def motion_windows(rng: np.random.Generator, clips: Clips, count: int, frames: int, rate_hz: float, mixture: Mixture) -> np.ndarray:
    """(count, frames, 17, 3) world metres, pelvis of the middle frame at the origin, facing anywhere."""
    bones, path = clip_windows(rng, clips, count, frames, rate_hz, mixture.vary)
    if mixture.vary:
        bones, path = _vary(rng, clips, bones, path, rate_hz, mixture)
    joints = from_bones(bones) + path[:, :, None]
    if mixture.vary:
        mirrored = rng.random(count) < 0.5
        joints[mirrored] = joints[mirrored][..., H36M17.mirror, :] * np.array([-1, 1, 1], np.float32)
    return apply(rot_z(rng.uniform(-np.pi, np.pi, count))[:, None], joints)


def _vary(
    rng: np.random.Generator, clips: Clips, bones: np.ndarray, path: np.ndarray, rate_hz: float, mixture: Mixture
) -> tuple[np.ndarray, np.ndarray]:
    count, frames = bones.shape[:2]
    kind = rng.random(count)
    edges = np.cumsum([mixture.procedural, mixture.procedural_legs, mixture.recombined])
    whole, legs, mixed = kind < edges[0], (kind >= edges[0]) & (kind < edges[1]), (kind >= edges[1]) & (kind < edges[2])

    made = np.flatnonzero(whole | legs)
    if len(made):
        synthetic = procedural_bones(rng, len(made), frames)
        for_whole = whole[made]
        bones[made[for_whole]] = synthetic[for_whole]
        bones[np.ix_(made[~for_whole], np.arange(frames), np.flatnonzero(~UPPER))] = synthetic[~for_whole][:, :, ~UPPER]
        drift = rng.normal(0.0, 0.15, (len(made), 1, 3)) * ((np.arange(frames) - frames // 2) / rate_hz)[None, :, None]
        path[made] = drift.astype(np.float32)
    other = np.flatnonzero(mixed)
    if len(other):
        donor, _ = clip_windows(rng, clips, len(other), frames, rate_hz, True)
        bones[np.ix_(other, np.arange(frames), np.flatnonzero(UPPER))] = donor[:, :, UPPER]

    factors = length_factors(rng, count)
    bones = bones * factors[:, None, :, None]
    path = path * factors[:, 2, None, None]
    follow = rng.random(count) < 0.15
    path[follow] = 0.0

    # Lying and acrobatics: the whole motion turned about a horizontal axis.
    tilted = np.flatnonzero(rng.random(count) < np.where(whole, 0.2, mixture.tilted))
    if len(tilted):
        heading = rng.uniform(-np.pi, np.pi, len(tilted))
        amount = np.where(rng.random(len(tilted)) < 0.75, rng.uniform(0.7, 1.9, len(tilted)), rng.uniform(1.9, np.pi, len(tilted)))
        turn = (rot_z(heading) @ rot_x(amount) @ rot_z(-heading))[:, None]
        bones[tilted] = apply(turn, bones[tilted])
        path[tilted] = apply(turn[:, 0], path[tilted])
    return bones, path
