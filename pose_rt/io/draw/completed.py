"""Joints that a prior filled in, shown in the picture: dashed, where the camera would see them, with how far off they may be."""

from __future__ import annotations

import numpy as np

from pose_rt.core.camera import Camera
from pose_rt.core.types import COMPLETED, Pose3D

from .strokes import capsules, dashes, drawable, fill_polygons, ring, soft_disc
from .style import Style, anatomy, picture_unit

_NEAREST_M = 0.1
_HALO_OPACITY = 0.22
_HALO_SHARE = 0.25
"""A halo is at most this share of the picture's smaller side."""


def draw_completed(image: np.ndarray, pose: Pose3D, camera: Camera, style: Style) -> None:
    """Draw the bones that end in a completed joint as dashes, and one standard deviation around the joint, in place.

    Nothing is drawn of people whose root is unknown: where they would be seen is then unknown too.

    Args:
        image: (h, w, 3) uint8, changed.
        pose: its provenance says which joints were completed.
        camera: projects the joints, ``xy = focal * (X, Y) / Z + centre``.
        style: colours and whether to show the uncertainty.
    """
    if pose.root_m is None:
        return
    unit = picture_unit(image.shape[1], image.shape[0]) * style.line_scale
    completed = np.equal(pose.provenance, COMPLETED)
    for person in np.flatnonzero(completed.any(1) & np.isfinite(pose.root_m).all(1)).tolist():
        joints = pose.joints_m[person].astype(np.float64) + pose.root_m[person]
        depth = np.where(joints[:, 2] > _NEAREST_M, joints[:, 2], np.nan)
        scale = camera.focal_px / depth
        xy = joints[:, :2] * scale[:, None] + camera.center
        if style.spread:
            _draw_halos(image, xy, pose.sigma_m[person] * scale, completed[person], pose, style)
        _draw_dashed(image, xy, completed[person], pose, unit, style)


def _draw_halos(image: np.ndarray, xy: np.ndarray, sigma_px: np.ndarray, completed: np.ndarray, pose: Pose3D, style: Style) -> None:
    sides, largest = anatomy(pose.skeleton).joint_side, _HALO_SHARE * min(image.shape[:2])
    for joint in np.flatnonzero(completed & drawable(xy) & (sigma_px > 1.0)).tolist():
        colour, radius = style.side_colour(int(sides[joint])), min(float(sigma_px[joint]), largest)
        soft_disc(image, xy[joint], radius, colour, _HALO_OPACITY)
        ring(image, xy[joint], radius, colour)


def _draw_dashed(image: np.ndarray, xy: np.ndarray, completed: np.ndarray, pose: Pose3D, unit: float, style: Style) -> None:
    body = anatomy(pose.skeleton)
    radius = max(2.0 * unit, 0.8)
    shown = completed[body.edges].any(1) & drawable(xy[body.edges]).all(1)
    for (start, end), side in zip(body.edges[shown].tolist(), body.edge_side[shown].tolist(), strict=True):
        starts, stops = dashes(xy[start], xy[end], 9.0 * radius)
        fill_polygons(image, capsules(starts, stops, 1.5 * radius, 1.5 * radius), [(22, 18, 16)] * len(starts))
        fill_polygons(image, capsules(starts, stops, radius, radius), [style.side_colour(side)] * len(starts))
