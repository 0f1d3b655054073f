"""The five tasks of GFPose as a condition, a mask on it, and a state to start from (its evaluation, section "tasks")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TASKS = ("est", "comp2d", "comp3d", "gen", "den")
"""3D from 2D; 3D from partly missing 2D; 3D from partly missing 3D; poses from nothing; clean from noisy 3D."""

RANDOM_JOINTS = (12, 13, 15, 16, 5, 6, 2, 3)
"""Elbows, wrists, knees and ankles: the joints that random masking takes from."""

JLISTS = ("1,2,3", "4,5,6", "11,12,13", "14,15,16", "0,7,8,9,10", "1,2,3,4,5,6")
"""The fixed lists that are evaluated: each limb, trunk and head, both legs."""


def start_and_mask(
    task: str, condition: Tensor, prior: Tensor, *, missing: Sequence[Sequence[int]] = (), noisy: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Start state, condition and mask of a task, each (B, 17, 3).

    Completion starts from the prior where the mask is 0 and from the clean condition where it is 1, as published.

    Args:
        task: one of TASKS.
        condition: (B, 17, 3) network units; 2D with z = 0 for est and comp2d, 3D for comp3d; its shape alone counts for gen and den.
        prior: (B, 17, 3) state at T from a standard normal draw.
        missing: for comp2d and comp3d, the missing joints of each sample.
        noisy: for den, the pose to clean.

    Raises:
        ValueError: an unknown task, or what the task needs was not given.
    """
    mask = torch.ones_like(condition)
    if task == "est":
        mask[..., 2] = 0.0
        return prior, condition, mask
    if task in ("comp2d", "comp3d"):
        if len(missing) != len(condition):
            raise ValueError(f"{task}: got missing joints for {len(missing)} samples, wanted {len(condition)}")
        for row, joints in enumerate(missing):
            mask[row, list(joints)] = 0.0
        if task == "comp2d":
            mask[..., 2] = 0.0
        return prior * (1.0 - mask) + condition * mask, condition, mask
    nothing = torch.zeros_like(condition)
    if task == "gen":
        return prior, nothing, nothing
    if task == "den":
        if noisy is None:
            raise ValueError("den: got no pose to denoise; give `noisy`")
        return noisy, nothing, nothing
    raise ValueError(f"task: got {task!r}, wanted one of {', '.join(TASKS)}")
