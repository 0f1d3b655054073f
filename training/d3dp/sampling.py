"""Hypotheses of a trained lifter for windows of 2D keypoints, as the run time makes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pose_rt.core.skeleton import H36M17
from pose_rt.diffusion.ddim import Array, Predict, ddim_sample, flip_average
from pose_rt.diffusion.schedule import cosine_schedule
from pose_rt.models.d3dp import MixSTE

_FLIP = np.array([-1.0, 1.0, 1.0], np.float32)


@dataclass(frozen=True)
class Lifter:
    """A network with the constants of its training."""

    network: MixSTE
    unit_m: float
    timesteps: int = 1000
    scale: float = 1.0
    batch: int = 256

    def predictor(self, xy: np.ndarray) -> Predict:
        """``predict(noisy, step)`` for (N, F, J, 2) keypoints, in batches."""

        @torch.no_grad()
        def predict(noisy: Array, step: int) -> Array:
            parts = []
            for first in range(0, len(xy), self.batch):
                rows = slice(first, first + self.batch)
                steps = torch.full((len(xy[rows]),), step)
                parts.append(self.network.denoise(torch.from_numpy(xy[rows]), torch.from_numpy(noisy[rows]), steps).numpy())
            return np.concatenate(parts)

        return predict

    def hypotheses(self, xy: np.ndarray, count: int, steps: int, rng: np.random.Generator, *, flip: bool = False) -> np.ndarray:
        """Sample.

        Args:
            xy: (B, F, J, 2) normalised windows.
            count: H.
            steps: K.

        Returns:
            (B, H, F, J, 3) float32 metres in the centred view, root zero; the last iteration's result.
        """
        repeated = np.repeat(xy, count, 0)
        shape = (*repeated.shape[:-1], 3)
        noise = [rng.standard_normal(shape, dtype=np.float32) for _ in range(steps)]
        wrap = None
        if flip:
            mirrored = self.predictor(np.ascontiguousarray(repeated[..., H36M17.mirror, :] * _FLIP[:2]))

            def wrap(predict: Predict) -> Predict:
                return flip_average(predict, mirrored, mirror)

        predict = self.predictor(repeated)
        clean = ddim_sample(predict, noise[0], noise[1:], cosine_schedule(self.timesteps), steps, self.scale, wrap)[-1]
        clean = clean.reshape(len(xy), count, *shape[1:]) * np.float32(self.unit_m)
        clean[..., 0, :] = 0.0
        return clean


def mirror(joints: np.ndarray) -> np.ndarray:
    """Negate x and exchange left and right: (..., 17, 3)."""
    return np.ascontiguousarray(joints[..., H36M17.mirror, :] * _FLIP)
