"""The fan of futures: ghosts of the skeleton at a few times, and the paths of hands, feet and head."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pose_rt.core.skeleton import Skeleton
from pose_rt.core.types import Forecast, Pose3D

from .lines3d import draw_thin_skeletons, thin_line
from .room3d import pool_colour
from .strokes import polylines
from .style import CENTRE, LEFT, RIGHT, Style, anatomy
from .view import View

_GHOST_OPACITY = (0.34, 0.12)
_MOMENT_OPACITY = 0.62
_TRAIL_OPACITY = (0.8, 0.2)
_TRAIL_POINTS = 24
_TRAIL_BANDS = 4
_TRAIL_WORDS = ("wrist", "ankle", "head")


def draw_futures(image: np.ndarray, forecast: Forecast, pose: Pose3D, places: np.ndarray, view: View, style: Style) -> None:
    """Draw the fan over a scene: ghosts of each future at a few times and the paths of outer joints, fading with time."""
    futures, ground = _on_floor(forecast, pose, places, style)
    steps = futures.shape[2]
    if futures.size == 0:
        return
    ghosts = [step for _, step in reversed(ghost_steps(forecast, style))]
    xy, _ = view.project(futures[:, :, ghosts] + ground[:, None])
    for index, step in enumerate(ghosts):
        opacity = _fade(_GHOST_OPACITY, (step + 1) / steps)
        draw_thin_skeletons(image, xy[:, :, index], forecast.skeleton, opacity, thin_line(view), style)
    _draw_trails(image, futures, forecast.skeleton, ground, view, style)


def draw_moment(image: np.ndarray, forecast: Forecast, pose: Pose3D, places: np.ndarray, step: int, view: View, style: Style) -> None:
    """Draw all futures at one of their frames over a scene."""
    futures, ground = _on_floor(forecast, pose, places, style)
    if futures.size:
        xy, _ = view.project(futures[:, :, step] + ground)
        draw_thin_skeletons(image, xy, forecast.skeleton, _MOMENT_OPACITY, thin_line(view), style)


def ghost_steps(forecast: Forecast, style: Style) -> list[tuple[float, int]]:
    """Each of `style.ghosts_s` within the forecast, ascending, with the frame nearest to it."""
    steps = ((ghost, round(ghost * 1e9 / forecast.step_ns) - 1) for ghost in sorted(set(style.ghosts_s)))
    return [(ghost, step) for ghost, step in steps if 0 <= step < forecast.futures_m.shape[2]]


def _on_floor(forecast: Forecast, pose: Pose3D, places: np.ndarray, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """The futures (P, K, T, J, 3) m to draw, of people who are in the pose, and their places (P, 1, 1, 3) on the floor."""
    index = {int(track): person for person, track in enumerate(pose.track)}
    known = [person for person, track in enumerate(forecast.track) if int(track) in index]
    stand = places[[index[int(forecast.track[person])] for person in known]].reshape(-1, 1, 1, 3)
    return forecast.futures_m[known, : style.futures], stand


def _fade(opacity: tuple[float, float], share: float) -> float:
    return opacity[0] + (opacity[1] - opacity[0]) * share


class _Trails(NamedTuple):
    """Which joints (N,) of sides (N,) and which frames (F,) make the paths, and where those are cut into bands."""

    joints: np.ndarray
    sides: np.ndarray
    frames: np.ndarray
    cuts: list[int]


def outer_joints(skeleton: Skeleton) -> np.ndarray:
    """(N,) the joints whose paths into the future are drawn: hands, feet and head."""
    return np.array([j for j, name in enumerate(skeleton.joints) if any(word in name for word in _TRAIL_WORDS)], np.intp)


@lru_cache(maxsize=8)
def _plan_trails(skeleton: Skeleton, steps: int) -> _Trails:
    joints = outer_joints(skeleton)
    frames = np.unique(np.linspace(0, steps - 1, _TRAIL_POINTS).round().astype(np.intp))
    cuts = np.linspace(0, len(frames) - 1, _TRAIL_BANDS + 1).round().astype(int).tolist()
    return _Trails(joints, anatomy(skeleton).joint_side[joints], frames, cuts)


def _draw_trails(image: np.ndarray, futures: np.ndarray, skeleton: Skeleton, ground: np.ndarray, view: View, style: Style) -> None:
    """Draw the paths of the outer joints through (P, K, T, J, 3) m, from the far future to now."""
    plan = _plan_trails(skeleton, futures.shape[2])
    xy, _ = view.project(futures[:, :, plan.frames][:, :, :, plan.joints] + ground[:, None])
    paths = np.moveaxis(xy, 3, 0)
    thickness = thin_line(view)
    for band in reversed(range(_TRAIL_BANDS)):
        share = band / (_TRAIL_BANDS - 1)
        opacity = _fade(_TRAIL_OPACITY, share)
        piece = paths[..., plan.cuts[band] : plan.cuts[band + 1] + 1, :]
        for side in (CENTRE, LEFT, RIGHT):
            lines = piece[plan.sides == side].reshape(-1, *piece.shape[-2:])
            polylines(image, lines, pool_colour(style, opacity, style.side_colour(side)), thickness)
