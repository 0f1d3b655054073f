"""Precision, recall and diversity of generated samples in a feature space (Kynkaanniemi et al. 2019; Guo et al. 2020)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class PrecisionRecall(NamedTuple):
    """Share of generated samples among the real ones, and of real samples among the generated ones, 0 to 1."""

    precision: float
    recall: float


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) squared Euclidean distances between rows."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0.0)


def _covered(points: np.ndarray, centres: np.ndarray, k: int) -> float:
    """Share of points within the distance from some centre to its k-th nearest other centre."""
    own = _squared_distances(centres, centres)
    np.fill_diagonal(own, 0.0)
    radius = np.sort(own, axis=1)[:, k]
    return float((_squared_distances(points, centres) <= radius[None]).any(1).mean())


def precision_recall(real: np.ndarray, generated: np.ndarray, k: int = 3) -> PrecisionRecall:
    """Features (N, D) of as many real as generated samples.

    Raises:
        ValueError: different numbers of samples, or no k-th neighbour.
    """
    if len(real) != len(generated):
        raise ValueError(f"features: got {len(real)} real and {len(generated)} generated, wanted as many of both")
    if not 1 <= k < len(real):
        raise ValueError(f"k: got {k}, wanted 1 to {len(real) - 1}")
    return PrecisionRecall(_covered(generated, real, k), _covered(real, generated, k))


def diversity(features: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance between rows `first` and rows `second` (two draws of indices) of features (N, D)."""
    return float(np.linalg.norm(features[first].astype(np.float64) - features[second], axis=1).mean())


def diversity_pairs(rng: np.random.Generator, count: int, pairs: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Two independent draws of min(count - 1, pairs) indices without replacement."""
    size = min(count - 1, pairs)
    return rng.choice(count, size, replace=False), rng.choice(count, size, replace=False)


def mean_and_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and half the 95 % interval ``1.96 std / sqrt(n)`` over the last axis (population std)."""
    return values.mean(-1), 1.96 * values.std(-1) / np.sqrt(values.shape[-1])


def format_number(value: float) -> str:
    """Two decimals, or scientific notation where that would print 0.00."""
    plain = f"{value:.2f}"
    return f"{value:.2e}" if float(plain) == 0 else plain
