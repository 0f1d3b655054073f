"""Rotations as matrices, quaternions (w, x, y, z), axis times angle, Euler angles and six numbers, and the ways between them.

Matrices act on columns. NumPy; leading axes are free. Single and double precision are kept.
"""

from __future__ import annotations

import numpy as np

_AXES = {"x": 0, "y": 1, "z": 2}


def axis_matrix(axis: str, angle: np.ndarray) -> np.ndarray:
    """Rotation about x, y or z: (...,) radians -> (..., 3, 3)."""
    k = _AXES[axis]
    c, s = np.cos(angle), np.sin(angle)
    out = np.zeros((*np.shape(angle), 3, 3), c.dtype)
    i, j = (k + 1) % 3, (k + 2) % 3
    out[..., k, k] = 1
    out[..., i, i] = out[..., j, j] = c
    out[..., i, j], out[..., j, i] = -s, s
    return out


def euler_to_matrix(angles: np.ndarray, order: str) -> np.ndarray:
    """``R = R_1(a_1) R_2(a_2) R_3(a_3)``, axes as `order` says ("xyz", "zxz", ...); (..., 3) radians -> (..., 3, 3)."""
    a, b, c = (axis_matrix(axis, angles[..., i]) for i, axis in enumerate(order.lower()))
    return np.asarray(a @ b @ c)


def matrix_to_euler(matrix: np.ndarray, order: str) -> np.ndarray:
    """The angles of `euler_to_matrix`, the middle one within a quarter (or, with a repeated axis, half) turn.

    The outer two are read off what is left when the others' rotations are taken away, so one rule covers all twelve orders.
    """
    i, j, k = (_AXES[axis] for axis in order.lower())
    if i == k:
        other = 3 - i - j
        sign = 1.0 if (j - i) % 3 == 1 else -1.0
        middle = np.arccos(np.clip(matrix[..., i, i], -1, 1))
        first = np.arctan2(matrix[..., j, i], -sign * matrix[..., other, i])
        last = np.arctan2(matrix[..., i, j], sign * matrix[..., i, other])
        return np.stack([first, middle, last], -1)
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    middle = np.arcsin(np.clip(sign * matrix[..., i, k], -1, 1))
    first = np.arctan2(-sign * matrix[..., j, k], matrix[..., k, k])
    last = np.arctan2(-sign * matrix[..., i, j], matrix[..., i, i])
    return np.stack([first, middle, last], -1)


def quaternion_to_matrix(q: np.ndarray) -> np.ndarray:
    """(..., 4), of any length but 0 -> (..., 3, 3)."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    s = 2.0 / (q * q).sum(-1)
    rows = [
        1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w),
        s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w),
        s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y),
    ]  # fmt: skip
    return np.stack(rows, -1).reshape(*q.shape[:-1], 3, 3)


def matrix_to_quaternion(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (..., 4) with a real part that is not negative, from whichever of the four components is largest."""
    m = matrix
    d0, d1, d2 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    size = np.sqrt(np.maximum(np.stack([1 + d0 + d1 + d2, 1 + d0 - d1 - d2, 1 - d0 + d1 - d2, 1 - d0 - d1 + d2], -1), 0))
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    s = size**2
    rows = np.stack([
        np.stack([s[..., 0], a, b, c], -1), np.stack([a, s[..., 1], d, e], -1),
        np.stack([b, d, s[..., 2], f], -1), np.stack([c, e, f, s[..., 3]], -1),
    ], -2) / (2 * np.maximum(size[..., None], 0.1))  # fmt: skip
    return standardise(np.take_along_axis(rows, size.argmax(-1)[..., None, None], -2)[..., 0, :])


def axis_angle_to_quaternion(turn: np.ndarray) -> np.ndarray:
    """Axis times angle (..., 3) -> (..., 4)."""
    angle = np.linalg.norm(turn, axis=-1, keepdims=True)
    return np.concatenate([np.cos(angle / 2), 0.5 * np.sinc(angle / (2 * np.pi)) * turn], -1)


def quaternion_to_axis_angle(q: np.ndarray) -> np.ndarray:
    """(..., 4) -> axis times angle (..., 3)."""
    size = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    half = np.arctan2(size, q[..., :1])
    return q[..., 1:] / (0.5 * np.sinc(half / np.pi))


def axis_angle_to_matrix(turn: np.ndarray) -> np.ndarray:
    """Axis times angle (..., 3) -> (..., 3, 3)."""
    return quaternion_to_matrix(axis_angle_to_quaternion(turn))


def matrix_to_axis_angle(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> axis times angle (..., 3)."""
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def orthonormal(six: np.ndarray) -> np.ndarray:
    """Gram-Schmidt of two vectors (..., 6) to the rows of a rotation (..., 3, 3) (Zhou et al. 2019)."""
    first = six[..., :3] / np.linalg.norm(six[..., :3], axis=-1, keepdims=True)
    second = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], -2)


def matrix_to_six(matrix: np.ndarray) -> np.ndarray:
    """The first two rows (..., 6)."""
    return matrix[..., :2, :].reshape(*matrix.shape[:-2], 6)


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product of quaternions (..., 4)."""
    aw, bw, av, bv = a[..., :1], b[..., :1], a[..., 1:], b[..., 1:]
    return np.concatenate([aw * bw - (av * bv).sum(-1, keepdims=True), aw * bv + bw * av + np.cross(av, bv)], -1)


def standardise(q: np.ndarray) -> np.ndarray:
    """The one of q and -q (..., 4) whose real part is not negative."""
    return np.where(q[..., :1] < 0, -q, q)


def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The unit quaternion (..., 4) of the shortest turn from vectors a to vectors b (..., 3); opposite ones have none."""
    real = np.sqrt((a * a).sum(-1, keepdims=True) * (b * b).sum(-1, keepdims=True)) + (a * b).sum(-1, keepdims=True)
    q = np.concatenate([real, np.cross(a, b)], -1)
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def continuous(q: np.ndarray) -> np.ndarray:
    """Signs of quaternions (T, ..., 4) chosen so that neighbours in time lie near each other."""
    flips = np.cumsum((q[1:] * q[:-1]).sum(-1) < 0, axis=0) % 2
    out = q.copy()
    out[1:][flips == 1] *= -1
    return out


def euler_to_quaternion(angles: np.ndarray, order: str) -> np.ndarray:
    """Product of the turns about the axes of `order`; `angles` (..., 3) are about x, y, z in radians."""
    result = np.zeros((*angles.shape[:-1], 4), angles.dtype)
    result[..., 0] = 1
    for axis in order.lower():
        half = angles[..., _AXES[axis]] / 2
        turn = np.zeros_like(result)
        turn[..., 0], turn[..., 1 + _AXES[axis]] = np.cos(half), np.sin(half)
        result = multiply(result, turn)
    return result


def quaternion_to_euler(q: np.ndarray, order: str) -> np.ndarray:
    """Angles (..., 3) about x, y, z, in radians, of the product in `order`."""
    angles = matrix_to_euler(quaternion_to_matrix(q), order)
    out = np.empty_like(angles)
    for i, axis in enumerate(order.lower()):
        out[..., _AXES[axis]] = angles[..., i]
    return out
