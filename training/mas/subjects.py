"""What is compared in the evaluation: clips of a data set, samples of the 2D model, projections of 3D motions."""

from __future__ import annotations

import numpy as np

ANGLE_MODES = ("uniform", "side", "hybrid")

LIFTER_TO_NBA = (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16)
"""Rows of MotionBert's and ElePose's 17 joints (H36M-17) that are NBA's 16: all but the spine."""


def horizontal_angles(mode: str, rng: np.random.Generator, count: int) -> np.ndarray:
    """(B,) radians: anywhere (uniform), from the side, or from the side give or take 45 degrees (hybrid).

    Raises:
        ValueError: another mode.
    """
    if mode == "side":
        return np.full(count, np.pi / 2)
    if mode not in ANGLE_MODES:
        raise ValueError(f"angle mode: got {mode!r}, wanted one of {', '.join(ANGLE_MODES)}")
    low, high = (-np.pi, np.pi) if mode == "uniform" else (np.pi / 4, 3 * np.pi / 4)
    return rng.uniform(low, high, count)
