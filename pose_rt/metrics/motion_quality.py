"""Whether a motion could be a body's: bones that keep their lengths, feet that stand still while they carry (metres in)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CONTACT_M = 0.04
"""A foot this little above its lowest point is on the floor."""


def bone_variation(joints: np.ndarray, edges: Sequence[tuple[int, int]]) -> float:
    """Standard deviation of a bone's length over time by its mean, averaged over bones: joints (T, J, 3) -> fraction."""
    a, b = (np.array([edge[i] for edge in edges]) for i in (0, 1))
    length = np.linalg.norm(joints[:, a].astype(np.float64) - joints[:, b], axis=-1)
    return float((length.std(0) / np.maximum(length.mean(0), 1e-9)).mean())


def bone_asymmetry(joints: np.ndarray, pairs: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> float:
    """``|left - right| / mean`` of the mean lengths of paired bones, averaged: joints (T, J, 3) -> fraction."""

    def length(edge: tuple[int, int]) -> float:
        return float(np.linalg.norm(joints[:, edge[0]].astype(np.float64) - joints[:, edge[1]], axis=-1).mean())

    return float(np.mean([2 * abs(length(a) - length(b)) / max(length(a) + length(b), 1e-9) for a, b in pairs]))


def foot_sliding(joints: np.ndarray, feet: Sequence[int], fps: float, up: int = 1) -> float:
    """Mean horizontal speed, m/s, of feet while they are on the floor; 0 for feet that never are for two frames.

    A foot is on the floor in both of two neighbouring frames within `CONTACT_M` of the lowest point of either foot.

    Args:
        joints: (T, J, 3), metres.
        up: axis that points up.
    """
    height = joints[:, list(feet), up].astype(np.float64)
    low = height <= height.min() + CONTACT_M
    flat = np.delete(joints[:, list(feet)].astype(np.float64), up, axis=-1)
    speed = np.linalg.norm(np.diff(flat, axis=0), axis=-1) * fps
    standing = low[1:] & low[:-1]
    return float(speed[standing].mean()) if standing.any() else 0.0
