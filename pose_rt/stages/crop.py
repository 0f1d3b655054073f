"""The geometry of regions of interest: rotated squares (centre x, centre y, side in px, angle in rad) in the image."""

from __future__ import annotations

import numpy as np

ENLARGE = 1.25
"""Side of a ROI over the diameter of the circle round the body."""


def rois_from_points(centre: np.ndarray, scale_point: np.ndarray) -> np.ndarray:
    """ROIs from the centre of the body and the point above it on the circle round the body.

    side = ENLARGE * 2 |e - c|; angle = pi/2 - atan2(-(e_y - c_y), e_x - c_x) in [-pi, pi): zero when e is straight above c.

    Args:
        centre, scale_point: (P, 2) px.

    Returns:
        (P, 4) float32.
    """
    offset = scale_point.astype(np.float64) - centre
    side = ENLARGE * 2.0 * np.hypot(offset[:, 0], offset[:, 1])
    angle = np.pi / 2 - np.arctan2(-offset[:, 1], offset[:, 0])
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return np.column_stack([centre, side, angle]).astype(np.float32)


def letterbox_roi(width: int, height: int) -> np.ndarray:
    """(1, 4) float32: the square of side max(width, height) round the whole picture."""
    return np.array([[width / 2, height / 2, max(width, height), 0.0]], np.float32)


def to_image(points: np.ndarray, roi: np.ndarray) -> np.ndarray:
    """Points of crops to image pixels: centre + R(angle) (point - 1/2) side.

    Args:
        points: (P, J, 2) in [0, 1] of each crop.
        roi: (P, 4).

    Returns:
        (P, J, 2) float32 px.
    """
    centre, side, angle = roi[:, None, :2].astype(np.float64), roi[:, None, 2].astype(np.float64), roi[:, None, 3].astype(np.float64)
    x, y = (points[..., 0] - 0.5) * side, (points[..., 1] - 0.5) * side
    cos, sin = np.cos(angle), np.sin(angle)
    return (np.stack([x * cos - y * sin, x * sin + y * cos], -1) + centre).astype(np.float32)


def usable(roi: np.ndarray, width: int, height: int) -> np.ndarray:
    """(P,) bool: finite ROIs of at least two pixels that are not absurdly larger than the picture and touch it."""
    reach = max(width, height)
    side = np.where(np.isfinite(roi).all(-1), roi[:, 2], 0.0)
    centre = np.nan_to_num(roi[:, :2])
    inside = (centre > -side[:, None]).all(-1) & (centre < np.array([width, height]) + side[:, None]).all(-1)
    return (side >= 2.0) & (side <= 10.0 * reach) & inside


def bounding_boxes(xy_px: np.ndarray, width: int, height: int, margin: float = 0.05) -> np.ndarray:
    """(P, 4) float32 left, top, right, bottom round each person's points, a little wider, cut at the picture's edges."""
    if len(xy_px) == 0:
        return np.zeros((0, 4), np.float32)
    low, high = np.nanmin(xy_px, 1), np.nanmax(xy_px, 1)
    pad = margin * (high - low).max(-1, keepdims=True)
    limit = np.array([width, height], np.float32)
    return np.concatenate([np.clip(low - pad, 0, limit), np.clip(high + pad, 0, limit)], -1).astype(np.float32)
