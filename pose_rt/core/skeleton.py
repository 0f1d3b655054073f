"""Joint sets: names, parents, drawn edges, left/right pairs, and the mapping between them.

H36M-17 is the order of every 3D array in pose-rt; BlazePose-33 is what the bundled 2D models give.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Skeleton:
    """A named, ordered joint set. `left` and `right` list mirrored partners in the same order."""

    name: str
    joints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    parents: tuple[int, ...] | None = None
    _swap: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        swap = np.arange(len(self.joints))
        swap[list(self.left)], swap[list(self.right)] = list(self.right), list(self.left)
        swap.setflags(write=False)
        object.__setattr__(self, "_swap", swap)

    @property
    def num_joints(self) -> int:
        return len(self.joints)

    @property
    def mirror(self) -> np.ndarray:
        """(J,) index that exchanges left and right: ``mirrored = points[..., skeleton.mirror, :]``."""
        return self._swap


_H36M_PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)

H36M17 = Skeleton(
    name="h36m17",
    joints=(
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "thorax",
        "nose", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    ),
    edges=tuple((p, j) for j, p in enumerate(_H36M_PARENTS) if p >= 0),
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
    parents=_H36M_PARENTS,
)  # fmt: skip

H36M32_TO_H36M17 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""The joints of Human3.6M's original 32 that make H36M-17: ``points[..., H36M32_TO_H36M17, :]``."""

BLAZEPOSE33 = Skeleton(
    name="blazepose33",
    joints=(
        "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer", "left_ear",
        "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
        "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb", "left_hip",
        "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel", "left_foot_index",
        "right_foot_index",
    ),
    edges=(
        (0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10), (11, 12), (11, 13), (13, 15), (15, 17), (15, 19),
        (15, 21), (17, 19), (12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20), (11, 23), (12, 24), (23, 24), (23, 25),
        (25, 27), (27, 29), (27, 31), (29, 31), (24, 26), (26, 28), (28, 30), (28, 32), (30, 32),
    ),
    left=(1, 2, 3, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31),
    right=(4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32),
)  # fmt: skip

COCO17 = Skeleton(
    name="coco17",
    joints=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
        "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    edges=(
        (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15),
        (12, 14), (14, 16),
    ),
    left=(1, 3, 5, 7, 9, 11, 13, 15),
    right=(2, 4, 6, 8, 10, 12, 14, 16),
)  # fmt: skip

MPI17 = Skeleton(
    name="mpi17",
    joints=(
        "head", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "right_hip",
        "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "pelvis", "spine", "nose",
    ),
    edges=(
        (14, 15), (15, 1), (1, 16), (16, 0), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (14, 8), (8, 9), (9, 10), (14, 11),
        (11, 12), (12, 13),
    ),
    left=(5, 6, 7, 11, 12, 13),
    right=(2, 3, 4, 8, 9, 10),
    parents=(16, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, -1, 14, 1),
)  # fmt: skip
"""MPI-INF-3DHP's test joints; its "head" (the last one) is the middle of the face, as H36M-17's "nose" is."""

SKELETONS = {s.name: s for s in (H36M17, BLAZEPOSE33, COCO17, MPI17)}

# BlazePose-33 -> H36M-17 as a sparse convex-ish combination: {h36m joint: {blazepose joint: weight}}, each row sums to 1.
# Pelvis and thorax are midpoints; the spine lies halfway between them; the head top is the mid-ear point moved on,
# away from the mid-shoulder point, by 45 % of their distance (extrapolation, hence the negative weights).
_HEAD_EXTRAPOLATION = 0.45
_BLAZEPOSE_TO_H36M: dict[int, dict[int, float]] = {
    0: {23: 0.5, 24: 0.5},
    1: {24: 1.0}, 2: {26: 1.0}, 3: {28: 1.0}, 4: {23: 1.0}, 5: {25: 1.0}, 6: {27: 1.0},
    7: {11: 0.25, 12: 0.25, 23: 0.25, 24: 0.25},
    8: {11: 0.5, 12: 0.5},
    9: {0: 1.0},
    10: {
        7: 0.5 * (1 + _HEAD_EXTRAPOLATION), 8: 0.5 * (1 + _HEAD_EXTRAPOLATION),
        11: -0.5 * _HEAD_EXTRAPOLATION, 12: -0.5 * _HEAD_EXTRAPOLATION,
    },
    11: {11: 1.0}, 12: {13: 1.0}, 13: {15: 1.0}, 14: {12: 1.0}, 15: {14: 1.0}, 16: {16: 1.0},
}  # fmt: skip

# COCO-17 -> H36M-17 by the same rules; MPI-INF-3DHP's joints are H36M-17's in another order.
_COCO_TO_H36M: dict[int, dict[int, float]] = {
    0: {11: 0.5, 12: 0.5},
    1: {12: 1.0}, 2: {14: 1.0}, 3: {16: 1.0}, 4: {11: 1.0}, 5: {13: 1.0}, 6: {15: 1.0},
    7: {5: 0.25, 6: 0.25, 11: 0.25, 12: 0.25},
    8: {5: 0.5, 6: 0.5},
    9: {0: 1.0},
    10: {
        3: 0.5 * (1 + _HEAD_EXTRAPOLATION), 4: 0.5 * (1 + _HEAD_EXTRAPOLATION),
        5: -0.5 * _HEAD_EXTRAPOLATION, 6: -0.5 * _HEAD_EXTRAPOLATION,
    },
    11: {5: 1.0}, 12: {7: 1.0}, 13: {9: 1.0}, 14: {6: 1.0}, 15: {8: 1.0}, 16: {10: 1.0},
}  # fmt: skip
_MPI_TO_H36M = {j: {k: 1.0} for j, k in enumerate((14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4))}


def _matrix(rows: dict[int, dict[int, float]], n_out: int, n_in: int) -> np.ndarray:
    matrix = np.zeros((n_out, n_in), np.float32)
    for j, row in rows.items():
        for k, weight in row.items():
            matrix[j, k] = weight
    matrix.setflags(write=False)
    return matrix


BLAZEPOSE_TO_H36M = _matrix(_BLAZEPOSE_TO_H36M, 17, 33)
"""(17, 33) float32; ``h36m = BLAZEPOSE_TO_H36M @ blazepose`` for 2D pixels, at run time and in training alike."""


TO_H36M17 = {
    H36M17.name: _matrix({j: {j: 1.0} for j in range(17)}, 17, 17),
    BLAZEPOSE33.name: BLAZEPOSE_TO_H36M,
    COCO17.name: _matrix(_COCO_TO_H36M, 17, 17),
    MPI17.name: _matrix(_MPI_TO_H36M, 17, 17),
}
"""(17, J) float32 matrices by the name of the skeleton that they map from."""


def to_h36m(points: np.ndarray, score: np.ndarray | None, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray | None]:
    """Map points of a skeleton to H36M-17 points; a joint made of several takes the smallest of their scores.

    Args:
        points: (..., J, D) coordinates in any unit; a joint made of a NaN is NaN.
        score: (..., J) or None.

    Returns:
        points (..., 17, D) and score (..., 17), or None where no score was given.

    Raises:
        ValueError: a skeleton that has no map, or other joints than it has.
    """
    if skeleton.name not in TO_H36M17:
        raise ValueError(f"skeleton: got {skeleton.name}, wanted one of {', '.join(TO_H36M17)}")
    matrix = TO_H36M17[skeleton.name]
    if points.shape[-2] != matrix.shape[1]:
        raise ValueError(f"points: got {points.shape[-2]} joints, wanted the {matrix.shape[1]} of {skeleton.name}")
    used = matrix != 0
    unseen = ~np.isfinite(points)
    mapped = np.einsum("jk,...kd->...jd", matrix, np.where(unseen, 0, points)).astype(points.dtype, copy=False)
    if unseen.any():  # a NaN times a weight of zero would spread to joints that do not use the point
        mapped[np.einsum("jk,...kd->...jd", used, unseen)] = np.nan
    if score is None:
        return mapped, None
    return mapped, np.where(used, score[..., None, :], np.inf).min(-1).astype(score.dtype, copy=False)


def blazepose_to_h36m(points: np.ndarray, score: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """`to_h36m` of BlazePose-33."""
    return to_h36m(points, score, BLAZEPOSE33)


def mirror_points(points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The person seen in a mirror: x changes sign and left and right change places; (..., J, D), x zero at the middle."""
    mirrored = points[..., skeleton.mirror, :]
    mirrored[..., 0] *= -1
    return mirrored
