"""The random numbers of one training step: recorded, addressed (Philox) or from a torch generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pose_rt.core import rng

from .config import HeadConfig


def gumbel_from_uniform(u: Tensor) -> Tensor:
    """-log(-log u); u = 0 gives -inf, a cell that is never chosen."""
    return -torch.log(-torch.log(u))


class Noise(NamedTuple):
    """Draws for B x K heatmaps.

    Attributes:
        gumbel: (B, K, S, cells) standard Gumbel values, cells row-major; None with the softmax norm.
        kernel: one array an axis in the order x, y, z, (B, K, S, length of the axis), without S when `gumbel` is None: uniforms on
            [0, 1) for the uniform and the triangular basis, standard normals for the gaussian.
    """

    gumbel: Tensor | None
    kernel: tuple[Tensor, ...]


def addressed_noise(
    config: HeadConfig, *, seed: int, frames: Sequence[int], tracks: Sequence[int] | None = None, device: torch.device | str = "cpu"
) -> Noise:
    """The numbers that `pose_rt.ops.sample_coordinates` draws at the same (seed, frame, track), one address a batch element.

    They are drawn on the CPU; `random_noise` is the faster choice for a long training that need not be addressed.

    Args:
        frames: B frame numbers.
        tracks: B track numbers; zeros when None.

    Raises:
        ValueError: when `tracks` has another length than `frames`, or an address word is out of range.
    """
    tracks = [0] * len(frames) if tracks is None else tracks
    if len(tracks) != len(frames):
        raise ValueError(f"tracks: got {len(tracks)} for {len(frames)} frames, wanted one each")
    sampled = config.norm == "sampling"
    lengths = config.grid[::-1]
    lead = (config.joints, config.samples if sampled else 1)
    draw = rng.normal if config.basis == "gaussian" else rng.uniform
    gumbel = np.empty((len(frames), *lead, int(np.prod(config.grid)) if sampled else 0), np.float32)
    kernel = np.empty((len(frames), *lead, sum(lengths)), np.float32)
    for b, (frame, track) in enumerate(zip(frames, tracks, strict=True)):
        kernel[b] = draw(kernel.shape[1:], seed=seed, frame=frame, track=track, stream=rng.STREAM_KERNEL)
        gumbel[b] = rng.gumbel(gumbel.shape[1:], seed=seed, frame=frame, track=track)
    axes = torch.from_numpy(kernel if sampled else kernel[:, :, 0]).to(device).split(lengths, -1)
    return Noise(torch.from_numpy(gumbel).to(device) if sampled else None, tuple(axes))


def random_noise(config: HeadConfig, batch: int, *, generator: torch.Generator | None = None, device: torch.device | str = "cpu") -> Noise:
    """Numbers of torch's own generator, made on the device."""
    sampled = config.norm == "sampling"
    lead = (batch, config.joints, *((config.samples,) if sampled else ()))
    draw = torch.randn if config.basis == "gaussian" else torch.rand
    gumbel = None
    if sampled:
        gumbel = gumbel_from_uniform(torch.rand(*lead, int(np.prod(config.grid)), generator=generator, device=device))
    return Noise(gumbel, tuple(draw(*lead, length, generator=generator, device=device) for length in config.grid[::-1]))
