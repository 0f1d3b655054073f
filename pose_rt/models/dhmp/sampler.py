"""Stage 2 of DHMP: diverse latent codes as random convex combinations of learned basis vectors. Published state-dict keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cvae import reparameterise
from .gcn import residual_stack

_HEAD = 64
_TINY = 1e-20


def gumbel_coefficients(uniform: Tensor, temperature: float, logits: Tensor | None = None) -> Tensor:
    """Gumbel-softmax coefficients ``softmax((logits + g) / temperature)`` with ``g = -log(-log(u + 1e-20) + 1e-20)``.

    Args:
        uniform: (..., M) draws on [0, 1).
        temperature: of the softmax.
        logits: (..., M), or None for equal ones (a constant does not change a softmax).

    Returns:
        (..., M), rows sum to 1.
    """
    gumbel = -torch.log(-torch.log(uniform + _TINY) + _TINY)
    return torch.softmax((gumbel if logits is None else logits + gumbel) / temperature, dim=-1)


def _head(base_dim: int, z: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(base_dim, _HEAD), nn.BatchNorm1d(_HEAD), nn.Tanh(), nn.Linear(_HEAD, z))


class DiverseSampling(nn.Module):
    """Condition -> M basis vectors; a convex combination of them -> mean and log variance of a latent code.

    Args:
        nodes, dct_n: as in `CVAE`.
        hidden: width of the condition encoder.
        base_dim, bases: size and number (M) of the basis vectors.
        z: size of the CVAE's latent code.
    """

    def __init__(self, nodes: int = 16, dct_n: int = 10, hidden: int = 256, base_dim: int = 128, bases: int = 40, z: int = 64) -> None:
        super().__init__()
        self.bases, self.base_dim = bases, base_dim
        self.condition_enc = nn.Sequential(*residual_stack(3 * dct_n, hidden, nodes, 2))
        width = bases * base_dim
        self.bases_p1 = nn.Sequential(nn.Linear(hidden * nodes, width), nn.BatchNorm1d(width), nn.Tanh())
        self.mean_p1 = _head(base_dim, z)
        self.logvar_p1 = _head(base_dim, z)

    def points(self, condition: Tensor, weights: Tensor) -> Tensor:
        """Points of the auxiliary space, (B K, base_dim): coefficients `weights` (B, K, M) times the bases of each condition."""
        bases = self.bases_p1(self.condition_enc(condition).flatten(1)).view(-1, self.bases, self.base_dim)
        return torch.matmul(weights, bases).reshape(-1, self.base_dim)

    def forward(self, condition: Tensor, weights: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latent codes of K futures an observation, sample-major.

        Args:
            condition: (B, V, 3 dct_n).
            weights: (B, K, M) coefficients (`gumbel_coefficients`).
            eps: (B K, z) standard normal draws; row b K + k belongs to future k of observation b.

        Returns:
            z, mean and log variance, each (B K, z).
        """
        point = self.points(condition, weights)
        mean, logvar = self.mean_p1(point), self.logvar_p1(point)
        return reparameterise(mean, logvar, eps), mean, logvar
