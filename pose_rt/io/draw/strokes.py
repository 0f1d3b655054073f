"""Anti-aliased strokes at sub-pixel positions and widths, drawn in place on uint8 pictures."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

import cv2
import numpy as np

from .style import Bgr

SHIFT = 4
"""Coordinates go to OpenCV in 1/16 px, so that lines do not jump from pixel to pixel in a video."""
_ONE = 1 << SHIFT
LIMIT_PX = 30_000.0
"""Positions farther out than this are not drawn: no picture reaches there and OpenCV's fixed point has an end."""
_CAP = np.linspace(-np.pi / 2, np.pi / 2, 6)
_CAP_COS, _CAP_SIN = np.cos(_CAP)[:, None], np.sin(_CAP)[:, None]
_EAST, _TURN = np.array([1.0, 0.0]), np.array([-1.0, 1.0])
FONT = cv2.FONT_HERSHEY_SIMPLEX


def drawable(points: np.ndarray) -> np.ndarray:
    """(..., D) positions in px -> (...) bool: finite and near enough to the picture to be drawn."""
    return (np.abs(points) < LIMIT_PX).all(-1)


def capsules(start: np.ndarray, end: np.ndarray, start_radius: np.ndarray | float, end_radius: np.ndarray | float) -> np.ndarray:
    """Outlines of tapered strokes with round ends.

    Args:
        start, end: (N, 2) px.
        start_radius, end_radius: (N,) or scalar, half widths in px.

    Returns:
        (N, 12, 2) int32 convex polygons in 1/16 px.
    """
    along = end - start
    length = np.sqrt((along * along).sum(1, keepdims=True))
    along = np.where(length > 1e-6, along / np.maximum(length, 1e-6), _EAST)
    across = along[:, ::-1] * _TURN
    rim = _CAP_COS * along[:, None] + _CAP_SIN * across[:, None]
    outline = np.empty((len(start), 2 * len(_CAP), 2))
    outline[:, : len(_CAP)] = end[:, None] + np.reshape(end_radius, (-1, 1, 1)) * rim
    outline[:, len(_CAP) :] = start[:, None] - np.reshape(start_radius, (-1, 1, 1)) * rim
    return np.rint(outline * _ONE).astype(np.int32)


def fill_polygons(image: np.ndarray, polygons: np.ndarray | Sequence[np.ndarray], colours: Sequence[Bgr]) -> None:
    """Fill convex polygons (N, M, 2) of 1/16 px, one colour each, in the order given."""
    for polygon, colour in zip(polygons, colours, strict=True):
        cv2.fillConvexPoly(image, polygon, colour, cv2.LINE_AA, SHIFT)


def dashes(start: np.ndarray, end: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut one line (2,), (2,) into dashes (N, 2), (N, 2) of about `period` px from one to the next, half of it ink."""
    count = int(np.clip(round(float(np.hypot(*(end - start))) / max(period, 1.0) + 0.5), 1, 64))
    at = (np.arange(count) * 2)[:, None] / max(2 * count - 1, 1)
    step = 1.0 / max(2 * count - 1, 1)
    return start + (end - start) * at, start + (end - start) * (at + step)


def discs(image: np.ndarray, centres: np.ndarray, radii: np.ndarray | float, colours: Sequence[Bgr]) -> None:
    """Fill discs in the order given; `centres` (N, 2) and `radii` (N,) or one for all, in px."""
    fixed = np.rint(centres * _ONE).astype(np.int32).tolist()
    sizes = np.maximum(np.rint(np.multiply(radii, _ONE)), 1.0).astype(np.int32).tolist()
    sizes = sizes if isinstance(sizes, list) else [sizes] * len(fixed)
    for centre, size, colour in zip(fixed, sizes, colours, strict=True):
        cv2.circle(image, centre, size, colour, -1, cv2.LINE_AA, SHIFT)


def disc(image: np.ndarray, centre: np.ndarray, radius: float, colour: Bgr) -> None:
    """Fill a disc; `centre` (2,) and `radius` in px."""
    x, y = centre.tolist()
    cv2.circle(image, (round(x * _ONE), round(y * _ONE)), max(round(radius * _ONE), 1), colour, -1, cv2.LINE_AA, SHIFT)


def ring(image: np.ndarray, centre: np.ndarray, radius: float, colour: Bgr, thickness: int = 1) -> None:
    """Draw a circle's line; `centre` (2,) and `radius` in px."""
    x, y = (round(float(c) * _ONE) for c in centre)
    cv2.circle(image, (x, y), max(round(radius * _ONE), 1), colour, thickness, cv2.LINE_AA, SHIFT)


def polylines(image: np.ndarray, lines: np.ndarray, colour: Bgr, thickness: int = 1) -> None:
    """Draw many open lines (N, T, 2) px of one colour in one call; those that are not drawable are left out."""
    lines = lines[drawable(lines).all(-1)]
    if len(lines):
        cv2.polylines(image, list(np.rint(lines * _ONE).astype(np.int32)), False, colour, thickness, cv2.LINE_AA, SHIFT)


def window(image: np.ndarray, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """The part of a picture inside a box, as a view; empty where they do not meet."""
    height, width = image.shape[:2]
    x0, y0 = min(max(floor(left), 0), width), min(max(floor(top), 0), height)
    x1, y1 = min(max(ceil(right), x0), width), min(max(ceil(bottom), y0), height)
    return image[y0:y1, x0:x1]


def blend(below: np.ndarray, above: np.ndarray, opacity: float) -> None:
    """Lay `above` over `below`, in place and on bytes: no float picture is made."""
    if below.size:
        cv2.addWeighted(above, opacity, below, 1.0 - opacity, 0.0, dst=below)


def soft_disc(image: np.ndarray, centre: np.ndarray, radius: float, colour: Bgr, opacity: float) -> None:
    """Lay a translucent disc over the picture, touching only the pixels around it."""
    reach = radius + 2.0
    corner = np.maximum(np.floor(centre - reach), 0.0)
    patch = window(image, corner[0], corner[1], centre[0] + reach, centre[1] + reach)
    if patch.size:
        above = patch.copy()
        disc(above, centre - corner, radius, colour)
        blend(patch, above, opacity)


def text_scale(height_px: float) -> float:
    """Font scale whose capital letters are `height_px` high."""
    return height_px / 21.0


def text_size(text: str, height_px: float) -> tuple[int, int]:
    """Width and height in px of a line of text whose capitals are `height_px` high."""
    (width, height), _ = cv2.getTextSize(text, FONT, text_scale(height_px), text_thickness(height_px))
    return width, height


def text_thickness(height_px: float) -> int:
    """Stroke of letters `height_px` high."""
    return max(1, round(height_px / 11.0))


def put_text(image: np.ndarray, text: str, x: float, baseline: float, height_px: float, colour: Bgr) -> None:
    """Write a line of text; `x` is its left end and `baseline` where the letters stand, px."""
    cv2.putText(image, text, (round(x), round(baseline)), FONT, text_scale(height_px), colour, text_thickness(height_px), cv2.LINE_AA)
