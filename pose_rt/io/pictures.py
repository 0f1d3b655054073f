"""Small things done to pictures that need no media library."""

from __future__ import annotations

import cv2
import numpy as np


def fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale an image into `size` (width, height) with its shape kept, on black."""
    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    canvas[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return canvas
