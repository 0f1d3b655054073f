"""The score network with inputs and output scaled so that it predicts something of unit size at every noise level.

Karras et al., "Elucidating the design space of diffusion-based generative models" (NeurIPS 2022), section 5, in the variables of VP and
sub-VP processes. The published network predicts the noise itself: late in the process, where noise outweighs the pose a hundredfold, a
part in a hundred of error is a whole pose, which a small network does not get below.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose_rt.diffusion.sde import SubVpSde, VpSde

from .network import Bernoulli, ScoreNetwork


class Preconditioned(nn.Module):
    """The noise ``z`` of ``x = a x0 + s z``, as `ScoreNetwork` gives it: ``z = s x / v - (a d / sqrt(v)) F``, ``v = s^2 + a^2 d^2``.

    F is the network's answer to ``x / sqrt(v)``. Where noise is small, x is nearly the pose; where it is large, F is. The network is shown
    ``condition / d`` itself instead of the difference from it: a hidden joint is then a zero among clean numbers, not one among noise.

    Args:
        network: gives F.
        sde: VP or sub-VP.
        deviation: d, of the data's coordinates, network units.
    """

    def __init__(self, network: ScoreNetwork, sde: VpSde | SubVpSde, deviation: float) -> None:
        super().__init__()
        self.network, self.sde, self.deviation = network, sde, deviation

    def forward(self, x: Tensor, label: Tensor, condition: Tensor, mask: Tensor | None = None, hide: Bernoulli | None = None) -> Tensor:
        """As `ScoreNetwork.forward`: (B, 17, 3)."""
        t = label / 999
        one = torch.ones_like(x[:, :1, :1])
        a, s = self.sde.marginal(one, t)
        s = s.reshape(-1, 1, 1)
        v = s**2 + (a * self.deviation) ** 2
        scaled = x * v**-0.5
        answer = self.network(scaled, label, scaled - condition / self.deviation, mask, hide)  # it sees the difference of the two
        return s / v * x - a * self.deviation * v**-0.5 * answer

    def weight(self, t: Tensor) -> Tensor:
        """(B,) what makes the squared error of z that of F: ``v / (a d)^2``."""
        a, s = self.sde.marginal(torch.ones_like(t)[:, None], t)
        signal = (a[:, 0] * self.deviation) ** 2
        return (s**2 + signal) / signal
