"""Losses over predictions with or without a sample axis, and the accuracy printed in training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_DEPTH_SCALE = 64.0


def _absolute_error(pred_jts: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, int]:
    """sum |p - y| m over everything, and the number of samples."""
    if pred_jts.ndim not in (3, 4):
        raise ValueError(f"pred_jts: got {tuple(pred_jts.shape)}, wanted (B, K, dims) or (B, K, S, dims)")
    batch, joints, dims = pred_jts.shape[0], pred_jts.shape[1], pred_jts.shape[-1]
    for name, value in (("target", target), ("weight", weight)):
        if tuple(value.shape) != (batch, joints * dims):
            raise ValueError(f"{name}: got {tuple(value.shape)}, wanted ({batch}, {joints * dims})")
    samples = pred_jts.shape[2] if pred_jts.ndim == 4 else 1
    shape = (batch, joints, dims) if pred_jts.ndim == 3 else (batch, joints, 1, dims)
    return ((pred_jts - target.reshape(shape)).abs() * weight.reshape(shape)).sum(), samples


def l1_joint_regression(pred_jts: Tensor, target: Tensor, weight: Tensor, *, average: bool = True) -> Tensor:
    """L1JointRegression (2D pose, face): sum |p - y| m / B / S.

    Args:
        pred_jts: (B, K, dims) or (B, K, S, dims).
        target, weight: (B, K dims), the weights 0 or 1 a coordinate.
        average: divide by B; the division by S stays.
    """
    total, samples = _absolute_error(pred_jts, target, weight)
    return total / samples / (len(pred_jts) if average else 1)


def l1_loss_dim(pred_jts: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """L1LossDim (3D pose): sum |64 p - 64 y| m / sum m / S; zero when all weights are zero. Arguments of `l1_joint_regression`."""
    total, samples = _absolute_error(pred_jts * _DEPTH_SCALE, target * _DEPTH_SCALE, weight)
    count = weight.sum()
    return total / torch.where(count > 0, count, torch.ones_like(count)) / samples


def heatmap_mse(heatmaps: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """MSELoss: 0.5 mean((h w - t w)^2) for heatmaps and targets of one shape and weights that broadcast to it."""
    if heatmaps.shape != target.shape:
        raise ValueError(f"target: got {tuple(target.shape)}, wanted {tuple(heatmaps.shape)}")
    return 0.5 * torch.nn.functional.mse_loss(heatmaps * weight, target * weight)


@torch.no_grad()
def joint_accuracy(pred_jts: Tensor, target: Tensor, weight: Tensor, grid: Sequence[int]) -> float:
    """The training accuracy: the share of joints whose mean prediction lies within 0.5 of a tenth of the heatmap's size.

    Distances are taken in tenths of each axis, over the coordinates that have a weight; a target with x or y (weighted) at or below
    one cell is skipped. The share is taken a joint, then averaged over the joints that have a target; 0 when none has.

    Args:
        pred_jts, target, weight: as in `l1_joint_regression`.
        grid: cells, (H, W) or (D, H, W).
    """
    mean = pred_jts.mean(2) if pred_jts.ndim == 4 else pred_jts
    lengths = torch.tensor(list(grid)[::-1], dtype=mean.dtype, device=mean.device)
    here = weight.reshape(mean.shape)
    points = (mean + 0.5) * lengths * here
    wanted = (target.reshape(mean.shape) + 0.5) * lengths * here
    seen = (wanted[..., :2] > 1).all(-1)
    hit = (((points - wanted) / (lengths / 10)).norm(dim=-1) < 0.5) & seen
    counts = seen.sum(0)
    if not counts.any():
        return 0.0
    return float((hit.sum(0)[counts > 0] / counts[counts > 0]).mean())
