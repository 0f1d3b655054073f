"""The whole DHMP forecast as one network: history -> condition -> latent codes -> decoder -> finished futures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .canonical import body_axes
from .config import DHMPConfig
from .cvae import CVAE
from .representation import MotionDCT
from .sampler import DiverseSampling


def build_cvae(config: DHMPConfig) -> CVAE:
    """The stage-1 network of `config`."""
    return CVAE(config.nodes, config.dct_n, config.hidden, config.z)


def build_sampler(config: DHMPConfig) -> DiverseSampling:
    """The stage-2 network of `config`."""
    return DiverseSampling(config.nodes, config.dct_n, config.sampler_hidden, config.base_dim, config.bases, config.z)


class FinishStep(nn.Module):
    """Ties decoded futures to what was observed: continuity with the last observed pose, and the person's own bone lengths.

    1. ``future_t += (observed_last - decoded_last) exp(-t / blend_frames)``, t = 1, 2, ...: a truncated DCT and a denoising decoder
       do not pass exactly through the last observed pose; the offset is carried over and fades.
    2. Every bone keeps its direction and gets the mean length it had over the history.

    Args:
        parents: of the skeleton with its root at index 0 (parent -1).
        history, future: frames.
        blend_frames: time constant of the fade.
    """

    fade: Tensor
    to_bones: Tensor
    to_joints: Tensor

    def __init__(self, parents: Sequence[int], history: int, future: int, blend_frames: float) -> None:
        super().__init__()
        self.history, self.future = history, future
        nodes = len(parents) - 1
        to_bones = torch.eye(nodes, dtype=torch.float64)
        for joint, parent in enumerate(parents):
            if parent > 0:
                to_bones[joint - 1, parent - 1] = -1.0
        fade = torch.exp(-torch.arange(1, future + 1, dtype=torch.float64) / blend_frames)
        self.register_buffer("fade", fade.float(), persistent=False)
        self.register_buffer("to_bones", to_bones.float(), persistent=False)
        self.register_buffer("to_joints", torch.linalg.inv(to_bones).float(), persistent=False)

    def forward(self, motion: Tensor, history: Tensor) -> Tensor:
        """Finished futures (B, K, T_pred, V, 3) from decoded motions (B, K, 3V, T) and the observed history (B, T_his, V, 3)."""
        batch, k = motion.shape[0], motion.shape[1]
        decoded = motion.reshape(batch, k, -1, 3, self.history + self.future)
        offset = history[:, -1].unsqueeze(1) - decoded[..., self.history - 1]
        moved = decoded[..., self.history :] + offset.unsqueeze(-1) * self.fade
        future = moved.permute(0, 1, 4, 2, 3)
        measured = torch.matmul(self.to_bones, history).square().sum(-1, keepdim=True).sqrt().mean(1)
        bones = torch.matmul(self.to_bones, future)
        length = (bones.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        return torch.matmul(self.to_joints, bones * (measured[:, None, None] / length))


class Forecaster(nn.Module):
    """History, Gumbel coefficients and noise in, futures out; what the exporter writes as one ONNX graph.

    Args:
        config: sizes.
        parents: of the skeleton with its root at index 0.
        cvae, sampler: trained networks; only the decoder of the CVAE is used.
    """

    def __init__(self, config: DHMPConfig, parents: Sequence[int], cvae: CVAE, sampler: DiverseSampling) -> None:
        super().__init__()
        self.config = config
        self.cvae, self.sampler = cvae, sampler
        self.dct = MotionDCT(config.frames, config.dct_n)
        self.finish = FinishStep(parents, config.history, config.future, config.blend_frames)

    def motions(self, condition: Tensor, z: Tensor, k: int) -> Tensor:
        """Decode `z` (B K, z) under `condition` (B, V, 3 dct_n) to whole motions (B, K, 3V, T)."""
        batch = condition.shape[0]
        repeated = condition.unsqueeze(1).expand(-1, k, -1, -1).reshape(batch * k, *condition.shape[1:])
        return self.dct.decode(self.cvae.inference(repeated, z)).reshape(batch, k, -1, self.config.frames)

    def forward(self, history: Tensor, weights: Tensor, eps: Tensor) -> Tensor:
        """Futures of N people.

        Args:
            history: (N, T_his, V + 1, 3) root-relative metres, the root (zeros) first.
            weights: (N, K, M) Gumbel-softmax coefficients.
            eps: (N, K, z) standard normal draws.

        Returns:
            (N, K, T_pred, V + 1, 3), the root (zeros) first.
        """
        nodes = history[:, :, 1:]
        axes = body_axes(nodes) if self.config.canonical else None
        if axes is not None:
            nodes = torch.matmul(nodes, axes.transpose(1, 2).unsqueeze(1))
        condition = self.dct.condition(nodes.permute(0, 2, 3, 1).flatten(1, 2))
        z, _, _ = self.sampler(condition, weights, eps.flatten(0, 1))
        futures = self.finish(self.motions(condition, z, weights.shape[1]), nodes)
        if axes is not None:
            futures = torch.matmul(futures, axes[:, None, None])
        return torch.cat([torch.zeros_like(futures[:, :, :, :1]), futures], dim=3)
