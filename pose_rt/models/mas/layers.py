"""What the motion network and the evaluator share: positions, the embedding of the time step, poses in and out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MAX_FRAMES = 5000
"""Rows of the positional table, one of which the time token takes."""


class PositionalEncoding(nn.Module):
    """Adds row p of the sinusoidal table to position p of (T, B, D), then dropout. `pe` is (5000, 1, D)."""

    pe: Tensor

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        position = torch.arange(MAX_FRAMES, dtype=torch.float32)[:, None]
        rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
        table = torch.zeros(MAX_FRAMES, width)
        table[:, 0::2], table[:, 1::2] = torch.sin(position * rate), torch.cos(position * rate)
        self.register_buffer("pe", table[:, None])

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.dropout(x + self.pe[: x.shape[0]])
        return added


class TimestepEmbedder(nn.Module):
    """``W2 silu(W1 pe[t])``: (B,) diffusion steps -> (1, B, D)."""

    def __init__(self, width: int, positions: PositionalEncoding) -> None:
        super().__init__()
        self.sequence_pos_encoder = positions
        self.time_embed = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        embedded: Tensor = self.time_embed(self.sequence_pos_encoder.pe[t]).permute(1, 0, 2)
        return embedded


class InputProcess(nn.Module):
    """(B, J, C, T) -> (T, B, D); the features of a frame are joint by joint, `extra` more may follow them."""

    def __init__(self, features: int, width: int, extra: int = 0) -> None:
        super().__init__()
        self.poseEmbedding = nn.Linear(features + extra, width)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        frames = x.flatten(1, 2).permute(2, 0, 1)
        if condition is not None:
            frames = torch.cat([frames, condition.expand(frames.shape[0], -1, -1)], -1)
        embedded: Tensor = self.poseEmbedding(frames)
        return embedded


class OutputProcess(nn.Module):
    """(T, B, D) -> (B, J, C, T)."""

    def __init__(self, joints: int, dims: int, width: int) -> None:
        super().__init__()
        self.joints, self.dims = joints, dims
        self.poseFinal = nn.Linear(width, joints * dims)

    def forward(self, x: Tensor) -> Tensor:
        frames = self.poseFinal(x)
        return frames.permute(1, 2, 0).unflatten(1, (self.joints, self.dims))


def padding_mask(lengths: Tensor, positions: int) -> Tensor:
    """(B, positions) bool, True where a position is at or after the length (B,)."""
    return torch.arange(positions, device=lengths.device)[None] >= lengths[:, None]


def encoder(width: int, heads: int, ff: int, layers: int, dropout: float, activation: str) -> nn.TransformerEncoder:
    """A post-norm transformer encoder over (T, B, D)."""
    layer = nn.TransformerEncoderLayer(width, heads, ff, dropout, activation)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def decoder(width: int, heads: int, ff: int, layers: int, dropout: float, activation: str) -> nn.TransformerDecoder:
    """A post-norm transformer decoder over (T, B, D)."""
    return nn.TransformerDecoder(nn.TransformerDecoderLayer(width, heads, ff, dropout, activation), layers)
