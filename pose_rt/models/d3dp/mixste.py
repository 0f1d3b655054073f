"""The D3DP denoiser "MixSTE": alternating attention over the joints of a frame and over the frames of a joint.

Shan et al., "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation" (ICCV 2023); Zhang et al., "MixSTE"
(CVPR 2022). State-dict keys and numerics are those of the published code, so that its checkpoints load.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pose_rt.diffusion.schedule import cosine_schedule

from ..layers.transformer import SPATIAL, TEMPORAL, Block


@dataclass(frozen=True)
class MixSTEConfig:
    """Sizes of the network. `drop_path` is the stochastic-depth rate of the last level; it grows linearly from 0 at the first."""

    frames: int = 243
    width: int = 512
    depth: int = 8
    heads: int = 8
    joints: int = 17
    drop_path: float = 0.0


class SinusoidalTime(nn.Module):
    """(N,) diffusion steps -> (N, C): ``[sin(t w) | cos(t w)]`` with ``w_k = exp(-k ln(10000) / (C/2 - 1))``."""

    rate: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        rate = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10000.0) / (half - 1)))
        self.register_buffer("rate", rate, persistent=False)

    def forward(self, step: Tensor) -> Tensor:
        angle = step[:, None].to(self.rate.dtype) * self.rate
        return torch.cat([angle.sin(), angle.cos()], -1)


class MixSTE(nn.Module):
    """Predicts the clean 3D window from the 2D window, a noisy 3D window and the diffusion step."""

    def __init__(self, config: MixSTEConfig) -> None:
        super().__init__()
        self.config = config
        c = config.width
        self.Spatial_patch_to_embedding = nn.Linear(5, c)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, config.joints, c))
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, config.frames, c))
        self.time_mlp = nn.Sequential(SinusoidalTime(c), nn.Linear(c, 2 * c), nn.GELU(), nn.Linear(2 * c, c))
        rates = [config.drop_path * i / max(config.depth - 1, 1) for i in range(config.depth)]
        self.STEblocks = nn.ModuleList([Block(c, config.heads, SPATIAL, rate) for rate in rates])
        self.TTEblocks = nn.ModuleList([Block(c, config.heads, TEMPORAL, rate) for rate in rates])
        # One pair of norms shared by every level; the head keeps the framework's epsilon. Both are part of the published weights.
        self.Spatial_norm = nn.LayerNorm(c, eps=1e-6)
        self.Temporal_norm = nn.LayerNorm(c, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(c), nn.Linear(c, 3))

    def denoise(self, xy: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
        """The network on flat batches.

        Args:
            xy: (N, F, J, 2) normalised keypoints.
            noisy: (N, F, J, 3).
            step: (N,) diffusion step.

        Returns:
            (N, F, J, 3) clean 3D.
        """
        x = self.Spatial_patch_to_embedding(torch.cat([xy, noisy], -1))
        x = x + self.Spatial_pos_embed + self.time_mlp(step)[:, None, None, :]
        for level, (spatial, temporal) in enumerate(zip(self.STEblocks, self.TTEblocks, strict=True)):
            x = self.Spatial_norm(spatial(x))
            if level == 0:
                x = x + self.Temporal_pos_embed[:, :, None, :]
            x = self.Temporal_norm(temporal(x))
        clean: Tensor = self.head(x)
        return clean

    def forward(self, xy: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
        """Like `denoise`, and also with hypotheses: `noisy` (B, H, F, J, 3) with `xy` (B, F, J, 2) and `step` (B,)."""
        if noisy.ndim == 4:
            return self.denoise(xy, noisy, step)
        h = noisy.shape[1]
        return self.denoise(xy.repeat_interleave(h, 0), noisy.flatten(0, 1), step.repeat_interleave(h, 0)).unflatten(0, (-1, h))


class D3DP(nn.Module):
    """The denoiser together with the twelve schedule tables (float64 buffers), as a published checkpoint stores them."""

    def __init__(self, config: MixSTEConfig, timesteps: int = 1000) -> None:
        super().__init__()
        for name, table in cosine_schedule(timesteps).tables().items():
            self.register_buffer(name, torch.from_numpy(table))
        self.pose_estimator = MixSTE(config)

    def forward(self, xy: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
        clean: Tensor = self.pose_estimator(xy, noisy, step)
        return clean
