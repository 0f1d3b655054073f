"""Hypotheses of a trained lifter for windows of 2D keypoints, as the run time makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pose_rt.core.skeleton import H36M17, Skeleton, mirror_points
from pose_rt.diffusion.ddim import Array, Predict, ddim_sample, flip_average
from pose_rt.diffusion.schedule import cosine_schedule
from pose_rt.models.d3dp import MixSTE

_ACTIVATIONS = {"cpu": 1 << 22, "cuda": 1 << 25}
"""Numbers in a layer's output. On a CPU glibc gives blocks of 32 MiB and more back each time; fresh pages cost as much as the work."""
Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``denoise(xy (N, F, J, 2), noisy (N, F, J, 3), step (N,)) -> clean (N, F, J, 3)`` on one device."""


@dataclass(frozen=True)
class Lifter:
    """A network with the constants of its training.

    Attributes:
        network: the denoiser; a `MixSTE`, or any other (an ONNX session).
        unit_m: metres in a network unit.
        batch: windows times hypotheses in a run of the network.
        skeleton_in, skeleton_out: joint orders of the keypoints and of the poses.
        root: root joint of the poses.
        half: run the network in bfloat16.
    """

    network: MixSTE | Denoiser
    unit_m: float
    timesteps: int = 1000
    scale: float = 1.0
    batch: int = 256
    skeleton_in: Skeleton = H36M17
    skeleton_out: Skeleton = H36M17
    root: int = 0
    device: str = "cpu"
    half: bool = False

    def predictor(self, xy: np.ndarray) -> Predict:
        """``predict(noisy, step)`` for (N, F, J, 2) keypoints, in batches."""
        denoise = self.network.denoise if isinstance(self.network, MixSTE) else self.network

        def on_device(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

        @torch.no_grad()
        def predict(noisy: Array, step: int) -> Array:
            parts = []
            for first in range(0, len(xy), self.batch):
                rows = slice(first, first + self.batch)
                steps = torch.full((len(xy[rows]),), step, device=self.device)
                with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.half):
                    clean = denoise(on_device(xy[rows]), on_device(noisy[rows]), steps)
                parts.append(clean.float().cpu().numpy())
            return np.concatenate(parts)

        return predict

    def iterations(self, xy: np.ndarray, noise: Sequence[np.ndarray], *, flip: bool = False) -> np.ndarray:
        """Sample with given noise.

        Args:
            xy: (B, F, J, 2) windows in the network's coordinates.
            noise: K arrays (B, H, F, J, 3) of standard normal numbers: the start, then one for each further iteration.

        Returns:
            (B, K, H, F, J, 3) float32 metres, the root zero: the clean sample of every iteration.
        """
        windows, count = noise[0].shape[:2]
        repeated = np.repeat(xy, count, 0)
        flat = [n.reshape(-1, *n.shape[2:]) for n in noise]
        wrap = None
        if flip:
            mirrored = self.predictor(mirror_points(repeated, self.skeleton_in))

            def wrap(predict: Predict) -> Predict:
                return flip_average(predict, mirrored, lambda joints: mirror_points(joints, self.skeleton_out))

        schedule = cosine_schedule(self.timesteps)
        cleans = ddim_sample(self.predictor(repeated), flat[0], flat[1:], schedule, len(noise), self.scale, wrap)
        stacked = np.stack(cleans, 1).reshape(windows, count, len(noise), *flat[0].shape[1:]) * np.float32(self.unit_m / self.scale)
        stacked[..., self.root, :] = 0.0
        return stacked.swapaxes(1, 2)

    def hypotheses(self, xy: np.ndarray, count: int, steps: int, rng: np.random.Generator, *, flip: bool = False) -> np.ndarray:
        """Sample.

        Args:
            xy: (B, F, J, 2) normalised windows.
            count: H.
            steps: K.

        Returns:
            (B, H, F, J, 3) float32 metres in the centred view, root zero; the last iteration's result.
        """
        noise = draw_noise(lambda shape: rng.standard_normal(shape, dtype=np.float32), xy, count, steps)
        return self.iterations(xy, noise, flip=flip)[:, -1]


def draw_noise(draw: Callable[[tuple[int, ...]], np.ndarray], xy: np.ndarray, count: int, steps: int) -> list[np.ndarray]:
    """What `Lifter.iterations` needs for windows (B, F, J, 2): `steps` draws of (B, `count`, F, J, 3), in the published order."""
    return [draw((len(xy), count, *xy.shape[1:-1], 3)) for _ in range(steps)]


def rows_for(frames: int, width: int, device: str) -> int:
    """Windows times hypotheses in a run, so that one layer's activations stay at 16 MiB on a CPU and 128 MiB on a GPU."""
    return max(_ACTIVATIONS["cpu" if device == "cpu" else "cuda"] // (frames * 17 * width), 1)
