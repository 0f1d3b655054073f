"""The spread that a heatmap predicts, and whether it is the error that is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose_rt.models.sampling_argmax import Decoded, HeadConfig

_KERNEL_VARIANCE = {"uniform": 1 / 12, "triangular": 1 / 6, "gaussian": 1.0}
_FLAT_GAUSSIAN_VARIANCE = 0.2
"""Of e ~ N(0, 1) weighed by exp(-2 e^2): a bell of variance 1 / (1 + 4)."""
_BINS = 12


def kernel_variance(config: HeadConfig) -> float:
    """Variance in cells^2 that the basis adds to each axis of the density; zero for the norms without a basis."""
    if not config.noisy:
        return 0.0
    if config.basis == "gaussian" and len(config.grid) == 2:
        return _FLAT_GAUSSIAN_VARIANCE
    return _KERNEL_VARIANCE[config.basis]


def spread_of(decoded: Decoded, config: HeadConfig) -> Tensor:
    """(B, K) cells: one standard deviation a coordinate of the mixture density, the root of the mean variance of x and y."""
    variances = []
    for p in decoded.marginals[:2]:
        cells = torch.arange(p.shape[-1], dtype=p.dtype, device=p.device)
        mean = (p * cells).sum(-1, keepdim=True)
        variances.append((p * (cells - mean) ** 2).sum(-1))
    return (torch.stack(variances).mean(0) + kernel_variance(config)).sqrt()


@dataclass(frozen=True)
class Calibration:
    """How a predicted spread and the error made go together.

    Attributes:
        rank_correlation: Spearman's, of spread and distance.
        within_1: share of coordinates within one spread (a calibrated Gaussian has 0.68).
        expected_error: mean over bins of |log2(error / spread)|: 0 = calibrated, 1 = off by a factor of two.
        factor: root mean square error over root mean square spread.
        bins: equally many keypoints each, by spread: mean `spread` and root mean square `error` a coordinate, px.
    """

    rank_correlation: float
    within_1: float
    expected_error: float
    factor: float
    bins: tuple[dict[str, float], ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def calibrate(offset: np.ndarray, spread: np.ndarray) -> Calibration:
    """From errors (N, 2) px and spreads (N,) px a coordinate.

    Raises:
        ValueError: fewer keypoints than bins.
    """
    if len(offset) < _BINS:
        raise ValueError(f"calibration: got {len(offset)} keypoints, wanted at least {_BINS}")
    offset, spread = offset.astype(np.float64), np.maximum(spread.astype(np.float64), 1e-6)
    distance = np.linalg.norm(offset, axis=-1)
    ranks = np.stack([np.argsort(np.argsort(values)).astype(np.float64) for values in (distance, spread)])
    bins = []
    for rows in np.array_split(np.argsort(spread, kind="stable"), _BINS):
        bins.append({"spread": float(np.sqrt((spread[rows] ** 2).mean())), "error": float(np.sqrt((offset[rows] ** 2).mean()))})
    return Calibration(
        float(np.asarray(np.corrcoef(ranks))[0, 1]), float((np.abs(offset) < spread[:, None]).mean()),
        float(np.mean([abs(np.log2(max(b["error"], 1e-6) / b["spread"])) for b in bins])),
        float(np.sqrt((offset**2).mean() / (spread**2).mean())), tuple(bins),
    )  # fmt: skip
