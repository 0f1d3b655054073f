"""Denoising score matching (Song et al. 2021, equation 7) as GFPose uses it."""

from __future__ import annotations

from torch import Tensor

from pose_rt.diffusion.sde import Sde, rows
from pose_rt.models.gfpose import Bernoulli, Preconditioned, ScoreNetwork

TRAIN_EPS = 1e-5
"""Smallest time trained on: at 0 the standard deviation is 0 and the score infinite."""


def score_matching_loss(
    network: ScoreNetwork | Preconditioned,
    sde: Sde,
    x0: Tensor,
    condition: Tensor,
    u: Tensor,
    z: Tensor,
    *,
    hide: Bernoulli | None = None,
    mean_over_joints: bool = False,
    likelihood_weighting: bool = False,
    weight_by: Preconditioned | None = None,
) -> Tensor:
    """Half the squared error of the predicted noise, summed over a pose, averaged over the batch: ``1/2 sum (std score + z)^2``.

    Args:
        network: in training mode the condition is partly hidden, by `hide` or at the network's rates.
        sde: the forward diffusion.
        x0, condition: (B, 17, 3) poses and what is shown of them, in the network's units.
        u: (B,) uniform in [0, 1), the time.
        z: (B, 17, 3) standard normal.
        mean_over_joints: the mean over the 51 values in place of half their sum.
        weight_by: weight each time so that the network's own answer has the same weight at all of them.
        likelihood_weighting: weight ``g(t)^2`` on the score instead of ``std^2`` (a bound on the likelihood).
    """
    t = u * (sde.horizon - TRAIN_EPS) + TRAIN_EPS
    mean, std = sde.marginal(x0, t)
    noisy = mean + rows(std, x0) * z
    score = sde.score(network(noisy, sde.label(t), condition, hide=hide), t)
    if likelihood_weighting:
        g = sde.forward(x0, t)[1]
        squared, weight = (score + z / rows(std, x0)) ** 2, g**2
    else:
        squared, weight = (score * rows(std, x0) + z) ** 2, 1.0
    per_pose = squared.flatten(1).mean(1) if mean_over_joints else 0.5 * squared.flatten(1).sum(1)
    if weight_by is not None:
        weight = weight_by.weight(t)
    return (per_pose * weight).mean()
