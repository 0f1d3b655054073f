"""How like the real motions a set of generated ones is: Frechet distance, recognised actions, how much they move."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Gaussian(NamedTuple):
    """Mean (D,) and covariance (D, D), divisor n - 1."""

    mean: np.ndarray
    covariance: np.ndarray


def gaussian(features: np.ndarray) -> Gaussian:
    """The normal distribution with the first two moments of `features` (n, D), n > 1."""
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features: got {features.shape}, wanted (n, D) with at least two rows")
    return Gaussian(np.mean(features, axis=0), np.atleast_2d(np.cov(features, rowvar=False)))


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T


def frechet(first: Gaussian, second: Gaussian) -> float:
    """Frechet distance ``|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)`` between two normal distributions.

    The trace of the root is that of ``(S1^(1/2) S2 S1^(1/2))^(1/2)``, which is symmetric: no complex numbers, and covariances without
    full rank need no care.
    """
    root = _root(np.asarray(first.covariance, np.float64))
    inner = root @ np.asarray(second.covariance, np.float64) @ root
    trace = np.sqrt(np.clip(np.linalg.eigvalsh((inner + inner.T) / 2), 0.0, None)).sum()
    difference = first.mean - second.mean
    return float(difference @ difference + np.trace(first.covariance) + np.trace(second.covariance) - 2 * trace)


def fid(real: np.ndarray, generated: np.ndarray) -> float:
    """Frechet distance between the features (n, D) of real and (m, D) of generated motions (FID, Heusel et al. 2017)."""
    return frechet(gaussian(real), gaussian(generated))


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(classes, classes) int64 counts, row = label, column = prediction."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels, predicted), 1)
    return table


def speeds(motion: np.ndarray, rate_hz: float) -> np.ndarray:
    """Mean speed of the joints, m/s: (..., T, J, 3) -> (..., T - 1)."""
    return rate_hz * np.linalg.norm(np.diff(motion, axis=-3), axis=-1).mean(-1)


def cumulative_motion_difference(predicted: np.ndarray, real: float) -> float:
    """``CMD = sum_t (T - t) |m_t - m|``, t = 1..T: how far the motion over time is from the average real one (BeLFusion, ICCV 2023).

    Early differences count more, since they carry on.

    Args:
        predicted: (T,) average motion at each step of the predictions of one action.
        real: average motion of the real futures of that action, in the same unit.
    """
    steps = len(predicted)
    return float(((steps - np.arange(steps)) * np.abs(predicted - real)).sum())
