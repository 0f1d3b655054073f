"""A first guess of a sample from what is known of it: the posterior of a mixture of Gaussians, coordinate by coordinate."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from .sde import Array, exp

Invert = Callable[[Array], Array]
"""``L^-1`` of ``A = L L'``: (..., D, D) -> (..., D, D), lower triangular."""

LEAST_DEVIATION = 0.3
"""Of the noise of what is known: a guess is not taken for surer than that."""


class Mixture(NamedTuple):
    """K Gaussians: `log_weight` (K,), `mean` (K, D), `covariance` (K, D, D)."""

    log_weight: Array
    mean: Array
    covariance: Array


def invert(a: np.ndarray) -> np.ndarray:
    """`Invert` for NumPy."""
    out: np.ndarray = np.linalg.solve(np.linalg.cholesky(a), np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape))
    return out


def mixture_guess(mixture: Mixture, value: Array, known: Array, noise: Array | float, inverted: Invert = invert) -> tuple[Array, Array]:
    """Mean and standard deviation (at least LEAST_DEVIATION of the noise) of x, given ``value = x + noise z`` where `known` is 1.

    Of each Gaussian: ``m = mean + C K (K C K + noise^2)^-1 (value - mean)`` and the diagonal of ``C - C K (K C K + noise^2)^-1 K C``; then
    the two moments of their mixture, weighted by how likely each makes the known values.

    Args:
        value: (U, G, D), G samples of which the same coordinates are known; the others do not matter.
        known: (U, D).
        noise: more than 0; of all known coordinates, or (U, D).
        inverted: of the kind of array.

    Returns:
        (U, G, D) each.
    """
    size = value.shape[-1]
    shown = known[:, None]  # (U, 1, D)
    system = mixture.covariance[None] * shown[..., None] * shown[..., None, :]  # (U, K, D, D)
    diagonal = range(size)
    own = (known * 0.0 + noise) ** 2
    system[..., diagonal, diagonal] += own[:, None]
    lower = inverted(system)
    distance = (value[:, None] - mixture.mean[None, :, None]) * shown[..., None, :]  # (U, K, G, D)
    whitened = distance @ lower.swapaxes(-1, -2)
    factors = lower @ (mixture.covariance[None] * shown[..., None])  # (U, K, D, D)
    means = mixture.mean[None, :, None] + whitened @ factors
    variances = mixture.covariance[:, diagonal, diagonal][None] - (factors**2).sum(-2)  # (U, K, D)
    likelihood = mixture.log_weight[None, :, None] - 0.5 * (whitened**2).sum(-1) + _log(lower[..., diagonal, diagonal]).sum(-1)[..., None]
    weight = exp(likelihood - _highest(likelihood))[..., None]  # (U, K, G, 1)
    weight = weight / weight.sum(1)[:, None]
    mean = (weight * means).sum(1)
    variance = (weight * (variances[:, :, None] + (means - mean[:, None]) ** 2)).sum(1)
    least = (LEAST_DEVIATION**2 * own.min()).item()
    return mean, (least + (variance - least) * (variance > least)) ** 0.5


def _log(x: Array) -> Array:
    return np.log(x) if isinstance(x, np.ndarray) else x.log()


def _highest(x: Array) -> Array:
    return x.max(1, keepdims=True) if isinstance(x, np.ndarray) else x.amax(1, keepdim=True)


def to_text(mixture: Mixture) -> dict[str, str]:
    """Base64 of little-endian float32, for a model's metadata."""
    return {name: base64.b64encode(np.asarray(part, "<f4").tobytes()).decode() for name, part in mixture._asdict().items()}


def from_text(values: Mapping[str, str], size: int) -> Mixture:
    """The inverse of `to_text` for D = size."""
    weight, mean, covariance = (np.frombuffer(base64.b64decode(values[name]), "<f4").astype(np.float32) for name in Mixture._fields)
    return Mixture(weight, mean.reshape(-1, size), covariance.reshape(-1, size, size))
