"""The still part of the 3D picture, made once per size: ground, light and a grid of metres."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .strokes import disc, drawable, polylines, put_text, text_size, text_thickness
from .style import Bgr, Style, mix
from .view import View

_REACH_M = 6.0
_STEP_M = 0.25
_WHITE: Bgr = (255, 255, 255)
_TEXT: Bgr = (206, 198, 192)


@lru_cache(maxsize=16)
def backdrop(view: View, style: Style, labels: bool = True) -> np.ndarray:
    """The empty scene, (height, width, 3) uint8, read-only: a dark room with a pool of light on a floor of 1 m squares."""
    image = _room(view, style)
    _grid(image, view)
    if labels:
        _scale_bar(image, view)
        _legend(image, view, style)
    image.setflags(write=False)
    return image


def _room(view: View, style: Style) -> np.ndarray:
    """A vertical gradient with an elliptic pool of light where people stand."""
    centre, _ = view.project(np.zeros(3))
    reach = 1.9 * view.pixels_per_m * view.zoom_out
    y = np.arange(view.height, dtype=np.float32)[:, None]
    x = np.arange(view.width, dtype=np.float32)[None]
    pool = np.exp(-(((x - centre[0]) / reach) ** 2) - ((y - centre[1]) / (0.42 * reach)) ** 2)
    light = 0.02 + 0.05 * y / max(view.height - 1, 1) + 0.16 * pool
    image = np.empty((view.height, view.width, 3), np.uint8)
    for channel, base in enumerate(style.panel):
        image[..., channel] = base + (255 - base) * light + np.float32(0.5)
    return image


def _grid(image: np.ndarray, view: View) -> None:
    """Lines every half metre, the whole metres brighter, all fading with the distance from the middle."""
    reach = _REACH_M * max(1.0, view.zoom_out * 0.8)
    step = _STEP_M * max(1.0, view.zoom_out)
    at = np.arange(-reach, reach + 0.5 * step, step)
    spacing = 0.5 if view.zoom_out < 2.0 else 1.0
    for whole in (False, True):
        offsets = np.arange(np.ceil(-reach), reach + 1e-6, spacing)
        offsets = offsets[np.isclose(offsets, np.rint(offsets)) == whole]
        for offset in offsets:
            for swap in (False, True):
                path = np.stack([np.full_like(at, offset), np.zeros_like(at), at], 1)
                _fading_line(image, view, path[:, ::-1] if swap else path, 0.30 if whole else 0.12, reach)


def _fading_line(image: np.ndarray, view: View, path_m: np.ndarray, opacity: float, reach: float) -> None:
    xy, _ = view.project(path_m)
    far = np.hypot(path_m[:, 0], path_m[:, 2])
    shares = opacity * np.exp(-(((far[1:] + far[:-1]) / 2 / (0.5 * reach)) ** 2))
    thickness = max(1, round(0.004 * view.pixels_per_m * view.zoom_out))
    height, width = image.shape[:2]
    for start, end, share in zip(xy[:-1], xy[1:], shares, strict=True):
        if share > 0.004 and drawable(start) and drawable(end):
            x, y = (0.5 * (start + end)).round().astype(int).clip(0, (width - 1, height - 1))
            b, g, r = (int(v) for v in image[y, x])
            polylines(image, np.stack([start, end])[None], mix((b, g, r), _WHITE, float(share)), thickness)


def text_height(view: View) -> float:
    """Height of the capitals of small labels in a 3D picture of this size, px; labels under 4.5 px are left out."""
    return min(0.026 * min(view.height, 1.2 * view.width), 11.0 * view.unit)


def _scale_bar(image: np.ndarray, view: View) -> None:
    """A bar in the lower right corner as long as one metre (or a few) is where people stand."""
    height = text_height(view)
    metres = max(1, round(view.zoom_out))
    length = metres * view.pixels_per_m
    if height < 4.5 or length > 0.6 * view.width:
        return
    right, y = view.width - 1.2 * height, view.height - 1.2 * height
    tick = 0.35 * height
    bar = np.array([(right - length, y - tick), (right - length, y), (right, y), (right, y - tick)])
    polylines(image, bar[None], _TEXT, text_thickness(height))
    text = f"{metres} m"
    put_text(image, text, right - 0.5 * (length + text_size(text, height)[0]), y - 0.7 * height, height, _TEXT)


def _legend(image: np.ndarray, view: View, style: Style) -> None:
    """Which colour is left and which is right, in the lower left corner."""
    height = text_height(view)
    if height < 4.5:
        return
    x, baseline = 1.2 * height, view.height - 1.2 * height
    for text, colour in (("left", style.left), ("right", style.right)):
        disc(image, np.array([x + 0.5 * height, baseline - 0.42 * height]), 0.42 * height, colour)
        put_text(image, text, x + 1.4 * height, baseline, height, _TEXT)
        x += 1.4 * height + text_size(text, height)[0] + 1.1 * height


@lru_cache(maxsize=256)
def pool_colour(style: Style, share: float, colour: Bgr) -> Bgr:
    """What a line of `colour` and opacity `share` looks like in front of the room."""
    return mix(mix(style.panel, _WHITE, 0.1), colour, share)
