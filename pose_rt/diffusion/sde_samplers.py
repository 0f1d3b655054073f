"""Samplers of the reversed diffusion: predictor-corrector (Song et al. 2021, algorithm 1) and a multistep solver of the exact flow.

The score is a function of (x, t); arrays may be NumPy or torch. Random draws come from the caller, in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from .sde import Array, Flow, Sde, VeSde, reverse, reverse_discretised, rows

Score = Callable[[Array, Array], Array]
"""``score(x (B, ...), t (B,)) -> (B, ...)``."""

Draw = Callable[[], Array]
"""The next standard normal draw, of the shape of the state."""

Predictor = Literal["euler_maruyama", "reverse_diffusion", "ancestral_sampling", "none"]
Corrector = Literal["langevin", "ald", "none"]


class Known(NamedTuple):
    """What is known of the sample: `value` (B, ...) where `mask` (B, ...) is 1. It is noised to each time and put in its place."""

    value: Array
    mask: Array


def time_grid(sde: Sde) -> np.ndarray:
    """(N,) float32 from T down to `eps`, evenly spaced."""
    return np.linspace(sde.horizon, sde.eps, sde.steps, dtype=np.float64).astype(np.float32)


def predictor_corrector(
    sde: Sde,
    score: Score,
    start: Array,
    draw: Draw,
    *,
    predictor: Predictor = "euler_maruyama",
    corrector: Corrector = "none",
    flow: Flow = "none",
    known: Known | None = None,
    snr: float = 0.16,
    corrector_steps: int = 1,
    trajectory: list[Array] | None = None,
) -> Array:
    """Run the N steps and return the mean of the last one, (B, ...).

    Each step is corrector, imputation, predictor, imputation; draws are taken in that order: one for each corrector step, one for an
    imputation (only if something is known), one for the predictor (also when the flow makes no use of it).

    Args:
        sde: whose reversal is run; its `steps` and `horizon` make the time grid. The Euler step is 1 / N whatever the horizon is, as
            GFPose has it.
        score: of x at t, with its condition bound.
        start: (B, ...) state at T.
        draw: standard normal draws.
        flow: whether and how the noise is left out.
        known: part of the sample that is given.
        snr, corrector_steps: of the Langevin correctors.
        trajectory: gets the state after every step, the last one without its noise.
    """
    x = mean = start
    for time in time_grid(sde):
        t = _full(start, float(time))
        for _ in range(corrector_steps if corrector != "none" else 0):
            x, mean = _correct(sde, score, x, t, draw(), corrector, snr)
        if known is not None:
            x, mean = _impute(sde, x, mean, t, draw(), known)
        x, mean = _predict(sde, score, x, t, draw() if predictor != "none" else None, predictor, flow)
        if known is not None:
            x, mean = _impute(sde, x, mean, t, draw(), known)
        if trajectory is not None:
            trajectory.append(x)
    if trajectory:
        trajectory[-1] = mean
    return mean


def _predict(sde: Sde, score: Score, x: Array, t: Array, noise: Array | None, predictor: Predictor, flow: Flow) -> tuple[Array, Array]:
    if noise is None:
        return x, x
    if predictor == "euler_maruyama":
        drift, diffusion = reverse(sde, x, t, score(x, t), flow)
        mean = x - drift / sde.steps
        return mean + rows(diffusion, x) * math.sqrt(1.0 / sde.steps) * noise, mean
    if predictor == "reverse_diffusion":
        f, g = reverse_discretised(sde, x, t, score(x, t), flow)
        return x - f + rows(g, x) * noise, x - f
    if predictor == "ancestral_sampling":
        mean, std = sde.ancestral(x, t, score(x, t))
        return mean + rows(std, x) * noise, mean
    raise ValueError(f"predictor: got {predictor!r}, wanted euler_maruyama, reverse_diffusion, ancestral_sampling or none")


def _correct(sde: Sde, score: Score, x: Array, t: Array, noise: Array, corrector: Corrector, snr: float) -> tuple[Array, Array]:
    """One Langevin step; its size follows the signal to noise ratio `snr` (Song et al. 2021, algorithms 4 and 5)."""
    gradient = score(x, t)
    if corrector == "langevin":
        ratio = snr * _mean_norm(noise) / _mean_norm(gradient)
    elif corrector == "ald":
        ratio = snr * sde.marginal(x, t)[1]
    else:
        raise ValueError(f"corrector: got {corrector!r}, wanted langevin, ald or none")
    step = rows(2.0 * sde.corrector_alpha(t) * ratio**2, x)
    mean = x + step * gradient
    return mean + (2.0 * step) ** 0.5 * noise, mean


def _impute(sde: Sde, x: Array, mean: Array, t: Array, noise: Array, known: Known) -> tuple[Array, Array]:
    at_t, std = sde.marginal(known.value, t)
    noisy = at_t + rows(std, x) * noise
    return x * (1.0 - known.mask) + noisy * known.mask, mean * (1.0 - known.mask) + at_t * known.mask


def _mean_norm(x: Array) -> Array:
    """Norm of each sample, averaged over the batch."""
    return ((x.reshape(len(x), -1) ** 2).sum(1) ** 0.5).mean()


def imputed(sde: Sde, score: Score, known: Known) -> Score:
    """`score` with what is known in the place of its own estimate: ``(a value - x) / s^2`` where the mask is 1.

    The flow then carries the known coordinates from their noise straight to their values. All samples must be at one time.
    """

    def replaced(x: Array, t: Array) -> Array:
        a, s = mean_and_std(sde, float(t[0]))
        return score(x, t) * (1.0 - known.mask) + (known.value * a - x) / (s * s) * known.mask

    return replaced


def flow_velocity(sde: Sde, score: Score) -> Callable[[float, Array], Array]:
    """``dx/dt`` of the exact probability-flow ODE, for any ODE solver: it has the marginals of the SDE."""

    def velocity(time: float, x: Array) -> Array:
        t = _full(x, float(time))
        return reverse(sde, x, t, score(x, t), "exact")[0]

    return velocity


def flow_solver(
    sde: Sde, score: Score, start: Array, steps: int, *, start_time: float | None = None, end_time: float | None = None
) -> Array:
    """Solve the exact flow in few steps: DPM-Solver++(2M) (Lu et al. 2022), the last step to the estimate of the clean sample.

    With mean a x0 and standard deviation s at t, the estimate is ``x0 = (x + s^2 score) / a``, and in ``lambda = log(a / s)`` the flow is
    ``x' = (s'/s) x - a' (e^-h - 1) D`` with D extrapolated from the last two estimates. It needs a and s only, so it serves every SDE here.

    Args:
        start: (B, ...) state at `start_time` (default T).
        steps: score evaluations.
        start_time, end_time: default T and the smallest time of the SDE.

    Raises:
        ValueError: no step.
    """
    if steps < 1:
        raise ValueError(f"steps: got {steps}, wanted at least 1")
    first = sde.horizon if start_time is None else start_time
    last = sde.eps if end_time is None else end_time
    times = solver_times(sde, first, last, steps)
    x, previous, h_previous = start, None, 0.0
    for index, time in enumerate(times):
        a, s = mean_and_std(sde, time)
        clean = (x + s * s * score(x, _full(x, time))) / a
        if index == steps - 1:
            return clean
        a_next, s_next = mean_and_std(sde, times[index + 1])
        h = math.log(a_next / s_next) - math.log(a / s)
        direction = clean if previous is None else clean + (clean - previous) * (0.5 * h / h_previous)
        x = (s_next / s) * x - a_next * math.expm1(-h) * direction
        previous, h_previous = clean, h
    raise AssertionError


@lru_cache(maxsize=64)
def solver_times(sde: Sde, first: float, last: float, steps: int) -> list[float]:
    """`steps` times from `first` down to `last`, even in the noise-to-signal scale ``log(s / a)``."""
    if steps == 1:
        return [first]
    grid = np.linspace(math.sqrt(first), math.sqrt(last), 4096) ** 2
    mean, std = sde.marginal(np.ones((len(grid), 1)), grid)
    scale = np.log(std / mean[:, 0])
    wanted = np.linspace(scale[0], scale[-1], steps)
    return [float(t) for t in np.interp(-wanted, -scale, grid)]


def mean_and_std(sde: Sde, time: float) -> tuple[float, float]:
    """a and s of ``x(t) = a x0 + s z``, float64."""
    t = np.full(1, time, np.float64)
    mean, std = sde.marginal(np.ones((1, 1)), t)
    return float(mean[0, 0]), float(std[0])


def prior(sde: Sde, noise: Array) -> Array:
    """The state at T from a standard normal draw."""
    return noise * sde.prior_std if isinstance(sde, VeSde) else noise


def _full(like: Array, value: float) -> Array:
    if isinstance(like, np.ndarray):
        return np.full(len(like), value, like.dtype)
    return like.new_full((len(like),), value)
