"""How good and how different K predicted futures are: APD, ADE, FDE and their multimodal forms (metres in, metres out).

A motion is (T, ...): time first, everything else is one pose vector. The distance between poses is the L2 norm over the whole pose
vector (all joints and axes together), as in the literature of diverse motion prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

Divisor = Literal["mean", "reference"]


class DiversityScores(NamedTuple):
    """The five scores of one window, or their average over windows. Metres."""

    apd: float
    ade: float
    fde: float
    mmade: float
    mmfde: float


def _flat(motions: np.ndarray) -> np.ndarray:
    """(K, T, ...) -> (K, T, D) float64."""
    if motions.ndim < 3:
        raise ValueError(f"motions: got {motions.shape}, wanted (K, T, ...) with at least one pose axis")
    return motions.reshape(*motions.shape[:2], -1).astype(np.float64)


def pair_distances(futures: np.ndarray) -> np.ndarray:
    """L2 distances between the flattened futures (K, T, ...): (K (K - 1) / 2,), in row order of the upper triangle."""
    flat = _flat(futures).reshape(len(futures), -1)
    i, j = np.triu_indices(len(flat), 1)
    return np.linalg.norm(flat[i] - flat[j], axis=-1)


def cross_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """L2 distances between every future of `first` (K1, T, ...) and every one of `second` (K2, T, ...): (K1, K2)."""
    a, b = _flat(first).reshape(len(first), -1), _flat(second).reshape(len(second), -1)
    return np.linalg.norm(a[:, None] - b[None], axis=-1)


def apd(futures: np.ndarray) -> float:
    """Average pairwise distance between the flattened futures (K, T, ...); 0 for a single one."""
    return float(pair_distances(futures).mean()) if len(futures) > 1 else 0.0


def errors(futures: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance between poses of every future (K, T, ...) and the true one (T, ...): (K, T)."""
    return np.linalg.norm(_flat(futures) - _flat(truth[None]), axis=-1)


def ade(futures: np.ndarray, truth: np.ndarray) -> float:
    """Average displacement error: the smallest over the futures of the error averaged over time."""
    return float(errors(futures, truth).mean(-1).min())


def fde(futures: np.ndarray, truth: np.ndarray) -> float:
    """Final displacement error: the smallest over the futures of the error at the last frame."""
    return float(errors(futures, truth)[:, -1].min())


def mmade(futures: np.ndarray, truth: np.ndarray, similar: np.ndarray) -> float:
    """Mean of the ADE to the true future and to each of S similar ones (S, T, ...); with S = 0 it is the ADE."""
    return float(np.mean([ade(futures, truth), *(ade(futures, other) for other in similar)]))


def mmfde(futures: np.ndarray, truth: np.ndarray, similar: np.ndarray) -> float:
    """Mean of the FDE to the true future and to each of S similar ones (S, T, ...); with S = 0 it is the FDE."""
    return float(np.mean([fde(futures, truth), *(fde(futures, other) for other in similar)]))


def score_window(futures: np.ndarray, truth: np.ndarray, similar: np.ndarray) -> DiversityScores:
    """All five scores of K futures (K, T, ...) against the truth (T, ...) and S similar futures (S, T, ...)."""
    return DiversityScores(
        apd(futures), ade(futures, truth), fde(futures, truth), mmade(futures, truth, similar), mmfde(futures, truth, similar)
    )


def average(scores: Sequence[DiversityScores], windows: int | None = None, divisor: Divisor = "mean") -> DiversityScores:
    """Average over windows.

    Args:
        scores: of the windows that were evaluated.
        windows: number of all windows, including those skipped for want of similar futures; default len(scores).
        divisor: "mean" divides by the evaluated windows. "reference" is the published DHMP protocol: it skips windows without
            similar futures but divides by all, so its values are a few percent too small.

    Raises:
        ValueError: no window was evaluated, or fewer windows than scores.
    """
    count = len(scores) if windows is None else windows
    if not scores or count < len(scores):
        raise ValueError(f"scores: got {len(scores)} of {count} windows, wanted at least one and at most all")
    divide_by = len(scores) if divisor == "mean" else count
    return DiversityScores(*(float(np.sum(column) / divide_by) for column in zip(*scores, strict=True)))


def bone_lengths(joints: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Lengths (..., J - 1) of the bones of (..., J, 3); the root (parent -1) is joint 0."""
    return np.linalg.norm(joints[..., 1:, :] - joints[..., list(parents[1:]), :], axis=-1)


def bone_percent_error(futures: np.ndarray, truth: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """``|length - true length| / true length`` averaged over bones and frames, a fraction for each future.

    Args:
        futures: (K, T, J, 3).
        truth: (T, J, 3).

    Returns:
        (K,) fractions.
    """
    got, want = bone_lengths(futures.astype(np.float64), parents), bone_lengths(truth.astype(np.float64), parents)
    return (np.abs(got - want) / want).mean((-2, -1))
