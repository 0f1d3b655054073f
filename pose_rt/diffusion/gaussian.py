"""Gaussian diffusion in discrete steps: noise schedules, their tables, respacing, and the two predictions of a network.

Ho et al. 2020 (DDPM), Nichol and Dhariwal 2021 (cosine schedule, respacing); ``cosine_tau_n`` is MAS's (Kapon et al. 2024).
Arrays may be NumPy or torch; tables are NumPy float64, and what is looked up in them is cast to the type of the array.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

Array = Any
"""A NumPy array or a torch tensor."""

Step = Any
"""One diffusion step for the whole batch (int), or one a sample: (B,) NumPy or torch integers."""

MeanType = Literal["x_start", "epsilon"]
Variance = Literal["small", "large"]


def make_betas(name: str, steps: int) -> np.ndarray:
    """(T,) float64 betas by the schedule's name.

    linear: ``linspace(s 1e-4, s 0.02)``, s = 1000 / T. cosine_tau_n: ``abar(u) = cos((u + 0.008) / 1.008 pi / 2)^(2n)``, n a number,
    ``beta_i = min(1 - abar((i + 1) / T) / abar(i / T), 0.999)``; cosine is n = 1.

    Raises:
        ValueError: an unknown name, no step, or a linear schedule of fewer than 20 steps (its betas would exceed 1).
    """
    if steps < 1:
        raise ValueError(f"steps: got {steps}, wanted at least 1")
    if name == "linear":
        if steps < 20:
            raise ValueError(f"steps: got {steps}, wanted at least 20 for a linear schedule")
        scale = 1000 / steps
        return np.linspace(scale * 1e-4, scale * 0.02, steps)
    if name == "cosine":
        tau = 1.0
    elif name.startswith("cosine_tau_"):
        try:
            tau = float(name.removeprefix("cosine_tau_"))
        except ValueError:
            tau = math.nan
    else:
        tau = math.nan
    if not tau > 0:
        raise ValueError(f"schedule: got {name!r}, wanted linear, cosine or cosine_tau_N with a number N > 0")
    grid = np.arange(steps + 1) / steps
    bar = np.cos((grid + 0.008) / 1.008 * np.pi / 2) ** (2 * tau)
    return np.minimum(1 - bar[1:] / bar[:-1], 0.999)


def space_steps(steps: int, spacing: str) -> list[int]:
    """Which of T steps to keep: "ddimN" every (T // k)-th so that N remain; "a,b,..." a of the first part, b of the second and so on.

    Raises:
        ValueError: no such spacing of that many steps.
    """
    if spacing.startswith("ddim"):
        wanted = int(spacing.removeprefix("ddim"))
        for stride in range(1, steps):
            if len(range(0, steps, stride)) == wanted:
                return list(range(0, steps, stride))
        raise ValueError(f"spacing: {spacing}: no whole stride keeps {wanted} of {steps} steps")
    counts = [int(part) for part in spacing.split(",")]
    kept: list[int] = []
    start = 0
    for i, count in enumerate(counts):
        size = steps // len(counts) + (i < steps % len(counts))
        if not 1 <= count <= size:
            raise ValueError(f"spacing: {spacing}: got {count} of a part of {size} steps")
        gap = (size - 1) / (count - 1) if count > 1 else 1.0
        place = 0.0
        for _ in range(count):  # a running sum, as published: products of the stride round differently at halves
            kept.append(start + round(place))
            place += gap
        start += size
    return sorted(set(kept))


@dataclass(frozen=True)
class Tables:
    """The tables of a spaced schedule, all (T,) float64; `steps` are the network's steps they stand for."""

    steps: np.ndarray
    betas: np.ndarray
    alphas_cumprod: np.ndarray
    alphas_cumprod_prev: np.ndarray
    alphas_cumprod_next: np.ndarray
    sqrt_alphas_cumprod: np.ndarray
    sqrt_one_minus_alphas_cumprod: np.ndarray
    log_one_minus_alphas_cumprod: np.ndarray
    sqrt_recip_alphas_cumprod: np.ndarray
    sqrt_recipm1_alphas_cumprod: np.ndarray
    posterior_variance: np.ndarray
    posterior_log_variance_clipped: np.ndarray
    posterior_mean_coef1: np.ndarray
    posterior_mean_coef2: np.ndarray

    def __len__(self) -> int:
        return len(self.betas)


def make_tables(name: str, steps: int, spacing: str | None = None) -> Tables:
    """Tables of schedule `name` over T `steps`, of which those of `spacing` are kept (default all).

    Kept steps get ``beta_k = 1 - abar_k / abar_(k-1)``, also where all are kept: the published tables do, to the last digit.
    """
    kept = np.arange(steps) if spacing is None else np.array(space_steps(steps, spacing))
    bar = np.cumprod(1.0 - make_betas(name, steps))[kept]
    betas = 1 - bar / np.concatenate([[1.0], bar[:-1]])
    alphas = 1.0 - betas
    bar = np.cumprod(alphas)
    previous, after = np.append(1.0, bar[:-1]), np.append(bar[1:], 0.0)
    variance = betas * (1.0 - previous) / (1.0 - bar)
    return Tables(
        steps=kept,
        betas=betas,
        alphas_cumprod=bar,
        alphas_cumprod_prev=previous,
        alphas_cumprod_next=after,
        sqrt_alphas_cumprod=np.sqrt(bar),
        sqrt_one_minus_alphas_cumprod=np.sqrt(1.0 - bar),
        log_one_minus_alphas_cumprod=np.log(1.0 - bar),
        sqrt_recip_alphas_cumprod=np.sqrt(1.0 / bar),
        sqrt_recipm1_alphas_cumprod=np.sqrt(1.0 / bar - 1.0),
        posterior_variance=variance,
        # The first variance is 0: its logarithm is the second's.
        posterior_log_variance_clipped=np.log(np.append(variance[min(1, len(variance) - 1)], variance[1:]))
        if len(kept) > 1
        else np.zeros(1),
        posterior_mean_coef1=betas * np.sqrt(previous) / (1.0 - bar),
        posterior_mean_coef2=(1.0 - previous) * np.sqrt(alphas) / (1.0 - bar),
    )


def at(table: np.ndarray, t: Step, like: Array) -> Array:
    """What a table holds at step(s) `t`, ready to multiply `like` (B, ...): a float, or (B, 1, ...) of its type."""
    values = table[np.asarray(t)]
    if np.ndim(values) == 0:
        return float(values)
    values = values.reshape(-1, *(1,) * (like.ndim - 1))
    return values.astype(like.dtype) if isinstance(like, np.ndarray) else like.new_tensor(values)


def q_sample(tables: Tables, clean: Array, t: Step, noise: Array) -> Array:
    """``sqrt(abar_t) x0 + sqrt(1 - abar_t) n``."""
    return at(tables.sqrt_alphas_cumprod, t, clean) * clean + at(tables.sqrt_one_minus_alphas_cumprod, t, clean) * noise


def clean_from_noise(tables: Tables, x: Array, t: Step, noise: Array) -> Array:
    """``x0 = sqrt(1 / abar_t) x_t - sqrt(1 / abar_t - 1) n``."""
    return at(tables.sqrt_recip_alphas_cumprod, t, x) * x - at(tables.sqrt_recipm1_alphas_cumprod, t, x) * noise


def noise_from_clean(tables: Tables, x: Array, t: Step, clean: Array) -> Array:
    """``n = (sqrt(1 / abar_t) x_t - x0) / sqrt(1 / abar_t - 1)``."""
    return (at(tables.sqrt_recip_alphas_cumprod, t, x) * x - clean) / at(tables.sqrt_recipm1_alphas_cumprod, t, x)


def posterior_mean(tables: Tables, clean: Array, x: Array, t: Step) -> Array:
    """Mean of ``q(x_(t-1) | x_t, x0)``."""
    return at(tables.posterior_mean_coef1, t, x) * clean + at(tables.posterior_mean_coef2, t, x) * x


class Moments(NamedTuple):
    """Mean, variance and log variance of ``p(x_(t-1) | x_t)``, and the prediction of the clean sample behind them."""

    mean: Array
    variance: Array
    log_variance: Array
    clean: Array


class Known(NamedTuple):
    """Parts of the clean sample that are given: `mask` (bool) where, `values` what."""

    mask: Array
    values: Array


def p_moments(
    tables: Tables,
    output: Array,
    x: Array,
    t: Step,
    *,
    mean_type: MeanType = "x_start",
    variance: Variance = "small",
    clip: bool = True,
    known: Known | None = None,
) -> Moments:
    """The reverse step's distribution from the network's `output` at x_t.

    Args:
        mean_type: what the output is.
        variance: "small" is the posterior's, "large" is beta_t (at step 0 the posterior's of step 1).
        clip: the clean prediction is clipped to [-1, 1].
        known: overrides parts of the output (x_start only).

    Raises:
        ValueError: `known` with a network that predicts the noise.
    """
    if known is not None:
        if mean_type != "x_start":
            raise ValueError("known: needs a network that predicts x_start")
        mask = known.mask.astype(output.dtype) if isinstance(output, np.ndarray) else known.mask.to(output.dtype)
        output = output * (1 - mask) + known.values * mask
    clean = output if mean_type == "x_start" else clean_from_noise(tables, x, t, output)
    if clip:
        clean = clean.clip(-1, 1)
    if variance == "small":
        table, log_table = tables.posterior_variance, tables.posterior_log_variance_clipped
    else:
        table = np.append(tables.posterior_variance[1], tables.betas[1:])
        log_table = np.log(table)
    zero = x * 0
    return Moments(posterior_mean(tables, clean, x, t), at(table, t, x) + zero, at(log_table, t, x) + zero, clean)
