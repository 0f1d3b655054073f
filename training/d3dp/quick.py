"""A quick look at a network during training: one hypothesis, one step, a fixed small set of windows of the test clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pose_rt.metrics.pose3d import mpjpe, pa_mpjpe
from pose_rt.models.d3dp import MixSTE
from training.data.cmu17 import PairConfig, make_pairs
from training.data.motion import PLAIN, Clips

from .config import TrainConfig


@dataclass(frozen=True)
class QuickSet:
    """xy (N, F, 17, 2), target_m (N, F, 17, 3) and noise (N, F, 17, 3)."""

    xy: np.ndarray
    target_m: np.ndarray
    noise: np.ndarray


def quick_set(clips: Clips, config: TrainConfig, count: int = 384, seed: int = 20) -> QuickSet:
    """Windows of motion as captured, virtual cameras and detector noise of training's kind."""
    rng = np.random.default_rng(seed)
    drawn = make_pairs(rng, clips, count, PairConfig(frames=config.frames, rate_hz=config.rate_hz, mixture=PLAIN))
    return QuickSet(drawn.xy, drawn.target_m, rng.standard_normal(drawn.target_m.shape, dtype=np.float32))


@torch.no_grad()
def quick_evaluation(network: MixSTE, config: TrainConfig, windows: QuickSet) -> tuple[float, float, float]:
    """MPJPE and PA-MPJPE over all frames and PA-MPJPE of the newest frame, millimetres."""
    step = torch.full((len(windows.xy),), config.timesteps - 1)
    noise = torch.from_numpy(windows.noise).clamp(-1.1, 1.1)
    clean = network(torch.from_numpy(windows.xy), noise, step).numpy() * np.float32(config.unit_m)
    clean[..., 0, :] = 0.0
    aligned = pa_mpjpe(clean, windows.target_m)
    return 1000 * float(mpjpe(clean, windows.target_m).mean()), 1000 * float(aligned.mean()), 1000 * float(aligned[:, -1].mean())
