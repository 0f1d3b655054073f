"""Samplers of a Gaussian diffusion as pure steps: ancestral (DDPM), DDIM and its inverse, pseudo linear multistep (PNDM)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .gaussian import Array, Moments, Step, Tables, at, clean_from_noise, noise_from_clean, q_sample

Predict = Callable[[Array, int], Moments]
"""``predict(x_t, t) -> Moments``: `gaussian.p_moments` with a network and its options bound."""


def _not_first(t: Step, like: Array) -> Any:
    """1 where the step is not 0: the last step adds no noise."""
    return at(np.append(0.0, np.ones(int(np.max(np.asarray(t))))), t, like)


def _exp(x: Array) -> Array:
    return np.exp(x) if isinstance(x, np.ndarray) else x.exp()


def ancestral_step(moments: Moments, t: Step, noise: Array) -> Array:
    """``mean + 1[t > 0] exp(log variance / 2) n``."""
    return moments.mean + _not_first(t, noise) * _exp(0.5 * moments.log_variance) * noise


def ddim_step(tables: Tables, clean: Array, x: Array, t: Step, noise: Array | None = None, eta: float = 0.0) -> Array:
    """Song et al. 2021, equation 12; `eta` 0 is deterministic, 1 as noisy as the ancestral step; `noise` is needed for eta > 0 only."""
    implied = noise_from_clean(tables, x, t, clean)
    bar, previous = tables.alphas_cumprod, tables.alphas_cumprod_prev
    sigma = eta * np.sqrt((1 - previous) / (1 - bar)) * np.sqrt(1 - bar / previous)
    mean = clean * at(np.sqrt(previous), t, x) + at(np.sqrt(1 - previous - sigma**2), t, x) * implied
    return mean if noise is None or eta == 0 else mean + _not_first(t, x) * at(sigma, t, x) * noise


def ddim_reverse_step(tables: Tables, clean: Array, x: Array, t: Step) -> Array:
    """One deterministic step towards noise, from t to t + 1."""
    after = tables.alphas_cumprod_next
    return clean * at(np.sqrt(after), t, x) + at(np.sqrt(1 - after), t, x) * noise_from_clean(tables, x, t, clean)


_ADAMS_BASHFORTH = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def plms_step(tables: Tables, predict: Predict, x: Array, t: int, history: list[Array], order: int = 2) -> tuple[Array, list[Array]]:
    """Liu et al. 2022 (PNDM): the noise is extrapolated from those of earlier steps; the first step is an improved Euler step.

    Args:
        history: noises of the steps before, oldest first; empty at the start.
        order: 1 to 4.

    Returns:
        x_(t-1) and the history for the next step.

    Raises:
        ValueError: an order that there is no formula for.
    """
    if not 1 <= order <= 4:
        raise ValueError(f"order: got {order}, wanted 1 to 4")
    clean = predict(x, t).clean
    implied = noise_from_clean(tables, x, t, clean)
    if t == 0:
        return clean, history
    past = [*history, implied]
    if order > 1 and not history:
        onward = clean * at(np.sqrt(tables.alphas_cumprod_prev), t, x) + at(np.sqrt(1 - tables.alphas_cumprod_prev), t, x) * implied
        second = noise_from_clean(tables, onward, t - 1, predict(onward, t - 1).clean)
        combined = (implied + second) / 2
    else:
        weights = _ADAMS_BASHFORTH[min(order, len(past)) - 1]
        combined = sum(w * past[-1 - k] for k, w in enumerate(weights))
    improved = clean_from_noise(tables, x, t, combined)
    moved = improved * at(np.sqrt(tables.alphas_cumprod_prev), t, x) + at(np.sqrt(1 - tables.alphas_cumprod_prev), t, x) * combined
    return moved, past[-(order - 1) :] if order > 1 else []


def ancestral_loop(
    tables: Tables, predict: Predict, x: Array, noises: Sequence[Array], *, skip: int = 0, start: Array | None = None
) -> Array:
    """Steps T - 1 - skip, ..., 0.

    Args:
        x: noise to begin with.
        noises: one a step.
        skip: leave out so many of the first steps, and begin from `start` (default zeros) with `x` as its noise.

    Raises:
        ValueError: the wrong number of noises.
    """
    steps = list(range(len(tables) - skip))[::-1]
    if len(noises) != len(steps):
        raise ValueError(f"noises: got {len(noises)}, wanted {len(steps)}")
    if skip:
        x = q_sample(tables, x * 0 if start is None else start, steps[0], x)
    for t, noise in zip(steps, noises, strict=True):
        x = ancestral_step(predict(x, t), t, noise)
    return x


def ddim_loop(tables: Tables, predict: Predict, x: Array, noises: Sequence[Array] | None = None, eta: float = 0.0) -> Array:
    """DDIM steps T - 1, ..., 0 from noise `x`; `noises`, one a step, are needed for eta > 0 only."""
    for i, t in enumerate(reversed(range(len(tables)))):
        x = ddim_step(tables, predict(x, t).clean, x, t, None if noises is None else noises[i], eta)
    return x


def plms_loop(tables: Tables, predict: Predict, x: Array, order: int = 2) -> Array:
    """Pseudo linear multistep T - 1, ..., 0 from noise `x`."""
    history: list[Array] = []
    for t in reversed(range(len(tables))):
        x, history = plms_step(tables, predict, x, t, history, order)
    return x
