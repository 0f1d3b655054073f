"""MAS vectors of rotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pose_rt.core import rotations as r
from pose_rt.core.rotation import quaternion_conjugate, quaternion_rotate
from tests.parity.check import Check
from tests.parity.gfpose import Vectors

_ANTIPODAL = ("xyz", "yzx", "zxy")
"""Orders for which the original gives the other of the two quaternions."""


def _rotations(path: Path) -> list[Check]:
    v = Vectors(path)
    q, q2, a, b, turn, six, euler, sequence = (v.arrays["in__" + n] for n in ("q", "q2", "v", "v2", "aa", "d6", "eul", "qseq"))
    unit = q / np.linalg.norm(q, axis=-1, keepdims=True)
    unit2 = q2 / np.linalg.norm(q2, axis=-1, keepdims=True)
    matrix = r.quaternion_to_matrix(q)
    columns = np.swapaxes(matrix, -1, -2)
    got = {
        "rc_quaternion_to_matrix": matrix,
        "rc_matrix_to_quaternion": r.matrix_to_quaternion(matrix),
        "rc_axis_angle_to_matrix": r.axis_angle_to_matrix(turn),
        "rc_matrix_to_axis_angle": r.matrix_to_axis_angle(r.axis_angle_to_matrix(turn)),
        "rc_axis_angle_to_quaternion": r.axis_angle_to_quaternion(turn),
        "rc_quaternion_to_axis_angle": r.quaternion_to_axis_angle(unit),
        "rc_rotation_6d_to_matrix": r.orthonormal(six),
        "rc_matrix_to_rotation_6d": r.matrix_to_six(matrix),
        "rc_quaternion_multiply": r.standardise(r.multiply(unit, unit2)),
        "rc_quaternion_raw_multiply": r.multiply(q, q2),
        "rc_standardize": r.standardise(q),
        "rc_invert": quaternion_conjugate(q),
        "rc_apply": quaternion_rotate(unit, a),
        "mu_qmul": r.multiply(q, q2),
        "mu_qinv": quaternion_conjugate(q),
        "mu_qnormalize": unit,
        "mu_qrot": quaternion_rotate(unit, a),
        "mu_quaternion_to_matrix": matrix,
        "mu_quaternion_to_cont6d": r.matrix_to_six(columns),
        "mu_cont6d_to_matrix": np.swapaxes(r.orthonormal(six), -1, -2),
        "mu_qbetween": r.between(a, b),
        "mu_qfix": r.continuous(sequence),
        "mu_expmap_to_quaternion": r.axis_angle_to_quaternion(turn),
    }
    for order in ("XYZ", "ZYX", "YXZ", "ZXZ"):
        got["rc_euler_to_matrix_" + order] = r.euler_to_matrix(euler, order)
        got["rc_matrix_to_euler_" + order] = r.matrix_to_euler(r.euler_to_matrix(euler, order), order)
    for order in ("xyz", "yzx", "zxy", "xzy", "yxz", "zyx"):
        got["mu_qeuler_" + order] = r.quaternion_to_euler(q, order)
        got["mu_qeuler_deg_" + order] = np.rad2deg(r.quaternion_to_euler(q, order))
        sign = -1 if order in _ANTIPODAL else 1
        got["mu_euler2quat_" + order] = sign * r.euler_to_quaternion(euler, order)
    shares = np.array([0.0, 0.25, 1.0], np.float32)[:, None, None]
    got["mu_lerp"] = a + (b - a) * shares
    return [v.check(name, value) for name, value in got.items()]


HANDLERS = [("gfmas/mas_rotations.npz", _rotations)]
