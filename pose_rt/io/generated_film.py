"""Generated motion as moving pictures: 3D with a camera that turns around it, 2D on a plane, and as a file for the Rerun viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..core.motion_sets import MotionSet
from ..core.types import Frame, Packet, Pose3D
from ..stream.protocols import SourceInfo
from .draw.scene3d import draw_scene
from .draw.strokes import capsules, discs, drawable, fill_polygons, polylines, put_text
from .draw.style import Style, anatomy, mix, picture_unit
from .draw.view import View, choose_view
from .sinks.video import VideoSink

SIZE = (512, 512)
TURN_DEG = 36.0
"""Degrees a second that the camera turns: the published 1.2 a frame at 30 frames a second."""
ROUNDS = 2
"""How often a 3D motion is played, as published."""

_SMOOTH_FPS = 24.0
_TALL_M, _WIDE_M = 1.7, 1.9
_SOLE_M = 0.07
_GRID_M = 4.0
_GREY, _WHITE = (150, 150, 150), (255, 255, 255)


def smooth_factor(fps: float) -> int:
    """How many pictures are shown for each frame of a slow motion: enough for 24 a second."""
    return max(1, -int(-_SMOOTH_FPS // fps))


def between_frames(motion: np.ndarray, factor: int) -> np.ndarray:
    """Catmull-Rom curves through the frames: (T, ...) -> ((T - 1) factor + 1, ...); the frames themselves stay."""
    if factor == 1 or len(motion) < 2:
        return motion
    padded = np.concatenate([2 * motion[:1] - motion[1:2], motion, 2 * motion[-1:] - motion[-2:-1]]).astype(np.float64)
    a, b, c, d = (padded[i : i + len(motion) - 1, None] for i in range(4))
    u = (np.arange(factor) / factor).reshape(1, -1, *(1,) * (motion.ndim - 1))
    curve = b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a)))
    return np.concatenate([curve.reshape(-1, *motion.shape[1:]), motion[-1:]])


def in_room(motion: np.ndarray, spec: MotionSet) -> tuple[np.ndarray, np.ndarray]:
    """A motion (T, J, 3) as the drawn room wants it: joints relative to the body's place (T, J, 3), and the places (T, 3).

    The room's axes are the camera's with y = 0 on the floor: MAS's y, which points up, is turned over. The lowest joints stand on the
    floor, the middle of the path is the origin. Sets without a unit are scaled to the height of a person or the length of a horse.
    """
    joints = motion.astype(np.float64) * np.array([1.0, -1.0, 1.0])
    if spec.name not in METRIC:
        extent = np.median(np.ptp(joints, axis=1), axis=0)
        joints = joints * min(_TALL_M / max(extent[1], 1e-6), _WIDE_M / max(float(np.hypot(extent[0], extent[2])), 1e-6))
    path = joints[:, list(spec.path)].mean(1)
    middle = 0.5 * (path.min(0) + path.max(0))
    floor = np.percentile(joints[..., 1].max(1), 98)  # a single low frame does not lift the rest off the floor
    shift = np.array([middle[0], floor + _SOLE_M, middle[2]])
    return joints - path[:, None], path - shift


METRIC = ("cmu17", "tracks")
"""Sets whose unit is the metre."""


def packets(motion: np.ndarray, spec: MotionSet, fps: float) -> Iterator[Packet]:
    """A packet for every frame of a 3D motion (T, J, 3), with a black picture; roots are the places in the room."""
    black = np.zeros((48, 64, 3), np.uint8)
    joints, places = in_room(motion, spec)
    nothing = np.zeros((1, spec.joints), np.float32)
    for i, (pose, place) in enumerate(zip(joints.astype(np.float32), places.astype(np.float32), strict=True)):
        made = Pose3D(pose[None], pose[None, None], nothing, place[None], nothing.astype(np.uint8), np.zeros(1, np.int64), spec.skeleton)
        yield Packet(Frame(black, i, round(i / fps * 1e9), 0), pose=made)


def write_film3d(path: Path, motion: np.ndarray, spec: MotionSet, *, overwrite: bool = False, size: tuple[int, int] = SIZE) -> Path:
    """A 3D motion (T, J, 3) as a film: played twice while the camera turns around the body and goes along with it over a grid of metres.

    Slow motions are shown smoothly.
    """
    factor = smooth_factor(spec.fps)
    fps = spec.fps * factor
    once = list(packets(between_frames(motion, factor), spec, fps))
    frames = [Packet(Frame(p.frame.bgr, i, round(i / fps * 1e9), 0), pose=p.pose) for i, p in enumerate(once * ROUNDS)]
    style = Style(layout="3d", hypotheses=0, futures=0, spread=False)
    still = choose_view(size[0], size[1], picture_unit(*size), np.zeros((1, 3)), style)

    def draw(packet: Packet) -> np.ndarray:
        assert packet.pose is not None and packet.pose.root_m is not None
        view = replace(still, yaw_deg=(packet.frame.index / fps * TURN_DEG) % 360)
        place = packet.pose.root_m[0].astype(np.float64)
        image = _ground(view, style, place)
        draw_scene(image, packet, np.array([[0.0, place[1], 0.0]]), view, style)
        return image

    return _write(path, frames, draw, fps, size, overwrite)


def _ground(view: View, style: Style, place: np.ndarray) -> np.ndarray:
    """A dark room with a grid of metres around a place (3,) on it: few lines, since every frame has its own."""
    light = np.linspace(0.0, 0.14, view.height, dtype=np.float32)[:, None, None]
    panel = np.array(style.panel, np.float32) * (1 - light) + 255 * light
    image = np.broadcast_to(panel, (view.height, view.width, 3)).astype(np.uint8, order="C")
    along = np.arange(-_GRID_M, _GRID_M + 0.25, 0.5)
    for axis in (0, 2):
        for offset in np.arange(-_GRID_M, _GRID_M + 0.5) - place[axis] % 1.0:
            colour = mix(style.panel, _WHITE, 0.42 * max(1 - abs(offset) / (_GRID_M + 1), 0.0))
            line = np.zeros((len(along), 3))
            line[:, axis], line[:, 2 - axis] = offset, along
            xy, _ = view.project(line)
            polylines(image, np.stack([xy[:-1], xy[1:]], 1), colour)
    return image


def write_film2d(
    path: Path,
    motion: np.ndarray,
    spec: MotionSet,
    seen: np.ndarray | None = None,
    *,
    overwrite: bool = False,
    size: tuple[int, int] = SIZE,
) -> Path:
    """A 2D motion (T, J, 2) as a film, x right and y up; joints that are not seen (`seen`, (T, J) bool) are dark."""
    factor = smooth_factor(spec.fps)
    fps = spec.fps * factor
    shown = between_frames(motion.astype(np.float64), factor)
    known = np.ones(motion.shape[:2], bool) if seen is None else seen.astype(bool)
    known = np.repeat(known, factor, 0)[: len(shown)]
    low, high = shown.min((0, 1)), shown.max((0, 1))
    scale = 0.86 * min(size) / max(float((high - low).max()), 1e-6)
    pixels = (shown - 0.5 * (low + high)) * scale * np.array([1.0, -1.0]) + 0.5 * np.array(size)
    black = np.zeros((48, 64, 3), np.uint8)
    frames = [Packet(Frame(black, i, round(i / fps * 1e9), 0)) for i in range(len(pixels))]
    style = Style()

    def draw(packet: Packet) -> np.ndarray:
        image = np.full((size[1], size[0], 3), style.panel, np.uint8)
        draw_skeleton2d(image, pixels[packet.frame.index], known[packet.frame.index], spec, style)
        put_text(image, f"{packet.frame.index / fps:.1f} s", 16, size[1] - 16, 12, _GREY)
        return image

    return _write(path, frames, draw, fps, size, overwrite)


def draw_skeleton2d(image: np.ndarray, pixels: np.ndarray, seen: np.ndarray, spec: MotionSet, style: Style, radius: float = 4.0) -> None:
    """Bones and joints (J, 2) px of a 2D pose, in place; what is not seen (J,) is dark."""
    body = anatomy(spec.skeleton)
    dark = mix(style.panel, (0, 0, 0), 0.6)
    for edge, side in zip(body.edges.tolist(), body.edge_side.tolist(), strict=True):
        if drawable(pixels[edge]).all():
            colour = style.side_colour(side) if seen[edge].all() else dark
            fill_polygons(image, capsules(pixels[edge[:1]], pixels[edge[1:]], radius, 0.85 * radius), [colour])
    colours = [style.side_colour(int(side)) if s else dark for side, s in zip(body.joint_side, seen, strict=True)]
    discs(image, pixels, 1.1 * radius, colours)


def write_rerun(path: Path, motion: np.ndarray, spec: MotionSet, *, overwrite: bool = False) -> Path:
    """A 3D motion (T, J, 3) on the timelines of frame and time, for the Rerun viewer."""
    from .sinks.rerun import RerunSink

    sink = RerunSink(path, overwrite=overwrite, style=Style(hypotheses=0, futures=0))
    try:
        for packet in packets(motion, spec, spec.fps):
            sink.write(packet)
    finally:
        sink.close()
    return path


def _write(
    path: Path, frames: list[Packet], draw: Callable[[Packet], np.ndarray], fps: float, size: tuple[int, int], overwrite: bool
) -> Path:
    info = SourceInfo(size[0], size[1], Fraction(fps).limit_denominator(1000), False, None, None, "generated")
    sink = VideoSink(path, info, draw, overwrite=overwrite)
    try:
        for packet in frames:
            sink.write(packet)
    finally:
        sink.close()
    return path
