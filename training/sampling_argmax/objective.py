"""The loss of one batch, by the norm of the head."""

from __future__ import annotations

import torch
from torch import Tensor

from pose_rt.models.sampling_argmax import Decoded, HeadConfig, Heat, Sampled, heatmap_mse, l1_joint_regression, l1_loss_dim

SIGMA = 2.0
"""Of the Gaussian targets, cells."""


def gaussian_targets(target: Tensor, weight: Tensor, grid: tuple[int, ...], sigma: float = SIGMA) -> tuple[Tensor, Tensor]:
    """Heatmap targets: a bell of height 1 stamped at the nearest cell, cut at 3 sigma.

    Args:
        target: (B, 2 K) normalised x, y.
        weight: (B, 2 K).

    Returns:
        maps (B, K, H, W) and weights (B, K, 1, 1): zero for a joint without a weight or whose whole stamp lies outside.
    """
    height, width = grid
    pairs, keep = target.unflatten(1, (-1, 2)), weight.unflatten(1, (-1, 2))[..., 0] > 0
    size = torch.tensor([width, height], dtype=target.dtype, device=target.device)
    # The cell is int(position / stride + 1/2): truncated, so that positions just outside count as cell 0.
    middle = torch.trunc((pairs + 0.5) * size + 0.5)
    reach = 3 * sigma
    inside = ((middle - reach < size) & (middle + reach + 1 > 0)).all(-1)
    grids = [torch.arange(n, dtype=target.dtype, device=target.device) for n in (width, height)]
    dx, dy = (axis - middle[..., i, None] for i, axis in enumerate(grids))
    near = (dx.abs() <= reach)[..., None, :] & (dy.abs() <= reach)[..., None]
    bell = torch.exp(-(dx[..., None, :] ** 2 + dy[..., None] ** 2) / (2 * sigma**2))
    keep = keep & inside
    return torch.where(near & keep[..., None, None], bell, torch.zeros_like(bell)), keep[..., None, None].to(target.dtype)


def loss_of(predicted: Sampled | Decoded | Heat, target: Tensor, weight: Tensor, config: HeadConfig) -> Tensor:
    """`l1_joint_regression` in the plane, `l1_loss_dim` in the volume, `heatmap_mse` for the heatmap norm.

    Args:
        target, weight: (B, K dims), normalised positions and their weights.
    """
    if isinstance(predicted, Heat):
        height, width = config.grid
        maps, keep = gaussian_targets(target, weight, (height, width))
        return heatmap_mse(predicted.logits, maps, keep) * _HEAT_SCALE
    loss = l1_loss_dim if len(config.grid) == 3 else l1_joint_regression
    return loss(predicted.pred_jts, target, weight)


_HEAT_SCALE = 100.0
"""The mean over cells is small; with Adam the factor matters for its epsilon alone."""
