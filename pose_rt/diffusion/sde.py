"""Forward diffusions in continuous time and their reversal (Song et al., "Score-based generative modeling through SDEs", ICLR 2021).

``dx = drift(x, t) dt + g(t) dw``; the data are at t = 0, nearly pure noise at t = `horizon`. Three families: VP and sub-VP with
``beta(t) = b0 + t (b1 - b0)`` and VE with a geometric ``sigma(t)``. Arrays may be NumPy or torch; `t` is (B,), `x` is (B, ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

Array = Any
"""A NumPy array or a torch tensor."""

Flow = Literal["none", "published", "exact"]
"""How the reversed process runs: with its noise; GFPose's `--pflow`, its mean path with the noise left out; the probability-flow ODE."""


class Sde(Protocol):
    """A forward diffusion.

    Attributes:
        steps: N, the number of scales of the discretised process.
        horizon: T, the time at which sampling starts.
        eps: the time at which sampling ends.
        prior_std: standard deviation of the noise that stands for the state at T.
    """

    def __hash__(self) -> int: ...

    @property
    def steps(self) -> int: ...

    @property
    def horizon(self) -> float: ...

    @property
    def eps(self) -> float: ...

    @property
    def prior_std(self) -> float: ...

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        """Mean (B, ...) and standard deviation (B,) of x(t) given x(0)."""
        ...

    def forward(self, x: Array, t: Array) -> tuple[Array, Array]:
        """Drift (B, ...) and g (B,)."""
        ...

    def discretised(self, x: Array, t: Array) -> tuple[Array, Array]:
        """f (B, ...) and G (B,) of ``x_{i+1} = x_i + f + G z``."""
        ...

    def ancestral(self, x: Array, t: Array, score: Array) -> tuple[Array, Array]:
        """Mean (B, ...) and standard deviation (B,) of the ancestral step back from `t`; sub-VP has none and raises ValueError."""
        ...

    def corrector_alpha(self, t: Array) -> Array:
        """The factor of a Langevin step's size at `t` (B,); sub-VP has none and raises ValueError."""
        ...

    def label(self, t: Array) -> Array:
        """What a score network gets for `t`."""
        ...

    def score(self, output: Array, t: Array) -> Array:
        """The score, from what a score network answers."""
        ...


@dataclass(frozen=True)
class VpSde:
    """Variance preserving: ``mean = e^L x0``, ``std = sqrt(1 - e^2L)``, ``L(t) = -t^2 (b1 - b0) / 4 - t b0 / 2``.

    Raises:
        ValueError: fewer steps than the discrete betas need to stay below 1.
    """

    steps: int = 1000
    horizon: float = 1.0
    beta_min: float = 0.1
    beta_max: float = 20.0
    eps: float = 1e-3
    prior_std: float = 1.0

    def __post_init__(self) -> None:
        if self.steps <= self.beta_max:
            raise ValueError(f"steps: got {self.steps}, wanted more than beta_max = {self.beta_max:g} for a variance preserving process")

    @cached_property
    def betas(self) -> np.ndarray:
        """(N,) float32 of the discretised process."""
        return np.linspace(self.beta_min / self.steps, self.beta_max / self.steps, self.steps).astype(np.float32)

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        log_mean = _log_mean(t, self.beta_min, self.beta_max)
        return rows(exp(log_mean), x0) * x0, (1.0 - exp(2.0 * log_mean)) ** 0.5

    def forward(self, x: Array, t: Array) -> tuple[Array, Array]:
        beta = self.beta_min + t * (self.beta_max - self.beta_min)
        return -0.5 * rows(beta, x) * x, beta**0.5

    def discretised(self, x: Array, t: Array) -> tuple[Array, Array]:
        beta = self._at(t)
        return rows((1.0 - beta) ** 0.5, x) * x - x, beta**0.5

    def ancestral(self, x: Array, t: Array, score: Array) -> tuple[Array, Array]:
        beta = self._at(t)
        return (x + rows(beta, x) * score) / rows((1.0 - beta) ** 0.5, x), beta**0.5

    def corrector_alpha(self, t: Array) -> Array:
        return 1.0 - self._at(t)

    def label(self, t: Array) -> Array:
        return t * 999

    def score(self, output: Array, t: Array) -> Array:
        return -output / rows(self.marginal(output, t)[1], output)

    def _at(self, t: Array) -> Array:
        return lookup(self.betas, t * (self.steps - 1) / self.horizon)


@dataclass(frozen=True)
class SubVpSde:
    """Sub-VP: the mean of VP with ``std = 1 - e^2L``. It has no discrete betas: no ancestral step, no Langevin corrector."""

    steps: int = 1000
    horizon: float = 1.0
    beta_min: float = 0.1
    beta_max: float = 20.0
    eps: float = 1e-3
    prior_std: float = 1.0

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        log_mean = _log_mean(t, self.beta_min, self.beta_max)
        return rows(exp(log_mean), x0) * x0, 1.0 - exp(2.0 * log_mean)

    def forward(self, x: Array, t: Array) -> tuple[Array, Array]:
        beta = self.beta_min + t * (self.beta_max - self.beta_min)
        discount = 1.0 - exp(-2.0 * self.beta_min * t - (self.beta_max - self.beta_min) * t**2)
        return -0.5 * rows(beta, x) * x, (beta * discount) ** 0.5

    def discretised(self, x: Array, t: Array) -> tuple[Array, Array]:
        drift, diffusion = self.forward(x, t)
        return drift / self.steps, diffusion * (1.0 / self.steps) ** 0.5

    def ancestral(self, x: Array, t: Array, score: Array) -> tuple[Array, Array]:
        raise ValueError("ancestral sampling: a sub-VP process has no discrete betas, wanted VP or VE")

    def corrector_alpha(self, t: Array) -> Array:
        raise ValueError("Langevin correctors: a sub-VP process has no discrete alphas, wanted VP or VE")

    def label(self, t: Array) -> Array:
        return t * 999

    def score(self, output: Array, t: Array) -> Array:
        return -output / rows(self.marginal(output, t)[1], output)


@dataclass(frozen=True)
class VeSde:
    """Variance exploding: ``mean = x0``, ``std = sigma(t) = s0 (s1 / s0)^t``."""

    steps: int = 1000
    horizon: float = 1.0
    sigma_min: float = 0.01
    sigma_max: float = 50.0
    eps: float = 1e-5

    @property
    def prior_std(self) -> float:
        return self.sigma_max

    @cached_property
    def sigmas(self) -> np.ndarray:
        """(N,) float32 of the discretised process, rising."""
        return np.exp(np.linspace(np.log(self.sigma_min), np.log(self.sigma_max), self.steps)).astype(np.float32)

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        return x0, self.label(t)

    def forward(self, x: Array, t: Array) -> tuple[Array, Array]:
        return 0.0 * x, self.label(t) * float(np.sqrt(2.0 * np.log(self.sigma_max / self.sigma_min)))

    def discretised(self, x: Array, t: Array) -> tuple[Array, Array]:
        sigma, adjacent = self._at(t)
        return 0.0 * x, (sigma**2 - adjacent**2) ** 0.5

    def ancestral(self, x: Array, t: Array, score: Array) -> tuple[Array, Array]:
        sigma, adjacent = self._at(t)
        step = sigma**2 - adjacent**2
        return x + rows(step, x) * score, (adjacent**2 * step / sigma**2) ** 0.5

    def corrector_alpha(self, t: Array) -> Array:
        return 0.0 * t + 1.0

    def label(self, t: Array) -> Array:
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def score(self, output: Array, t: Array) -> Array:
        return output

    def _at(self, t: Array) -> tuple[Array, Array]:
        """sigma at `t` and the next smaller one (0 below the smallest)."""
        place = t * (self.steps - 1) / self.horizon
        below = np.concatenate([np.zeros(1, np.float32), self.sigmas[:-1]])
        return lookup(self.sigmas, place), lookup(below, place)


def reverse(sde: Sde, x: Array, t: Array, score: Array, flow: Flow = "none") -> tuple[Array, Array]:
    """Drift (B, ...) and diffusion (B,) of the process that runs from T back to 0: ``drift - k g^2 score``.

    k = 1 and g for the reversed SDE (Anderson 1982), k = 1/2 and no noise for the exact probability flow. "published" has k = 1 and no
    noise, as GFPose's `--pflow`: the mean path of the SDE, not an ODE with the same marginals.
    """
    drift, diffusion = sde.forward(x, t)
    factor = 0.5 if flow == "exact" else 1.0
    return drift - rows(diffusion**2, x) * score * factor, diffusion if flow == "none" else 0.0 * diffusion


def reverse_discretised(sde: Sde, x: Array, t: Array, score: Array, flow: Flow = "none") -> tuple[Array, Array]:
    """f (B, ...) and G (B,) of the reversed discrete process, ``x_i = x_{i+1} - f + G z``."""
    f, g = sde.discretised(x, t)
    factor = 0.5 if flow == "exact" else 1.0
    return f - rows(g**2, x) * score * factor, g if flow == "none" else 0.0 * g


def exp(x: Array) -> Array:
    return np.exp(x) if isinstance(x, np.ndarray) else x.exp()


def rows(values: Array, like: Array) -> Array:
    """(B,) -> (B, 1, ...), to multiply with `like` (B, ...)."""
    return values.reshape(-1, *([1] * (like.ndim - 1)))


def lookup(table: np.ndarray, place: Array) -> Array:
    """``table[floor(place)]`` as the kind of array that `place` is."""
    if isinstance(place, np.ndarray):
        return table[place.astype(np.int64)]
    return place.new_tensor(table)[place.long()]


def _log_mean(t: Array, beta_min: float, beta_max: float) -> Array:
    return -0.25 * t**2 * (beta_max - beta_min) - 0.5 * t * beta_min
