"""Translucent panels with round corners, for what lies over the picture."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .style import Bgr, Style, mix

_WHITE: Bgr = (255, 255, 255)


def lay_panel(image: np.ndarray, left: float, top: float, width: float, height: float, style: Style, opacity: float = 0.84) -> np.ndarray:
    """Lay a panel of the style's colour over the picture, in place.

    Args:
        image: (h, w, 3) uint8, changed.
        left, top, width, height: px; what does not fit is cut off.
        style: gives the colour.
        opacity: of the panel.

    Returns:
        The panel's part of the picture, as a view to write on; empty where they do not meet.
    """
    x, y = max(0, round(left)), max(0, round(top))
    patch = image[y : max(y, round(top + height)), x : max(x, round(left + width))]
    if not patch.size:
        return patch
    below = patch.copy()
    ground = np.full_like(patch, style.panel)
    cv2.addWeighted(patch, 1.0 - opacity, ground, opacity, 0.0, dst=patch)
    radius = max(2, round(min(0.25 * min(patch.shape[:2]), 5.0 + 0.012 * (width + height))))
    round_corners(patch, below, radius, mix(style.panel, _WHITE, 0.22))
    return patch


@lru_cache(maxsize=8)
def _corner(radius: int, rim: Bgr) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How to finish the upper left corner of a panel, anti-aliased: corner = below * a + panel * b + c, (r, r, 3) float32 each."""
    at = radius - np.arange(radius, dtype=np.float32) - 0.5
    distance = np.hypot(at[:, None], at[None])[..., None]
    inside = np.clip(radius - distance + 0.5, 0.0, 1.0)
    line = np.clip(1.0 - np.abs(radius - 0.5 - distance), 0.0, 1.0)
    return 1.0 - inside, inside * (1.0 - line), inside * line * np.array(rim, np.float32)


def round_corners(patch: np.ndarray, below: np.ndarray, radius: int, rim: Bgr) -> None:
    """Put back what lies outside the round corners of a panel and draw its rim."""
    height, width = patch.shape[:2]
    radius = min(radius, height // 2, width // 2)
    keep, panel, line = _corner(radius, rim)
    for turn in (np.s_[:, :], np.s_[::-1, :], np.s_[:, ::-1], np.s_[::-1, ::-1]):
        corner = patch[turn][:radius, :radius]
        corner[...] = below[turn][:radius, :radius] * keep + corner * panel + line + 0.5
    patch[0, radius : width - radius] = patch[-1, radius : width - radius] = rim
    patch[radius : height - radius, 0] = patch[radius : height - radius, -1] = rim
