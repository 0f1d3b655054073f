"""Training of the score network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose_rt.models.gfpose import ScoreNetwork


def make_optimizer(network: ScoreNetwork, lr: float) -> torch.optim.Adam:
    """Adam as published."""
    return torch.optim.Adam(network.parameters(), lr=lr, betas=(0.9, 0.999), eps=1e-8)


def optimizer_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, *, step: int, lr: float, warmup: int, clip: float
) -> float:
    """Back-propagate and step; the rate rises over `warmup` steps from 0 (the first step moves nothing). Returns the gradient's norm."""
    optimizer.zero_grad()
    loss.backward()
    for group in optimizer.param_groups:
        group["lr"] = lr * min(step / warmup, 1.0) if warmup > 0 else lr
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), clip) if clip > 0 else torch.zeros(())
    optimizer.step()
    return float(norm)
