"""Motions in DCT space: (B, 3V, T) channels over time <-> (B, V, 3N) node features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pose_rt.core.dct import dct_matrix, idct_matrix


def pad_last(history: Tensor, frames: int) -> Tensor:
    """(..., T) followed by its last frame repeated `frames` times."""
    return torch.cat([history, history[..., -1:].expand(*history.shape[:-1], frames)], dim=-1)


def to_channels(nodes: Tensor) -> Tensor:
    """(B, T, V, 3) -> (B, 3V, T), channels joint-major."""
    return nodes.permute(0, 2, 3, 1).reshape(nodes.shape[0], -1, nodes.shape[1])


@dataclass(frozen=True)
class Basis:
    """What a data set teaches the transform before any network is trained. Published models have none.

    Attributes:
        extension: (V, T_his, T) a linear predictor for each joint: ``motion = history @ extension[v]`` over all T frames, its columns
            sum to 1 (a person who stands still goes on standing still). It denoises the history and extrapolates it, where the
            published condition repeats the last frame.
        scale: (dct_n,) typical size of what is left to predict in each DCT coefficient; networks see coefficients divided by it.
        quiet: (V, T_his, T) as `extension`, fitted on histories with almost no noise, or None. It serves the first frames of the
            futures where the history turns out to be quiet (`MotionDCT.near`).
    """

    extension: Tensor
    scale: Tensor
    quiet: Tensor | None = None

    @classmethod
    def blank(cls, nodes: int, history: int, frames: int, dct_n: int) -> Basis:
        """Repeats the last frame, scales by 1: the published transform, for loading stored values into."""
        extension = torch.zeros(nodes, history, frames)
        extension[:, torch.arange(history), torch.arange(history)] = 1.0
        extension[:, -1, history:] = 1.0
        return cls(extension, torch.ones(dct_n))


def roughness(history: Tensor) -> Tensor:
    """RMS of the second differences along time of (B, C, T_his), in its unit: (B, 1, 1). Noise shows there, motion hardly does."""
    second = history[..., 2:] - 2 * history[..., 1:-1] + history[..., :-2]
    return second.square().mean((1, 2), keepdim=True).sqrt()


# cmu17/test at 50 Hz: 1.7 mm (95 %: 2.9) without noise, 4.0 with 5 mm of a lifter's noise, 7.4 with 10 mm. Up to 5 mm the quiet
# extension predicts better, from 10 mm on the other.
_ROUGH_M, _SOFT_M = 0.005, 0.0007


class MotionDCT(nn.Module):
    """Truncated orthonormal DCT over all T frames of a motion (`pose_rt.core.dct`), as float32 matrix products.

    Channels are joint-major, ``3 joint + axis``; node features are axis-major, ``axis dct_n + coefficient``.

    Args:
        frames: T.
        dct_n: coefficients kept.
        basis: None for the published transform.
    """

    forward_matrix: Tensor
    inverse_matrix: Tensor
    extension: Tensor | None
    quiet: Tensor | None

    def __init__(self, frames: int, dct_n: int, basis: Basis | None = None) -> None:
        super().__init__()
        self.frames, self.dct_n = frames, dct_n
        size = np.ones(dct_n) if basis is None else basis.scale.double().numpy()
        forward, inverse = dct_matrix(frames)[:dct_n] / size[:, None], idct_matrix(frames)[:, :dct_n] * size
        self.register_buffer("forward_matrix", torch.tensor(forward.T, dtype=torch.float32), persistent=False)
        self.register_buffer("inverse_matrix", torch.tensor(inverse.T, dtype=torch.float32), persistent=False)
        self.register_buffer("extension", None if basis is None else basis.extension.clone(), persistent=False)
        quiet = None if basis is None or basis.quiet is None else basis.quiet.clone()
        self.register_buffer("quiet", quiet, persistent=False)

    def coefficients(self, motion: Tensor) -> Tensor:
        """(..., T) -> (..., dct_n)."""
        return torch.matmul(motion, self.forward_matrix)

    def frames_of(self, coefficients: Tensor) -> Tensor:
        """(..., dct_n) -> (..., T)."""
        return torch.matmul(coefficients, self.inverse_matrix)

    def encode(self, motion: Tensor) -> Tensor:
        """(B, 3V, T) -> node features (B, V, 3 dct_n)."""
        return self.coefficients(motion).reshape(motion.shape[0], -1, 3 * self.dct_n)

    def extend(self, history: Tensor) -> Tensor:
        """The history (B, 3V, T_his) continued to T frames: (B, 3V, T)."""
        if self.extension is None:
            return pad_last(history, self.frames - history.shape[-1])
        return self._linear(history, self.extension)

    def near(self, history: Tensor) -> Tensor:
        """As `extend`, for the first frames after the history: ``w extend + (1 - w) quiet``, w in (0, 1) rising with its noise."""
        extended = self.extend(history)
        if self.quiet is None:
            return extended
        noisy = torch.sigmoid((roughness(history) - _ROUGH_M) / _SOFT_M)
        return noisy * extended + (1 - noisy) * self._linear(history, self.quiet)

    def _linear(self, history: Tensor, weights: Tensor) -> Tensor:
        joints = history.reshape(history.shape[0], -1, 3, history.shape[-1])
        return torch.matmul(joints, weights).reshape(history.shape[0], -1, self.frames)

    def condition(self, history: Tensor) -> Tensor:
        """Node features (B, V, 3 dct_n) of the extended history (B, 3V, T_his)."""
        return self.encode(self.extend(history))

    def decode(self, features: Tensor) -> Tensor:
        """Node features (B, V, 3 dct_n) -> (B, 3V, T)."""
        return self.frames_of(features.reshape(features.shape[0], -1, self.dct_n))
