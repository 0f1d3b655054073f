"""Batches of 2D motion: normalisation, padding, masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """Motions of different lengths, padded with zeros.

    Attributes:
        motion: (B, J, 2, T) float32, normalised.
        lengths: (B,) int64.
        mask: (B, J, 2, T) float32, 1 where a joint was seen within the length.
        texts: a caption each, where the data set has captions.
    """

    motion: np.ndarray
    lengths: np.ndarray
    mask: np.ndarray
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Normaliser:
    """``(x - mean) / std`` per joint and coordinate; `mean` and `std` are (J, 2)."""

    mean: np.ndarray
    std: np.ndarray

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        return (clip - self.mean) / self.std

    def back(self, clip: np.ndarray) -> np.ndarray:
        return clip * self.std + self.mean

    @property
    def planes(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and std as float32 (J, 2, 1), for (..., J, 2, T)."""
        return self.mean.astype(np.float32)[..., None], self.std.astype(np.float32)[..., None]


def measure(clips: Sequence[np.ndarray], masks: Sequence[np.ndarray] | None = None) -> Normaliser:
    """Mean and standard deviation of every joint and coordinate over clips (T, J, 2); masks (T, J, 1) say what counts.

    A joint's two coordinates may have very different spreads; one that hardly moves counts as moving by 1 % of the largest.
    """
    stacked = np.concatenate(clips).astype(np.float64)
    seen = np.ones((*stacked.shape[:2], 1)) if masks is None else np.concatenate(masks)
    count = np.maximum(seen.sum(0), 1)
    mean = (stacked * seen).sum(0) / count
    std = np.sqrt(((stacked - mean) ** 2 * seen).sum(0) / count)
    return Normaliser(mean, np.maximum(std, 0.01 * max(float(std.max()), 1e-6)))


def pad(clips: Sequence[np.ndarray], masks: Sequence[np.ndarray | None] | None = None, texts: Sequence[str] = ()) -> Batch:
    """Clips (T_i, J, 2), with masks (T_i, J, 1) or None, to one batch."""
    lengths = np.array([len(clip) for clip in clips], np.int64)
    longest, joints = int(lengths.max()), clips[0].shape[1]
    motion = np.zeros((len(clips), joints, 2, longest), np.float32)
    mask = np.zeros_like(motion)
    for i, clip in enumerate(clips):
        motion[i, ..., : len(clip)] = clip.transpose(1, 2, 0)
        seen = None if masks is None else masks[i]
        mask[i, ..., : len(clip)] = 1.0 if seen is None else np.asarray(seen, np.float32).transpose(1, 2, 0)
    return Batch(motion, lengths, mask, tuple(texts))


def joined(batches: Sequence[Batch]) -> Batch:
    """Several batches as one, padded to the longest."""
    longest = max(batch.motion.shape[-1] for batch in batches)

    def wide(values: np.ndarray) -> np.ndarray:
        return np.pad(values, ((0, 0), (0, 0), (0, 0), (0, longest - values.shape[-1])))

    motion = np.concatenate([wide(batch.motion) for batch in batches])
    mask = np.concatenate([wide(batch.mask) for batch in batches])
    return Batch(motion, np.concatenate([b.lengths for b in batches]), mask, tuple(text for b in batches for text in b.texts))
