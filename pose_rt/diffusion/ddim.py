"""DDIM sampling of a network that predicts the clean sample, as D3DP uses it (Song et al. 2021; eta = 1).

Arrays may be NumPy or torch: only operators and `clip` are used, and scalars are Python floats, so float32 stays float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .schedule import Schedule

Array = Any
"""A NumPy array or a torch tensor."""

Predict = Callable[[Array, int], Array]
"""``predict(noisy, step) -> clean``, both in units of `scale`."""

CLAMP = 1.1


class StepCoefficients(NamedTuple):
    """abar_t, abar_t' and, with eta = 1,

    ``sigma^2 = (1 - abar_t/abar_t') (1 - abar_t') / (1 - abar_t)``, ``c = sqrt(1 - abar_t' - sigma^2)``.
    """

    alpha: float
    alpha_next: float
    sigma: float
    c: float


def ddim_times(timesteps: int, steps: int, start: int | None = None) -> list[int]:
    """The `steps` + 1 diffusion steps from `start` (default T - 1) down to -1, evenly spaced and truncated toward zero.

    The spacing is done in float32, from either end to the middle, because published numbers depend on how it truncates.

    Raises:
        ValueError: a start outside the schedule, no step, or more steps than there are from the start.
    """
    start = timesteps - 1 if start is None else start
    if not 0 <= start < timesteps:
        raise ValueError(f"start: got {start}, wanted 0 to {timesteps - 1}")
    if not 1 <= steps <= start + 1:
        raise ValueError(f"steps: got {steps}, wanted 1 to {start + 1}")
    low, high = np.float32(-1), np.float32(start)
    delta = (high - low) / np.float32(steps)
    i = np.arange(steps + 1, dtype=np.float32)
    grid = np.where(i < (steps + 1) // 2, low + delta * i, high - delta * (np.float32(steps) - i)).astype(np.float32)
    return [int(t) for t in reversed(grid)]


def ddim_coefficients(schedule: Schedule, step: int, next_step: int) -> StepCoefficients:
    """The four scalars of the move from `step` to `next_step` (>= 0), in float64."""
    alpha, alpha_next = float(schedule.alphas_cumprod[step]), float(schedule.alphas_cumprod[next_step])
    sigma = math.sqrt((1 - alpha / alpha_next) * (1 - alpha_next) / (1 - alpha))
    return StepCoefficients(alpha, alpha_next, sigma, math.sqrt(1 - alpha_next - sigma**2))


def network_input(noisy: Array, scale: float = 1.0) -> Array:
    """``clamp(y, +-1.1 scale) / scale``."""
    return noisy.clip(-CLAMP * scale, CLAMP * scale) / scale


def clean_sample(prediction: Array, scale: float = 1.0) -> Array:
    """``clamp(p scale, +-1.1 scale)``: what an iteration returns."""
    return (prediction * scale).clip(-CLAMP * scale, CLAMP * scale)


def ddim_step(noisy: Array, clean: Array, noise: Array, schedule: Schedule, step: int, next_step: int) -> Array:
    """``sqrt(abar_t') x0 + c e + sigma n`` with the implied noise ``e = (sqrt(1/abar_t) y - x0) / sqrt(1/abar_t - 1)``.

    `e` uses the unclamped `noisy` and float64: near T the two terms are of the order 2e4 and cancel.
    """
    k = ddim_coefficients(schedule, step, next_step)
    implied = (_double(noisy) * math.sqrt(1 / k.alpha) - _double(clean)) / math.sqrt(1 / k.alpha - 1)
    return clean * math.sqrt(k.alpha_next) + _single(implied) * k.c + noise * k.sigma


def renoise(clean: Array, noise: Array, schedule: Schedule, step: int) -> Array:
    """``sqrt(abar_t) x0 + sqrt(1 - abar_t) n``: an estimate taken back to diffusion step `step`, to be denoised again from there."""
    alpha = float(schedule.alphas_cumprod[step])
    return clean * math.sqrt(alpha) + noise * math.sqrt(1 - alpha)


def ddim_sample(
    predict: Predict,
    noise_init: Array,
    noise_steps: Sequence[Array],
    schedule: Schedule,
    steps: int,
    scale: float = 1.0,
    flip: Callable[[Predict], Predict] | None = None,
    start: int | None = None,
) -> list[Array]:
    """Run `steps` denoising iterations.

    Args:
        predict: the network with its condition bound.
        noise_init: (N, ...) float32 standard normal draws, or what `renoise` made; leading axes are free (people, hypotheses).
        noise_steps: steps - 1 arrays like `noise_init`.
        schedule: the noise schedule the network was trained with.
        steps: K, the number of network evaluations.
        scale: signal scale of the schedule.
        flip: wraps `predict`, for instance ``lambda p: flip_average(p, p_mirrored, mirror)``.
        start: diffusion step of `noise_init`; default T - 1, pure noise.

    Returns:
        K arrays like `noise_init`: the clean prediction after each iteration; the last is the result.

    Raises:
        ValueError: the wrong number of noise arrays.
    """
    if len(noise_steps) != steps - 1:
        raise ValueError(f"noise_steps: got {len(noise_steps)} arrays, wanted {steps - 1} for {steps} steps")
    if flip is not None:
        predict = flip(predict)
    times = ddim_times(schedule.timesteps, steps, start)
    y, cleans = noise_init, []
    for k, (step, next_step) in enumerate(pairwise(times)):
        clean = clean_sample(predict(network_input(y, scale), step), scale)
        cleans.append(clean)
        if next_step >= 0:
            y = ddim_step(y, clean, noise_steps[k], schedule, step, next_step)
    return cleans


def flip_average(predict: Predict, predict_mirrored: Predict, mirror: Callable[[Array], Array]) -> Predict:
    """Test-time augmentation: the mean of the prediction and the mirrored prediction from mirrored inputs.

    Args:
        predict: the network with its 2D condition.
        predict_mirrored: the same network with the mirrored 2D condition.
        mirror: mirrors a 3D array (negate x, exchange left and right).
    """

    def averaged(noisy: Array, step: int) -> Array:
        return (predict(noisy, step) + mirror(predict_mirrored(mirror(noisy), step))) / 2

    return averaged


def _double(x: Array) -> Array:
    return x.astype(np.float64) if isinstance(x, np.ndarray) else x.double()


def _single(x: Array) -> Array:
    return x.astype(np.float32) if isinstance(x, np.ndarray) else x.float()
