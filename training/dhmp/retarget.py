"""Motions of one body on the bones of another: unit bone directions, times lengths, joined from the root outwards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def bone_vectors(joints: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """(..., J, 3) -> (..., J - 1, 3), each joint minus its parent; the root is joint 0."""
    return joints[..., 1:, :] - joints[..., list(parents[1:]), :]


def bone_lengths(joints: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """(..., J, 3) -> (..., J - 1)."""
    return np.linalg.norm(bone_vectors(joints, parents), axis=-1)


def unit_bones(joints: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Directions of the bones, (..., J, 3) -> (..., J - 1, 3); a bone without length points nowhere (zeros)."""
    vectors = bone_vectors(joints, parents)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(length, 1e-12)


def join(bones: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Bone vectors (..., J - 1, 3) -> joints (..., J, 3) with the root at zero; parents come before their children."""
    joints = np.zeros((*bones.shape[:-2], bones.shape[-2] + 1, 3), bones.dtype)
    for joint, parent in enumerate(parents[1:], 1):
        joints[..., joint, :] = joints[..., parent, :] + bones[..., joint - 1, :]
    return joints


def retarget(joints: np.ndarray, lengths: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Root-relative joints (..., J, 3) with their bones' directions kept and their lengths replaced by `lengths` (J - 1,)."""
    return join(unit_bones(joints, parents) * lengths[:, None], parents)
