"""The training objective of D3DP: corrupt the clean 3D window, predict it back, mean joint distance."""

from __future__ import annotations

import torch
from torch import Tensor

from pose_rt.diffusion.ddim import CLAMP
from pose_rt.diffusion.schedule import Schedule


def corrupt(clean: Tensor, step: Tensor, noise: Tensor, schedule: Schedule, scale: float = 1.0) -> Tensor:
    """``x_t = sqrt(abar_t) scale x0 + sqrt(1 - abar_t) noise``, clamped to +-1.1 scale and divided by it.

    Args:
        clean: (B, F, J, 3) in network units, root zero.
        step: (B,) int64.
        noise: (B, F, J, 3) standard normal.

    Returns:
        (B, F, J, 3) float32; the sum is done in float64, as the tables are.
    """
    bar = torch.from_numpy(schedule.alphas_cumprod.copy()).to(clean.device)[step][:, None, None, None]
    noisy = bar.sqrt() * (scale * clean.double()) + (1.0 - bar).sqrt() * noise.double()
    return (noisy.clamp(-CLAMP * scale, CLAMP * scale) / scale).float()


def mean_joint_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean Euclidean distance over batch, frames and joints (the root counts)."""
    return torch.linalg.vector_norm(prediction - target, dim=-1).mean()


def uniform_steps(count: int, timesteps: int, generator: torch.Generator) -> Tensor:
    """The published choice: (count,) steps uniform over the schedule."""
    return torch.randint(0, timesteps, (count,), generator=generator)


def late_steps(count: int, timesteps: int, generator: torch.Generator) -> Tensor:
    """Half uniform over the schedule, half over its noisiest tenth: that is where sampling with few steps starts."""
    anywhere = torch.randint(0, timesteps, (count,), generator=generator)
    late = torch.randint(timesteps - timesteps // 10, timesteps, (count,), generator=generator)
    return torch.where(torch.rand(count, generator=generator) < 0.5, late, anywhere)
