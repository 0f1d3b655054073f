"""Boxes, crops and the affine maps between a picture and a network's input, as published (sizes are (height, width))."""

from __future__ import annotations

import cv2
import numpy as np

ENLARGE = 1.25
"""Of the box, in COCO and MPII; Human3.6M's boxes are taken as they are."""


def xywh_to_xyxy(box: np.ndarray) -> np.ndarray:
    """(..., 4) x, y, w, h -> left, top, right, bottom: x + max(w - 1, 0)."""
    box = np.asarray(box, np.float64)
    return np.concatenate([box[..., :2], box[..., :2] + np.maximum(box[..., 2:] - 1, 0)], -1)


def clip_box(box: np.ndarray, width: int, height: int) -> np.ndarray:
    """(..., 4) corners moved into the picture, [0, width - 1] x [0, height - 1]."""
    limit = np.array([width - 1, height - 1], np.float64)
    corners = np.asarray(box, np.float64).reshape(*np.shape(box)[:-1], 2, 2)
    return np.minimum(np.maximum(corners, 0.0), limit).reshape(np.shape(box))


def box_to_centre_scale(box: np.ndarray, aspect: float, enlarge: float = ENLARGE) -> tuple[np.ndarray, np.ndarray]:
    """(4,) corners -> centre (2,) and scale (2,) = width and height of the crop, float32.

    The shorter side grows to the aspect ratio width / height, then both by `enlarge`; a centre at x = -1 keeps its size, as published.
    """
    left, top, right, bottom = (float(v) for v in box)
    width, height = right - left, bottom - top
    centre = np.array([left + 0.5 * width, top + 0.5 * height], np.float32)
    if width > aspect * height:
        height = width / aspect
    elif width < aspect * height:
        width = height * aspect
    scale = np.array([width, height], np.float32)
    return centre, scale * np.float32(enlarge) if centre[0] != -1 else scale


def centre_scale_to_box(centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The crop's corners (4,) float32."""
    return np.concatenate([centre - scale * 0.5, centre - scale * 0.5 + scale]).astype(np.float32)


def affine(centre: np.ndarray, scale: np.ndarray, degrees: float, size: tuple[int, int], *, inverse: bool = False) -> np.ndarray:
    """(2, 3) float64 map from the picture to an input of `size` (height, width); with `inverse` the way back.

    Three pairs of points: the centre and the middle of the input; half the width upwards, turned by `degrees`; a right angle to both.
    Only the scale's width counts.
    """
    height, width = size
    turn = np.pi * degrees / 180
    half = float(scale[0]) * -0.5
    direction = np.array([-half * np.sin(turn), half * np.cos(turn)], np.float32)
    source, target = np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)
    source[0], source[1] = centre, centre + direction
    target[0] = width * 0.5, height * 0.5
    target[1] = target[0] + np.array([0, width * -0.5], np.float32)
    for points in (source, target):
        side = points[0] - points[1]
        points[2] = points[1] + np.array([-side[1], side[0]], np.float32)
    found = cv2.getAffineTransform(target, source) if inverse else cv2.getAffineTransform(source, target)
    return np.asarray(found, np.float64)


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(..., 2) through (2, 3), float64."""
    return points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]


def cut(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The crop (height, width, 3), bilinear, black outside."""
    return np.asarray(cv2.warpAffine(image, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR))
