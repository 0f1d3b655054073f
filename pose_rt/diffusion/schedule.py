"""The cosine noise schedule, in NumPy float64 (Nichol and Dhariwal, "Improved denoising diffusion probabilistic models", 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Schedule:
    """`betas` and `alphas_cumprod`, (T,) float64, read-only."""

    betas: np.ndarray
    alphas_cumprod: np.ndarray

    @property
    def timesteps(self) -> int:
        return len(self.betas)

    def tables(self) -> dict[str, np.ndarray]:
        """The twelve tables a published checkpoint carries; the posterior ones are there for completeness."""
        betas, bar = self.betas, self.alphas_cumprod
        previous = np.concatenate([[1.0], bar[:-1]])
        variance = betas * (1.0 - previous) / (1.0 - bar)
        return {
            "betas": betas.copy(),
            "alphas_cumprod": bar.copy(),
            "alphas_cumprod_prev": previous,
            "sqrt_alphas_cumprod": np.sqrt(bar),
            "sqrt_one_minus_alphas_cumprod": np.sqrt(1.0 - bar),
            "log_one_minus_alphas_cumprod": np.log(1.0 - bar),
            "sqrt_recip_alphas_cumprod": np.sqrt(1.0 / bar),
            "sqrt_recipm1_alphas_cumprod": np.sqrt(1.0 / bar - 1.0),
            "posterior_variance": variance,
            "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
            "posterior_mean_coef1": betas * np.sqrt(previous) / (1.0 - bar),
            "posterior_mean_coef2": (1.0 - previous) * np.sqrt(1.0 - betas) / (1.0 - bar),
        }


@lru_cache(maxsize=8)
def cosine_schedule(timesteps: int = 1000, offset: float = 0.008) -> Schedule:
    """``g(i) = cos^2(((i/T) + s) / (1 + s) * pi/2)``, ``beta_i = clip(1 - g(i+1)/g(i), 0, 0.999)``.

    The clip keeps the last cumulative product above zero (2.4e-9 at T = 1000).

    Raises:
        ValueError: fewer than one step.
    """
    if timesteps < 1:
        raise ValueError(f"timesteps: got {timesteps}, wanted at least 1")
    grid = np.linspace(0.0, timesteps, timesteps + 1) / timesteps
    g = np.cos((grid + offset) / (1.0 + offset) * np.pi * 0.5) ** 2
    g = g / g[0]
    betas = np.clip(1.0 - g[1:] / g[:-1], 0.0, 0.999)
    alphas_cumprod = np.cumprod(1.0 - betas)
    betas.setflags(write=False)
    alphas_cumprod.setflags(write=False)
    return Schedule(betas, alphas_cumprod)
