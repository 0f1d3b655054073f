"""Unit quaternions (w, x, y, z), acting on vectors."""

from __future__ import annotations

import numpy as np


def quaternion_rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Rotate vectors: with u = qv x v, the result is ``v + 2 (q_w u + qv x u)``.

    Args:
        q: (..., 4) unit quaternions, w first; leading axes broadcast against those of `v`.
        v: (..., 3).
    """
    w, axis = q[..., :1], q[..., 1:]
    u = np.cross(axis, v)
    return v + 2 * (w * u + np.cross(axis, u))


def quaternion_conjugate(q: np.ndarray) -> np.ndarray:
    """The inverse rotation of unit quaternions (..., 4)."""
    return np.concatenate([q[..., :1], -q[..., 1:]], -1)
