"""One training or evaluation sample from one person of one picture: augmentation, crop, target, in the published order of draws."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .crops import ENLARGE, affine, box_to_centre_scale, centre_scale_to_box, cut, transform_points

DEPTH_MM = 2000.0
"""z of the target = z_mm / 2000: 1 m before and behind the root."""
_HALF_BODY = 8
"""Visible joints above which the published code draws for a half body (which it never makes)."""


class Draws:
    """The two generators that the published code draws from, one of Python and one of NumPy."""

    def __init__(self, seed: int) -> None:
        self.python, self.numpy = random.Random(seed), np.random.RandomState(seed % 2**32)


@dataclass(frozen=True)
class Augmentation:
    """What is varied in training.

    Attributes:
        gaussian: scale and rotation are clipped normals of NumPy's generator (face, 3D); else uniforms of Python's (COCO).
        scale: half the range of the factor 1 +- scale.
        rotation: degrees; the largest, or with `gaussian` the deviation of a normal that is cut at twice that.
        turned: probability of a rotation.
        occlude: a rectangle of noise before the person, and colour gains of 0.8 to 1.2 (3D).
        shift: largest displacement of the crop on x and on y, as a share of its size. Not in the published recipes: with few pictures, all
            of them in the middle of their crop, a network learns where the crop is and not where the person is, and a tracker that follows
            its keypoints drifts away.
    """

    gaussian: bool = False
    scale: float = 0.3
    rotation: float = 40.0
    turned: float = 0.5
    occlude: bool = False
    shift: float = 0.0


AUGMENTATIONS = {
    "coco": Augmentation(),
    "images": Augmentation(shift=0.15),
    "mtfl": Augmentation(gaussian=True, turned=0.6),
    "h36m": Augmentation(gaussian=True, rotation=30.0, turned=0.6, occlude=True),
}


class Sample(NamedTuple):
    """What the network gets and should give.

    Attributes:
        image: (3, H, W) uint8 RGB.
        target, weight: (K dims,) float32; positions in the crop, [-1/2, 1/2] inside.
        box: (4,) float32, the crop's corners in the picture before rotation.
    """

    image: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    box: np.ndarray


@dataclass(frozen=True)
class CropTransform:
    """From a picture, a box and joints to a `Sample`.

    Attributes:
        size: (height, width) px of the input.
        pairs: joints that change places in a mirror.
        augmentation: None in evaluation.
        enlarge: of the box.
        whole: the box is the picture itself, whose width sets the scale (faces).
        inside_only: joints outside the crop get no weight (3D and faces; the COCO model keeps them).
    """

    size: tuple[int, int]
    pairs: Sequence[tuple[int, int]] = ()
    augmentation: Augmentation | None = None
    enlarge: float = ENLARGE
    whole: bool = False
    inside_only: bool = False

    def __call__(self, bgr: np.ndarray, box: np.ndarray, joints: np.ndarray, visible: np.ndarray, draws: Draws) -> Sample:
        """
        Args:
            bgr: (h, w, 3) uint8.
            box: (4,) corners, px.
            joints: (K, 2) px or (K, 3) px, px, mm.
            visible: (K,) or (K, dims), 0 where a coordinate has no truth.
        """
        height, width = bgr.shape[:2]
        if self.whole:
            centre = np.array([width / 2, height / 2], np.float32)
            scale = np.array([width, height], np.float32)
        else:
            centre, scale = box_to_centre_scale(box, self.size[1] / self.size[0], self.enlarge)
        points = joints.astype(np.float64)
        known = np.broadcast_to(visible[:, None] if visible.ndim == 1 else visible, points.shape).astype(np.float64)
        degrees, change = 0.0, self.augmentation
        if change is not None:
            if int((known[:, 0] > 0).sum()) > _HALF_BODY:
                draws.numpy.random_sample()
            scale, degrees = self._vary(change, scale, draws)
            if change.shift:
                centre = centre + scale * draws.numpy.uniform(-change.shift, change.shift, 2).astype(np.float32)
            if change.occlude:
                bgr = occlude(bgr, box, draws.python, draws.numpy)
        mirrored = draws.python.random() > 0.5 and change is not None
        if mirrored:
            bgr = np.ascontiguousarray(bgr[:, ::-1])
            points, known = mirror(points, known, width, self.pairs)
            centre = np.array([width - centre[0] - 1, centre[1]], np.float32)
        matrix = affine(centre, scale, degrees, self.size)
        crop = cut(bgr, matrix, self.size)
        if change is not None and change.occlude:
            gains = [draws.python.uniform(0.8, 1.2) for _ in range(3)]
            crop = np.clip(crop * np.array(gains, np.float32), 0, 255).astype(np.uint8)
        seen = known[:, 0] > 0
        points[seen, :2] = transform_points(points[seen, :2], matrix)  # the others keep their values, as published: they weigh nothing
        target, weight = self._target(points, known)
        image = np.ascontiguousarray(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB).transpose(2, 0, 1))
        return Sample(image, target, weight, centre_scale_to_box(centre, scale))

    def _vary(self, change: Augmentation, scale: np.ndarray, draws: Draws) -> tuple[np.ndarray, float]:
        low, high = 1 - change.scale, 1 + change.scale
        if not change.gaussian:
            factor = draws.python.uniform(low, high)
            turned = draws.python.random() <= change.turned
            return scale * np.float32(factor), draws.python.uniform(-change.rotation, change.rotation) if turned else 0.0
        factor = float(np.clip(1 + change.scale * draws.numpy.standard_normal(), low, high))
        limit = 2 * change.rotation
        if draws.python.random() > change.turned:
            return scale * np.float32(factor), 0.0
        return scale * np.float32(factor), float(np.clip(change.rotation * draws.numpy.standard_normal(), -limit, limit))

    def _target(self, points: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        target = points.copy()
        target[:, 0] = points[:, 0] / self.size[1] - 0.5
        target[:, 1] = points[:, 1] / self.size[0] - 0.5
        if points.shape[1] == 3:
            target[:, 2] = points[:, 2] / DEPTH_MM
        weight = (known > 0).astype(np.float32)
        if self.inside_only:
            judged = np.where(known > 0, np.abs(target), 0.0)
            weight *= (judged <= 0.5).all(1, keepdims=True)
        return target.astype(np.float32).ravel(), weight.ravel()


def mirror(points: np.ndarray, known: np.ndarray, width: int, pairs: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Joints of the mirrored picture: x -> width - 1 - x, pairs exchanged, what is not seen multiplied by its flag."""
    points, known = points.copy(), known.copy()
    points[:, 0] = width - points[:, 0] - 1
    for a, b in pairs:
        points[[a, b]], known[[a, b]] = points[[b, a]], known[[b, a]]
    return points * known, known


def occlude(bgr: np.ndarray, box: np.ndarray, python: random.Random, numpy: np.random.RandomState, tries: int = 20) -> np.ndarray:
    """A copy with a rectangle of noise, of up to 0.7 of the box's area, somewhere in the box and in the picture."""
    left, top, right, bottom = (float(v) for v in box)
    height, width = bgr.shape[:2]
    for _ in range(tries):
        area = python.random() * 0.7 * (right - left) * (bottom - top)
        ratio = python.uniform(0.3, 1 / 0.3)
        h, w = int(np.sqrt(area * ratio)), int(np.sqrt(area / ratio))
        x = int(python.random() * (right - left - w - 1) + left)
        y = int(python.random() * (bottom - top - h - 1) + top)
        if h > 0 and w > 0 and x >= 0 and y >= 0 and x + w < width and y + h < height:
            changed = bgr.copy()
            changed[y : y + h, x : x + w] = (numpy.random_sample((h, w, 3)) * 255).astype(np.uint8)
            return changed
    return bgr
