"""Graph convolutions with a fully learned, dense adjacency over the joints. Tensors are (B, V, F): batch, nodes, features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class GraphConv(nn.Module):
    """``Y = A^T (X W) + b``: features are mixed by W, then every feature is mixed over the nodes by A."""

    bias: nn.Parameter | None

    def __init__(self, in_features: int, out_features: int, in_nodes: int, out_nodes: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.att = nn.Parameter(torch.empty(in_nodes, out_nodes))
        if bias:
            self.bias = nn.Parameter(torch.empty(out_features))
        else:
            self.register_parameter("bias", None)
        bound = 1.0 / math.sqrt(out_features)
        # The order of the draws is part of the published recipe: a seed gives the published initial weights.
        for parameter in (self.weight, self.att, self.bias):
            if parameter is not None:
                nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_nodes, in_features) -> (B, out_nodes, out_features)."""
        y = self.mix(x)
        return y if self.bias is None else y + self.bias

    def mix(self, x: Tensor) -> Tensor:
        """``A^T (X W)``."""
        return torch.matmul(self.att.transpose(0, 1), torch.matmul(x, self.weight))


class GraphConvBlock(nn.Module):
    """GraphConv, batch normalisation of every (node, feature) channel, tanh, and an optional skip from the input."""

    def __init__(self, in_features: int, out_features: int, in_nodes: int, out_nodes: int, skip: bool = False) -> None:
        super().__init__()
        self.skip = skip
        self.gcn = GraphConv(in_features, out_features, in_nodes, out_nodes)
        self.bn = nn.BatchNorm1d(out_nodes * out_features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_nodes, in_features) -> (B, out_nodes, out_features)."""
        if self.training:
            y = self.gcn(x)
            y = torch.tanh(self.bn(y.flatten(1)).view_as(y))
        else:
            y = self.activate(self.gcn.mix(x))
        return y + x if self.skip else y

    def activate(self, y: Tensor) -> Tensor:
        """What follows the mixing in evaluation: bias and batch normalisation as one factor and one term a channel, then tanh.

        Runtimes compute both once, when they load the network.
        """
        norm = self.bn
        assert norm.running_var is not None and norm.running_mean is not None
        shape = y.shape[1:]
        scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).view(shape)
        shift = norm.bias.view(shape) - norm.running_mean.view(shape) * scale
        if self.gcn.bias is not None:
            shift = shift + self.gcn.bias * scale
        return torch.tanh(y * scale + shift)


class ResGCB(nn.Module):
    """Two GraphConvBlocks with an optional skip around both; nothing follows the sum."""

    def __init__(self, in_features: int, out_features: int, in_nodes: int, out_nodes: int, skip: bool = False) -> None:
        super().__init__()
        self.skip = skip
        self.gcb1 = GraphConvBlock(in_features, in_features, in_nodes, in_nodes)
        self.gcb2 = GraphConvBlock(in_features, out_features, in_nodes, out_nodes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_nodes, in_features) -> (B, out_nodes, out_features)."""
        y = self.gcb2(self.gcb1(x))
        return y + x if self.skip else y


def residual_stack(in_features: int, hidden: int, nodes: int, blocks: int) -> list[nn.Module]:
    """A GraphConvBlock to `hidden` features followed by `blocks` ResGCBs with skips."""
    return [
        GraphConvBlock(in_features, hidden, nodes, nodes),
        *(ResGCB(hidden, hidden, nodes, nodes, skip=True) for _ in range(blocks)),
    ]
