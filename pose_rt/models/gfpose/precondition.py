"""The score network as a correction of a first guess, scaled so that it predicts something of unit size at every noise level.

Karras et al., "Elucidating the design space of diffusion-based generative models" (NeurIPS 2022), section 5, in the variables of VP and
sub-VP processes, around what is known of the pose. The published network predicts the noise itself: late in the process, where noise
outweighs the pose a hundredfold, a part in a hundred of error is a whole pose, which a small network does not get below.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pose_rt.diffusion.guess import Mixture, mixture_guess
from pose_rt.diffusion.sde import SubVpSde, VpSde

from .network import Bernoulli, ScoreNetwork, has_depth

GROUP = 16
"""Samples that training shows the same coordinates of, so that the system of their guess is solved once."""
_SYSTEMS = 128
"""Linear systems (times the Gaussians) that are solved at once: memory."""


class Preconditioned(nn.Module):
    """The noise ``z`` of ``x = a x0 + s z``: ``z = s (x - a m) / v - (a d / sqrt(v)) F``, ``v = s^2 + a^2 d^2``.

    Each coordinate is first taken to be ``m`` give or take ``d``: mean and deviation of a mixture of Gaussians over whole poses, given what
    the condition shows. F is the network's answer to ``(x - a m) / sqrt(v)``, m and d, and corrects that guess. Where noise is small, x
    is nearly the pose; where it is large, ``m + d F`` is. With F = 0 it is already the score of a Gaussian.

    Args:
        network: gives F.
        sde: VP or sub-VP.
        deviation: of the data's coordinates, network units.
        known_deviation: of what a condition shows from the truth.
        components: of the mixture, which is part of the state: set it by `take`.
    """

    log_weight: Tensor
    mean: Tensor
    covariance: Tensor

    def __init__(self, network: ScoreNetwork, sde: VpSde | SubVpSde, deviation: float, known_deviation: float, components: int = 1) -> None:
        super().__init__()
        self.network, self.sde = network, sde
        self.deviation, self.known_deviation = deviation, known_deviation
        size = network.post_dense.out_features
        self.register_buffer("log_weight", torch.zeros(components))
        self.register_buffer("mean", torch.zeros(components, size))
        self.register_buffer("covariance", torch.eye(size).repeat(components, 1, 1) * deviation**2)
        nn.init.zeros_(network.post_dense.weight)
        nn.init.zeros_(network.post_dense.bias)

    @property
    def mixture(self) -> Mixture:
        """Its Gaussians, network units."""
        return Mixture(self.log_weight, self.mean, self.covariance)

    def take(self, mixture: Mixture) -> None:
        """Go by these Gaussians, network units."""
        for buffer, value in zip(self.mixture, mixture, strict=True):
            buffer.copy_(torch.as_tensor(value))

    def forward(self, x: Tensor, label: Tensor, condition: Tensor, mask: Tensor | None = None, hide: Bernoulli | None = None) -> Tensor:
        """As `ScoreNetwork.forward`: (B, 17, 3)."""
        return self.noise(x, label, *self._told(condition, self.network.known(condition, mask, hide)))

    def given(self, condition: Tensor, mask: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
        """``noise(x, label)`` with one guess for all evaluations."""
        guess, deviation = self._told(condition, self.network.known(condition, mask, None))
        return lambda x, label: self.noise(x, label, guess, deviation)

    def _told(self, condition: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        known = torch.cat([known[..., :2], known[..., 2:] * has_depth(condition)], -1)
        return self.guess(condition, known)

    def guess(self, condition: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """m and d given the condition where `known` is 1: (B, 17, 3) each."""
        value, shown = condition.flatten(1), known.flatten(1)
        group = next(size for size in (len(shown), GROUP, 1) if _alike(shown, size))
        values = value.reshape(-1, group, value.shape[1])
        parts = [
            mixture_guess(self.mixture, values[i : i + _SYSTEMS], shown[::group][i : i + _SYSTEMS], self.known_deviation, _invert)
            for i in range(0, len(values), _SYSTEMS)
        ]
        guess, deviation = (torch.cat(part).reshape(condition.shape) for part in zip(*parts, strict=True))
        return guess, deviation

    def noise(self, x: Tensor, label: Tensor, guess: Tensor, deviation: Tensor) -> Tensor:
        """z, given m and d: (B, 17, 3)."""
        a, s = self.sde.marginal(torch.ones_like(x[:, :1, :1]), label / 999)
        s = s.reshape(-1, 1, 1)
        v = s**2 + (a * deviation) ** 2
        centred = x - a * guess
        answer = self.network.answer(centred * v**-0.5, label, guess / self.deviation, deviation / self.deviation)
        return s / v * centred - a * deviation * v**-0.5 * answer

    def weight(self, t: Tensor) -> Tensor:
        """(B,) what makes the squared error of z that of F where nothing is known: ``v / (a d)^2``."""
        a, s = self.sde.marginal(torch.ones_like(t)[:, None], t)
        signal = (a[:, 0] * self.deviation) ** 2
        return (s**2 + signal) / signal


def _alike(rows: Tensor, size: int) -> bool:
    """Whether (B, D) is made of groups of so many equal rows."""
    return size > 0 and len(rows) % size == 0 and bool((rows.reshape(-1, size, rows.shape[1]).diff(dim=1) == 0).all())


def _invert(a: Tensor) -> Tensor:
    one = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    out: Tensor = torch.linalg.solve_triangular(torch.linalg.cholesky(a), one.expand_as(a), upper=False)
    return out
