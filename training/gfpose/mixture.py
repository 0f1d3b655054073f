"""A mixture of Gaussians over whole poses by expectation maximisation (Dempster et al. 1977): the first guess of a small network."""

from __future__ import annotations

import numpy as np

from pose_rt.diffusion.guess import Mixture

_FLOOR = 0.005
"""Least standard deviation of a direction, of the largest: a skeleton has directions without any."""
_ROUNDS = 8


def fit_mixture(poses: np.ndarray, components: int) -> Mixture:
    """Fit K Gaussians, beginning with poses that face K ways.

    Args:
        poses: (N, 17, 3), x right, z away from the camera.
        components: K.

    Returns:
        float64 arrays over the 51 coordinates.
    """
    x = poses.reshape(len(poses), -1).astype(np.float64)
    across = poses[:, 4] - poses[:, 1] + poses[:, 11] - poses[:, 14]  # right to left, hips and shoulders
    way = np.arctan2(across[:, 2], across[:, 0])
    share = np.eye(components)[((way / (2 * np.pi) + 0.5) * components).astype(int) % components]
    floor = (_FLOOR * float(np.sqrt(x.var(0).sum()))) ** 2 * np.eye(x.shape[1])
    for _ in range(_ROUNDS):
        count = share.sum(0) + 1e-9
        mean = share.T @ x / count[:, None]
        covariance = np.stack([_scatter(x - mean[k], share[:, k]) / count[k] + floor for k in range(components)])
        log_weight = np.log(count / len(x))
        likelihood = np.stack([log_weight[k] + _log_density(x - mean[k], covariance[k]) for k in range(components)], 1)
        share = np.exp(likelihood - likelihood.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
    return Mixture(log_weight, mean, covariance)


def _scatter(centred: np.ndarray, weight: np.ndarray) -> np.ndarray:
    out: np.ndarray = (centred * weight[:, None]).T @ centred
    return out


def _log_density(centred: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Up to a constant: (N, D) -> (N,)."""
    lower = np.linalg.cholesky(covariance)
    out: np.ndarray = -0.5 * (np.linalg.solve(lower, centred.T) ** 2).sum(0) - np.log(np.diag(lower)).sum()
    return out
