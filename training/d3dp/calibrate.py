"""How sure the lifter may claim to be: ``sigma^2 = a^2 + (b spread)^2`` for each joint, fitted to errors on held-out noise.

`sigma` is one standard deviation of one coordinate; `spread` is the root-mean-square over the coordinates of the hypotheses'
standard deviation. Calibrated means: 68 % of the coordinates' errors lie within sigma, 95 % within 1.96 sigma.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Sigma:
    """a (metres) and b, one value a joint."""

    a_m: list[float]
    b: list[float]

    def __call__(self, spread: np.ndarray) -> np.ndarray:
        """(..., J) spread in metres -> (..., J) sigma in metres."""
        return np.sqrt(np.square(self.a_m) + np.square(np.asarray(self.b) * spread))

    def to_dict(self) -> dict[str, list[float]]:
        return {name: [round(float(v), 5) for v in values] for name, values in asdict(self).items()}


def spread_of(hypotheses: np.ndarray) -> np.ndarray:
    """(B, H, F, J, 3) -> (B, F, J) metres; zero for a single hypothesis."""
    return np.sqrt(hypotheses.var(1).mean(-1))


def fit_sigma(error: np.ndarray, spread: np.ndarray) -> Sigma:
    """Fit per joint, then scale both terms so that 68.3 % of the coordinates lie within sigma.

    The fit is iterated weighted least squares of the squared error on the squared spread, the weights those of a Gaussian
    (1 / sigma^4); squared errors above the 99th percentile are cut so that gross failures do not decide the width.

    Args:
        error: (..., J, 3) metres.
        spread: (..., J) metres.
    """
    joints = error.shape[-2]
    e2 = np.square(error).mean(-1).reshape(-1, joints)
    s2 = np.square(spread).reshape(-1, joints)
    absolute = np.abs(error).reshape(-1, joints, 3)
    a, b = np.zeros(joints), np.zeros(joints)
    for j in range(joints):
        y, x = np.minimum(e2[:, j], np.quantile(e2[:, j], 0.99)), s2[:, j]
        a2, b2 = float(y.mean()), 0.0
        for _ in range(8):
            weight = 1.0 / np.square(a2 + b2 * x + 1e-8)
            mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
            variance = np.average(np.square(x - mean_x), weights=weight)
            b2 = max(float(np.average((x - mean_x) * (y - mean_y), weights=weight) / max(variance, 1e-14)), 0.0)
            a2 = max(float(mean_y - b2 * mean_x), 1e-6)
        sigma = np.sqrt(a2 + b2 * x)[:, None]
        factor = float(np.quantile(absolute[:, j] / sigma, 0.6827))
        a[j], b[j] = np.sqrt(a2) * factor, np.sqrt(b2) * factor
    a[0] = b[0] = 0.0  # the root is the origin
    return Sigma(a.tolist(), b.tolist())


def coverage(error: np.ndarray, sigma: np.ndarray) -> dict[str, float]:
    """Share of coordinates within one and 1.96 sigma, the root left out: error (..., J, 3), sigma (..., J)."""
    ratio = np.abs(error[..., 1:, :]) / sigma[..., 1:, None]
    return {"within_1_sigma": float((ratio < 1.0).mean()), "within_1.96_sigma": float((ratio < 1.96).mean())}
