"""Stage 1 of DHMP: a conditional variational autoencoder of motions in DCT space. State-dict keys are the published ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .gcn import GraphConv, GraphConvBlock, residual_stack


def reparameterise(mean: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """``z = mean + exp(logvar / 2) eps``."""
    return torch.exp(0.5 * logvar) * eps + mean


class CVAE(nn.Module):
    """Encoder q(z | condition, data), prior N(0, I), decoder p(data | condition, z) that predicts a residual on the condition.

    Args:
        nodes: V, joints without the root.
        dct_n: coefficients a coordinate; node features are 3 * dct_n.
        hidden: width of the graph convolutions.
        z: size of the latent code.
    """

    def __init__(self, nodes: int = 16, dct_n: int = 10, hidden: int = 256, z: int = 64, blocks: int = 4) -> None:
        super().__init__()
        self.nodes, self.z = nodes, z
        features = 3 * dct_n
        self.enc = nn.Sequential(*residual_stack(2 * features, hidden, nodes, blocks))
        self.mean = nn.Linear(hidden * nodes, z)
        self.logvar = nn.Linear(hidden * nodes, z)
        self.dec = nn.Sequential(*residual_stack(features + z, hidden, nodes, blocks), GraphConv(hidden, features, nodes, nodes))

    def encode(self, condition: Tensor, data: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and log variance, (B, z) each, from condition and data (B, V, 3 dct_n)."""
        feature = self.enc(torch.cat([condition, data], dim=-1)).flatten(1)
        return self.mean(feature), self.logvar(feature)

    def inference(self, condition: Tensor, z: Tensor) -> Tensor:
        """Decode `z` (B, z) under `condition` (B, V, 3 dct_n) to the DCT of a whole motion (B, V, 3 dct_n)."""
        spread = z[:, None, :].expand(-1, self.nodes, -1)
        return self.dec(torch.cat([condition, spread], dim=-1)) + condition

    def inference_many(self, condition: Tensor, z: Tensor) -> Tensor:
        """`inference` of K codes an observation, (B, V, 3 dct_n) and (B, K, z) -> (B K, V, 3 dct_n), with less work; in evaluation only.

        The first layer is linear and sees the condition of an observation K times and a code V times; each is multiplied once:
        ``A^T ([c, z] W) = A^T (c W_c) + (A^T 1) (z W_z)``.
        """
        first, *rest = self.dec
        assert isinstance(first, GraphConvBlock)
        conv = first.gcn
        seen = torch.matmul(conv.att.transpose(0, 1), torch.matmul(condition, conv.weight[: condition.shape[-1]]))
        code = torch.matmul(z, conv.weight[condition.shape[-1] :])
        mixed = seen.unsqueeze(1) + code.unsqueeze(2) * conv.att.sum(0).unsqueeze(1)
        y = first.activate(mixed.reshape(-1, self.nodes, mixed.shape[-1]))
        for layer in rest:
            y = layer(y)
        whole = y.reshape(z.shape[0], z.shape[1], self.nodes, -1) + condition.unsqueeze(1)
        return whole.reshape(-1, self.nodes, condition.shape[-1])

    def forward(self, condition: Tensor, data: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct `data`; `eps` (B, z) is a standard normal draw. Returns (reconstruction, mean, logvar)."""
        mean, logvar = self.encode(condition, data)
        return self.inference(condition, reparameterise(mean, logvar, eps)), mean, logvar
