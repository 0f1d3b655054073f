"""The training objective of the motion model, and one step of its optimiser."""

from __future__ import annotations

import torch
from torch import Tensor

from pose_rt.diffusion.gaussian import MeanType, Tables, q_sample
from pose_rt.models.mas import MDM


def masked_error(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """``sum(mask (p - q)^2) / max(sum(mask), 1)`` of each sample: (B, J, C, T) -> (B,)."""
    squared = ((prediction - target).square() * mask).flatten(1).sum(1)
    return squared / mask.flatten(1).sum(1).clamp(min=1)


def diffusion_loss(
    network: MDM,
    tables: Tables,
    clean: Tensor,
    lengths: Tensor,
    mask: Tensor,
    t: Tensor,
    noise: Tensor,
    *,
    mean_type: MeanType = "x_start",
    velocity: float = 0.0,
    condition: Tensor | None = None,
) -> Tensor:
    """Mean over the batch of the masked error of the prediction at ``x_t = sqrt(abar) x0 + sqrt(1 - abar) n``.

    Args:
        clean, mask: (B, J, C, T); `lengths`, `t` (B,); `noise` as `clean`.
        mean_type: the target is the clean motion, or the noise.
        velocity: weight of the same error between differences of neighbouring frames (x_start only; 0 as published).
    """
    x = q_sample(tables, clean, t.cpu().numpy(), noise)
    out = network(x, t, lengths, condition)
    loss = masked_error(out, clean if mean_type == "x_start" else noise, mask).mean()
    if velocity and mean_type == "x_start":
        both = mask[..., 1:] * mask[..., :-1]
        loss = loss + velocity * masked_error(out.diff(dim=-1), clean.diff(dim=-1), both).mean()
    return loss


def make_optimizer(network: torch.nn.Module, lr: float) -> torch.optim.AdamW:
    """AdamW with its defaults, as published (weight decay 0.01)."""
    return torch.optim.AdamW(network.parameters(), lr=lr)
