"""Whole clips as a live camera and its 2D detector would deliver them, frame by frame, with the truth beside.

Constants that a training window draws once (joint definitions, strength of the noise) are drawn once a clip; events (hidden, lost and
swapped joints, outliers) come as often a second as they do in training windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from pose_rt.core.camera import Camera
from pose_rt.core.skeleton import H36M17
from pose_rt.core.types import Frame, Keypoints2D, Packet

from .bodies import apply, rot_z
from .cmu17 import CameraRange, camera_space
from .detector import DetectorNoise, observe, shift_definitions, swap_sides
from .motion import CLIP_RATE_HZ, Clips

WINDOW_S = 0.72
"""Length of a training window, the span over which its event probabilities are meant."""
TRAINING_RATE_HZ = 12.5
CAMERA = Camera.from_focal(1280, 720, 1000.0)
"""What the run time assumes; the true focal length differs by the range of `CameraRange.focal_error`."""
_QUIET = DetectorNoise((0.0, 0.0), (1e-9, 1e-9), (0.2, 0.85), 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class StreamConfig:
    """What is streamed. `drop` is the share of frames that are lost; at most `seconds` of each clip are used."""

    rate_hz: float = 30.0
    seconds: float = 8.0
    drop: float = 0.0
    noise: DetectorNoise = field(default_factory=DetectorNoise)
    cameras: CameraRange = field(default_factory=lambda: CameraRange(distance_m=(3.0, 7.0)))


@dataclass(frozen=True)
class Track:
    """One clip: times (T,) ns; `xy_px` (T, 17, 2) seen, NaN = lost; `truth_m` (T, 17, 3) relative to the root, camera axes;
    `swapped` (T, 2) bool: legs, arms."""

    times_ns: np.ndarray
    xy_px: np.ndarray
    truth_m: np.ndarray
    swapped: np.ndarray


def simulate(clips: Clips, config: StreamConfig, seed: int) -> list[Track]:
    """Every clip before a virtual camera of its own, seen by the detector; the same cameras and bodies at any rate."""
    return [_track(clips, clip, config, seed) for clip in range(len(clips.length))]


def packets(tracks: list[Track]) -> Iterator[Packet]:
    """All clips at once, as people of one picture, track = place in `tracks`; a person leaves where the clip ends."""
    picture = np.zeros((1, 1, 3), np.uint8)
    times = np.unique(np.concatenate([t.times_ns for t in tracks]))
    rows = [dict(zip(t.times_ns.tolist(), t.xy_px, strict=True)) for t in tracks]
    for index, now in enumerate(times.tolist()):
        here = [track for track, row in enumerate(rows) if now in row]
        xy = np.stack([rows[track][now] for track in here])
        keypoints = Keypoints2D(
            xy_px=xy,
            score=np.isfinite(xy).all(-1).astype(np.float32),
            spread_px=None,
            box_px=np.zeros((len(here), 4), np.float32),
            track=np.array(here, np.int64),
            skeleton=H36M17,
        )
        yield Packet(Frame(picture, index, now, now), keypoints=keypoints)


def _track(clips: Clips, clip: int, config: StreamConfig, seed: int) -> Track:
    rng = np.random.default_rng((seed, clip))
    length = min(int(clips.length[clip]), round(config.seconds * CLIP_RATE_HZ))
    world = clips.joints[clips.start[clip] : clips.start[clip] + length]
    world = world - (world[:, :1].min(0) + world[:, :1].max(0)) / 2
    joints = camera_space(rng, apply(rot_z(rng.uniform(-np.pi, np.pi, 1)), world)[None], config.cameras)
    joints[..., 2] += max(1.5 - float(joints[..., 2].min()), 0.0)  # a long walk never passes through the camera
    spread = np.log(config.cameras.focal_error)
    focal = np.float32(np.exp(rng.uniform(-spread, spread)))
    seen = shift_definitions(rng, joints, config.noise)[0]

    count = int((length - 1) / CLIP_RATE_HZ * config.rate_hz) + 1
    times = np.arange(count) / config.rate_hz
    truth, exact = (_at(a, times * CLIP_RATE_HZ) for a in (joints[0], focal * seen[..., :2] / seen[..., 2:]))
    scale = float(focal / joints[0, :, 0, 2].mean())
    plane, swapped = _events(rng, exact, scale, config)
    plane = plane + _steady_noise(rng, exact.shape, scale, config)
    kept = rng.random(count) >= config.drop
    kept[0] = True
    return Track(
        times_ns=np.round(times * 1e9).astype(np.int64)[kept],
        xy_px=(plane * CAMERA.focal_px + CAMERA.center).astype(np.float32)[kept],
        truth_m=(truth - truth[:, :1])[kept],
        swapped=swapped[kept],
    )


def _events(rng: np.random.Generator, exact: np.ndarray, scale: float, config: StreamConfig) -> tuple[np.ndarray, np.ndarray]:
    """Hidden, lost and swapped joints and outliers, in windows of the training's length, without steady noise."""
    count, frames = len(exact), max(round(WINDOW_S * config.rate_hz), 2)
    windows = -(-count // frames)
    padded = np.concatenate([exact, np.repeat(exact[-1:], windows * frames - count, 0)]).reshape(windows, frames, 17, 2)
    scales = np.full(windows, scale)
    quiet = replace(config.noise, noise=_QUIET.noise, swap=0.0)
    # Of a faster camera's frames no larger share are outliers, but their number a second grows; training knows the rate of 12.5 Hz.
    quiet = replace(quiet, outlier=config.noise.outlier * min(TRAINING_RATE_HZ / config.rate_hz, 1.0))
    seen = observe(rng, padded, scales, quiet)
    parts = seen
    # Training's runs of 1 to 3 frames are of 12.5 Hz: swaps are drawn at that rate and held over this one's frames.
    coarse = swap_sides(rng, np.zeros((windows, round(WINDOW_S * TRAINING_RATE_HZ), 17, 2)), config.noise.swap)
    at = np.minimum((np.arange(frames) / config.rate_hz * TRAINING_RATE_HZ).astype(np.int64), coarse.shape[1] - 1)
    swapped = coarse[:, at]
    for part, members in enumerate((np.arange(1, 7), np.arange(11, 17))):
        order = np.arange(17)
        order[members] = H36M17.mirror[members]
        parts = np.where(swapped[..., part, None, None], parts[:, :, order], parts)
    return parts.reshape(-1, 17, 2)[:count], swapped.reshape(-1, 2)[:count]


def _steady_noise(rng: np.random.Generator, shape: tuple[int, ...], scale: float, config: StreamConfig) -> np.ndarray:
    """Noise of the same strength, and the same correlation over a second, as in training."""
    low, high = (rho ** (TRAINING_RATE_HZ / config.rate_hz) for rho in config.noise.correlation)
    steady = replace(_QUIET, noise=config.noise.noise, correlation=(low, high))
    return observe(rng, np.zeros((1, *shape)), np.array([scale]), steady)[0]


def _at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(T, ...) at fractional frames."""
    low = np.minimum(places.astype(np.int64), len(values) - 2)
    fraction = (places - low).astype(np.float32).reshape(-1, *([1] * (values.ndim - 1)))
    return values[low] + (values[low + 1] - values[low]) * fraction
