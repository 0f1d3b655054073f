"""Motions in DCT space: (B, 3V, T) channels over time <-> (B, V, 3N) node features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose_rt.core.dct import dct_matrix, idct_matrix


def pad_last(history: Tensor, frames: int) -> Tensor:
    """(..., T) followed by its last frame repeated `frames` times."""
    return torch.cat([history, history[..., -1:].expand(*history.shape[:-1], frames)], dim=-1)


class MotionDCT(nn.Module):
    """Truncated orthonormal DCT over all T frames of a motion (`pose_rt.core.dct`), as float32 matrix products.

    Channels are joint-major, ``3 joint + axis``; node features are axis-major, ``axis dct_n + coefficient``.
    """

    forward_matrix: Tensor
    inverse_matrix: Tensor

    def __init__(self, frames: int, dct_n: int) -> None:
        super().__init__()
        self.frames, self.dct_n = frames, dct_n
        self.register_buffer("forward_matrix", torch.tensor(dct_matrix(frames)[:dct_n].T, dtype=torch.float32), persistent=False)
        self.register_buffer("inverse_matrix", torch.tensor(idct_matrix(frames)[:, :dct_n].T, dtype=torch.float32), persistent=False)

    def coefficients(self, motion: Tensor) -> Tensor:
        """(..., T) -> (..., dct_n)."""
        return torch.matmul(motion, self.forward_matrix)

    def frames_of(self, coefficients: Tensor) -> Tensor:
        """(..., dct_n) -> (..., T)."""
        return torch.matmul(coefficients, self.inverse_matrix)

    def encode(self, motion: Tensor) -> Tensor:
        """(B, 3V, T) -> node features (B, V, 3 dct_n)."""
        return self.coefficients(motion).reshape(motion.shape[0], -1, 3 * self.dct_n)

    def condition(self, history: Tensor) -> Tensor:
        """Node features (B, V, 3 dct_n) of the history (B, 3V, T_his) padded with its last frame to T frames."""
        return self.encode(pad_last(history, self.frames - history.shape[-1]))

    def decode(self, features: Tensor) -> Tensor:
        """Node features (B, V, 3 dct_n) -> (B, 3V, T)."""
        return self.frames_of(features.reshape(features.shape[0], -1, self.dct_n))
