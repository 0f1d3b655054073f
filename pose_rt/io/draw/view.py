"""The viewpoint of the 3D picture: where people stand on the floor and how metres become pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import cos, radians, sin

import numpy as np

from pose_rt.core.types import Keypoints2D, Pose3D

from .style import Style

_DISTANCE_M = 5.2
_LOOK_AT_M = 0.88
_HALF_HEIGHT_M = 1.26
_HALF_WIDTH_M = 1.0
_SOLE_M = 0.07
_UP_TO_EYE = np.array([0.0, _LOOK_AT_M, 0.0])
_APART_M = 1.3
_FARTHEST_M = 6.0
_FAR_AWAY_M = 1000.0
_AROUND_M = 0.62
_ZOOMS = tuple(1.2**step for step in range(13))


@dataclass(frozen=True)
class View:
    """A pinhole that looks at the scene from a fixed direction. Scene axes are the camera's, with y = 0 on the floor.

    Attributes:
        width, height: of the picture, px.
        zoom_out: factor on the width of what is seen; one of a few steps, so that the view does not breathe.
        yaw_deg, pitch_deg: viewpoint to the side of the camera and above it.
        unit: what is one pixel in a 1280x720 picture, px; labels scale with it.
    """

    width: int
    height: int
    zoom_out: float
    yaw_deg: float
    pitch_deg: float
    unit: float

    @property
    def pixels_per_m(self) -> float:
        """Scale at the middle of the scene."""
        return min(self.height / (2.0 * _HALF_HEIGHT_M), self.width / (2.0 * _HALF_WIDTH_M)) / self.zoom_out

    @property
    def distance_m(self) -> float:
        """From the viewer to the middle of the scene."""
        return _DISTANCE_M * self.zoom_out

    def project(self, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scene metres (..., 3) -> pixels (..., 2) and depth (...) in m; NaN behind the viewer and a kilometre away."""
        away = self.distance_m
        near = np.where(np.abs(points_m) < _FAR_AWAY_M, points_m, np.nan)
        seen = (near + _UP_TO_EYE) @ _rotation(self.yaw_deg, self.pitch_deg).T
        depth = seen[..., 2] + away
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(depth > 0.2 * away, self.pixels_per_m * away / depth, np.nan)
        xy = seen[..., :2] * scale[..., None] + (0.5 * self.width, 0.5 * self.height)
        return xy, depth


@lru_cache(maxsize=8)
def _rotation(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    """(3, 3) from scene axes to the viewer's."""
    yaw, pitch = radians(yaw_deg), radians(pitch_deg)
    turn = np.array([[cos(yaw), 0.0, sin(yaw)], [0.0, 1.0, 0.0], [-sin(yaw), 0.0, cos(yaw)]])
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, cos(pitch), -sin(pitch)], [0.0, sin(pitch), cos(pitch)]])
    return tilt @ turn


def choose_view(width: int, height: int, unit: float, places_m: np.ndarray, style: Style) -> View:
    """The nearest of a few fixed views that holds everyone; `places_m` (P, 3) are the people's places on the floor."""
    nearest = View(width, height, 1.0, style.yaw_deg, style.pitch_deg, unit)
    half_width = min(0.5 * width / nearest.pixels_per_m, 1.6)
    reach = float(np.hypot(places_m[:, 0], places_m[:, 2]).max(initial=0.0))
    needed = (reach + _AROUND_M) / half_width
    zoom_out = next((zoom for zoom in _ZOOMS if zoom >= needed), _ZOOMS[-1])
    return replace(nearest, zoom_out=zoom_out)


def places_on_floor(pose: Pose3D, keypoints: Keypoints2D | None) -> np.ndarray:
    """Where each person's root goes in the scene, (P, 3) m: everyone stands on the floor, the group's middle at the origin.

    People stand apart as their roots in camera space say, or side by side in the order they have in the picture while a root is
    unknown. The height above the floor cannot be known from root-relative joints, so the lowest joint decides it.
    """
    people = len(pose.track)
    places = np.zeros((people, 3))
    if people == 0:
        return places
    roots = pose.root_m
    if people > 1:
        if roots is not None and np.isfinite(roots).all():
            places[:, [0, 2]] = roots[:, [0, 2]]
        else:
            places[np.argsort(_order_in_picture(pose, keypoints), kind="stable"), 0] = np.arange(people) * _APART_M
        places -= 0.5 * (places.min(0) + places.max(0))
        reach = np.hypot(places[:, 0], places[:, 2]).max()
        places *= min(1.0, _FARTHEST_M / max(reach, 1e-6))
    down = pose.joints_m[..., 1]
    height = np.where(np.abs(down) < _FAR_AWAY_M, down, -np.inf).max(1)
    places[:, 1] = np.where(np.isfinite(height), -height - _SOLE_M, 0.0)
    return places


def _order_in_picture(pose: Pose3D, keypoints: Keypoints2D | None) -> np.ndarray:
    """(P,) key that sorts people from left to right in the picture, or by track where their boxes are not known."""
    if keypoints is None:
        return pose.track.astype(np.float64)
    middle = {int(track): float(box[0] + box[2]) for track, box in zip(keypoints.track, keypoints.box_px, strict=True)}
    return np.array([middle.get(int(track), np.inf) for track in pose.track])
