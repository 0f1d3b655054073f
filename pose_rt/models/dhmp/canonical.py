"""Body axes: the frame of reference in which a forecast does not depend on the camera's heading, pitch and roll."""

from __future__ import annotations

import torch
from torch import Tensor

# H36M-17 without its root: joint j is node j - 1.
_RIGHT_HIP, _LEFT_HIP, _THORAX, _LEFT_SHOULDER, _RIGHT_SHOULDER = 0, 3, 7, 10, 13
_FRAMES = 5
_TINY = 1e-8


def _unit(v: Tensor) -> Tensor:
    return v / (v.square().sum(-1, keepdim=True) + _TINY).sqrt()


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product by components, which every exporter and runtime knows."""
    ax, ay, az = a.unbind(-1)
    bx, by, bz = b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=-1)


def body_axes(history: Tensor) -> Tensor:
    """Axes of the torso at the end of the history, from the mean pose of its last 5 frames (less noise than the last alone).

    x points from right to left (hips and shoulders together), y down the spine, z = x cross y completes them.

    Args:
        history: (B, T_his, 16, 3) H36M joints without the root, relative to it.

    Returns:
        (B, 3, 3), rows are the axes: ``canonical = points @ axes^T`` and ``points = canonical @ axes``.
    """
    pose = history[:, -_FRAMES:].mean(1)
    down = _unit(-pose[:, _THORAX])
    across = pose[:, _LEFT_HIP] - pose[:, _RIGHT_HIP] + pose[:, _LEFT_SHOULDER] - pose[:, _RIGHT_SHOULDER]
    left = _unit(across - (across * down).sum(-1, keepdim=True) * down)
    return torch.stack([left, down, _cross(left, down)], dim=1)
