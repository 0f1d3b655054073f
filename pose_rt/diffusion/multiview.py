"""Cameras on a circle around a motion, and the 3D motion that agrees best with what they see (MAS, section 3.2). NumPy only.

A 3D motion is (B, T, J, 3), x right, y up, z away from a camera at horizontal angle 0. What V cameras see of it is (V, B, J, 2, T).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np


def camera_rotation(horizontal: float, vertical: float) -> np.ndarray:
    """(3, 3) float32 R = Ry(h) Rx(v) for row vectors ``p R``."""
    c, s = math.cos(horizontal), math.sin(horizontal)
    turn = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]], np.float32)
    c, s = math.cos(vertical), math.sin(vertical)
    return turn @ np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]], np.float32)


@dataclass(frozen=True)
class Views:
    """V cameras at one distance from the origin, looking at it.

    Attributes:
        horizontal, vertical: (V,) radians.
        distance: in the motion's unit.
        scale: what is seen is divided by it.
        rotation: (V, 3, 3) float32, derived.
    """

    horizontal: np.ndarray
    vertical: np.ndarray
    distance: float = 7.0
    scale: float = 1.0
    rotation: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pairs = zip(np.asarray(self.horizontal).tolist(), np.asarray(self.vertical).tolist(), strict=True)
        object.__setattr__(self, "rotation", np.stack([camera_rotation(h, v) for h, v in pairs]))

    def __len__(self) -> int:
        return len(self.rotation)

    def facing(self, horizontal: np.ndarray) -> Views:
        """The same cameras at other horizontal angles (V,)."""
        return replace(self, horizontal=horizontal)

    def magnification(self, motion: np.ndarray) -> np.ndarray:
        """``(d / c) / (z + d)`` of every point in every view: (V, B, T, J, 1)."""
        shape = (len(self), 1, 1, 3, 1)
        depth = motion @ self.rotation[:, :, 2].reshape(shape)
        return np.float32(self.distance / self.scale) / (depth + np.float32(self.distance))

    def orthographic(self, motion: np.ndarray) -> np.ndarray:
        """Rotated x and y: (B, T, J, 3) -> (V, B, J, 2, T)."""
        return (motion @ self.rotation[:, None, None, :, :2]).transpose(0, 1, 3, 4, 2)

    def perspective(self, motion: np.ndarray) -> np.ndarray:
        """Rotated x and y by the magnification: (B, T, J, 3) -> (V, B, J, 2, T)."""
        flat = motion @ self.rotation[:, None, None, :, :2]
        return (flat * self.magnification(motion)).transpose(0, 1, 3, 4, 2)

    def depth_free_gradient(self, motion: np.ndarray, upstream: np.ndarray) -> np.ndarray:
        """Gradient of a loss by the motion when depths count as constants: upstream (V, B, J, 2, T) -> (B, T, J, 3)."""
        back = upstream.transpose(0, 1, 4, 2, 3) * self.magnification(motion)
        spread = back @ self.rotation[:, None, None, :, :2].swapaxes(-1, -2)
        return np.asarray(spread.sum(0))

    def gradient(self, motion: np.ndarray, upstream: np.ndarray) -> np.ndarray:
        """The true gradient, through the depths too: ``dL/dz -= (dL/dp . p) / (z + d)``."""
        flat = motion @ self.rotation[:, None, None, :, :2]
        m = self.magnification(motion)
        depth = (upstream.transpose(0, 1, 4, 2, 3) * flat).sum(-1, keepdims=True) * m * m * np.float32(self.scale / self.distance)
        along = (depth * self.rotation[:, None, None, None, :, 2]).sum(0)
        return np.asarray(self.depth_free_gradient(motion, upstream) - along)


def circle(count: int, vertical: float | np.ndarray, distance: float, scale: float = 1.0) -> Views:
    """V cameras evenly around: ``h_i = -pi + 2 pi i / V``."""
    horizontal = -np.pi + 2 * np.pi * np.arange(count) / count
    return Views(horizontal, np.broadcast_to(np.asarray(vertical, np.float64), (count,)), distance, scale)


def perspective_each(motion: np.ndarray, horizontal: np.ndarray, vertical: np.ndarray, distance: float, scale: float) -> np.ndarray:
    """Every sample seen by a camera of its own: (B, T, J, 3) -> (B, J, 2, T)."""
    seen = [
        Views(np.array([h]), np.array([v]), distance, scale).perspective(sample[None])[0, 0]
        for sample, h, v in zip(motion, horizontal, vertical, strict=True)
    ]
    return np.stack(seen)


def triangulate(
    views: Views, seen: np.ndarray, start: np.ndarray | None = None, weights: np.ndarray | None = None, rounds: int = 8
) -> np.ndarray:
    """The 3D motion whose projections are nearest to what the views see: a stationary point of MAS's consistency loss.

    The loss ``sum_v w_v |m_v A_v^T p - q_v|^2`` treats the magnifications m as constants, so its gradient vanishes where the 3 x 3
    equations ``(sum w m^2 A A^T) p = sum w m A q`` hold; they are solved in turn with new magnifications. A round shrinks the error
    by the size of the body over the camera's distance.

    Args:
        seen: (V, B, J, 2, T).
        start: (B, T, J, 3) whose depths begin; default the origin's.
        weights: (V,); default equal.
        rounds: of solving.

    Raises:
        ValueError: fewer than two views: nothing tells the depth.
    """
    if len(views) < 2:
        raise ValueError(f"views: got {len(views)}, wanted at least 2: one view does not tell the depth")
    flat = views.rotation[:, :, :2].astype(np.float64)
    weight = np.ones(len(views)) if weights is None else weights.astype(np.float64)
    points = seen.transpose(0, 1, 4, 2, 3).astype(np.float64)
    motion: np.ndarray
    outer = flat @ flat.swapaxes(-1, -2)
    motion = np.zeros((*points.shape[1:-1], 3)) if start is None else start.astype(np.float64)
    for _ in range(rounds):
        m = views.magnification(motion)[..., 0] * 1.0
        left = np.einsum("v,v...,vij->...ij", weight, m * m, outer)
        right = np.einsum("v,v...,vij,v...j->...i", weight, m, flat, points)
        moved: np.ndarray = np.linalg.solve(left, right[..., None])[..., 0]
        # No point leaves the space in front of all cameras while the others settle.
        reach = np.linalg.norm(moved, axis=-1, keepdims=True)
        moved *= np.minimum(1.0, 0.8 * views.distance / np.maximum(reach, 1e-9))
        change = float(np.abs(moved - motion).max())
        motion = moved
        if change < 1e-7:
            break
    return motion.astype(np.float32)


class AdamTriangulation:
    """The published consistency block: Adam on the loss, warm-started, its moments kept from one diffusion step to the next.

    Attributes:
        motion: (B, T, J, 3) float32, zeros at the start.
        losses: of the last call.
        on_step: told the number of iterations of the call and the motion after each.
    """

    def __init__(self, shape: tuple[int, ...], steps: int = 1000, lr: float = 0.01, tolerance: float = 5e-11) -> None:
        self.motion: np.ndarray = np.zeros(shape, np.float32)
        self._first: np.ndarray
        self._second: np.ndarray
        self._first, self._second = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._count, self._steps, self._lr, self._tolerance = 0, steps, lr, tolerance
        self.losses: list[float] = []
        self.on_step: Callable[[int, np.ndarray], None] | None = None

    def __call__(self, views: Views, seen: np.ndarray, weights: np.ndarray | None = None, steps: int | None = None) -> np.ndarray:
        """Up to `steps` iterations; stops when the loss falls no more."""
        self.losses, before = [], 1e11
        w = np.float32(1.0) if weights is None else weights.astype(np.float32).reshape(-1, 1, 1, 1, 1)
        for _ in range(self._steps if steps is None else steps):
            difference = views.perspective(self.motion) - seen
            loss = float((w * difference**2).mean(dtype=np.float64))
            self._adam(views.depth_free_gradient(self.motion, w * difference * np.float32(2.0 / difference.size)))
            self.losses.append(loss)
            if self.on_step is not None:
                self.on_step(len(self.losses), self.motion)
            if loss >= before - self._tolerance * before:
                break
            before = loss
        return self.motion

    def _adam(self, gradient: np.ndarray) -> None:
        self._count += 1
        self._first = 0.9 * self._first + np.float32(0.1) * gradient
        self._second = 0.999 * self._second + np.float32(0.001) * gradient * gradient
        size = self._lr / (1 - 0.9**self._count)
        root = np.sqrt(self._second) / np.float32(math.sqrt(1 - 0.999**self._count)) + np.float32(1e-8)
        self.motion = self.motion - np.float32(size) * self._first / root
