"""Bones, body proportions and rotations of Human3.6M-17 windows, vectorised over (B, F).

The world is x right, y forward, z up. "Canonical" windows face +y at their middle frame.
"""

from __future__ import annotations

import numpy as np

from pose_rt.core.skeleton import H36M17

PARENTS = np.array(H36M17.parents)
UPPER = np.arange(17) >= 7
"""Bones of the trunk, head and arms; the others (but the root) are the legs'."""


def _ancestors() -> np.ndarray:
    chain = np.zeros((17, 17), np.float32)
    for joint in range(17):
        k = joint
        while k > 0:
            chain[joint, k] = 1.0
            k = int(PARENTS[k])
    return chain


_CHAIN = _ancestors()

# Joints whose bones share one random length factor (left and right alike).
_PARTS = ((1, 4), (2, 5), (3, 6), (7,), (8,), (9,), (10,), (11, 14), (12, 15), (13, 16))


def to_bones(joints: np.ndarray) -> np.ndarray:
    """(..., 17, 3) positions -> (..., 17, 3) vectors from the parent; the root's is zero."""
    bones = joints - joints[..., np.maximum(PARENTS, 0), :]
    bones[..., 0, :] = 0.0
    return bones


def from_bones(bones: np.ndarray) -> np.ndarray:
    """The inverse of `to_bones`, with the root at the origin."""
    return np.matmul(_CHAIN, bones)


def length_factors(rng: np.random.Generator, count: int, spread: float = 0.07, limit: float = 0.16) -> np.ndarray:
    """(count, 17) symmetric bone-length factors: one for the whole body, one for each part."""
    factors = np.ones((count, 17), np.float32)
    for part in _PARTS:
        factors[:, part] = 1.0 + rng.normal(0.0, spread, (count, 1)).clip(-limit, limit)
    factors *= 1.0 + rng.normal(0.0, 0.07, (count, 1)).clip(-0.18, 0.15)
    return factors


def rot_x(angle: np.ndarray) -> np.ndarray:
    """(...,) radians -> (..., 3, 3), acting on column vectors."""
    return _axis(angle, 0)


def rot_y(angle: np.ndarray) -> np.ndarray:
    """(...,) radians -> (..., 3, 3)."""
    return _axis(angle, 1)


def rot_z(angle: np.ndarray) -> np.ndarray:
    """(...,) radians -> (..., 3, 3)."""
    return _axis(angle, 2)


def _axis(angle: np.ndarray, axis: int) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    out = np.zeros((*np.shape(angle), 3, 3), np.float32)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[..., axis, axis] = 1.0
    out[..., i, i] = out[..., j, j] = c
    out[..., i, j], out[..., j, i] = -s, s
    return out


def apply(rotation: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Rotate (..., N, 3) row vectors by (..., 3, 3)."""
    return np.matmul(vectors, np.swapaxes(rotation, -1, -2))


def facing(joints: np.ndarray) -> np.ndarray:
    """(..., 17, 3) world poses -> (...,) yaw about z that turns +y into the direction the pelvis faces."""
    right = joints[..., 1, :] - joints[..., 4, :]
    return np.arctan2(right[..., 1], right[..., 0])


def trunk_frame(joints: np.ndarray) -> np.ndarray:
    """(..., 17, 3) -> (..., 3, 3) with rows right, forward, up of the trunk."""
    up = joints[..., 8, :] - joints[..., 0, :]
    up = up / np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-6)
    right = joints[..., 14, :] - joints[..., 11, :] + joints[..., 1, :] - joints[..., 4, :]
    right = right - (right * up).sum(-1, keepdims=True) * up
    right = right / np.maximum(np.linalg.norm(right, axis=-1, keepdims=True), 1e-6)
    return np.stack([right, np.cross(up, right), up], -2)
