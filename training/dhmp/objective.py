"""Total losses of the two stages for one batch. Tensors are (B, 3V, T) channels, joint-major."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from pose_rt.models.dhmp import CVAE, DiverseSampling, FinishStep, MotionDCT

from . import losses
from .angles import Limits, valid_angle
from .config import Stage1Weights, Stage2Weights

Terms = dict[str, Tensor]


class Draws(Protocol):
    """Random numbers of a step, in the order in which they are asked for."""

    def normal(self, *shape: int) -> Tensor: ...

    def uniform(self, *shape: int) -> Tensor: ...


class SeededDraws:
    """Draws that a seed decides."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)


def stage1_objective(
    cvae: CVAE,
    dct: MotionDCT,
    gt: Tensor,
    observed: Tensor,
    eps: Tensor,
    weights: Stage1Weights,
    limits: Limits,
    parents: Sequence[int],
) -> Terms:
    """Every term and the total ("all") of the CVAE.

    Args:
        gt: (B, 3V, T) clean motions.
        observed: (B, 3V, T_his) what the condition is made of: the history of `gt`, possibly with noise.
        eps: (B, z).
    """
    history = observed.shape[-1]
    out, mean, logvar = cvae(dct.condition(observed), dct.encode(gt), eps)
    motion = dct.decode(out)
    future = motion[..., history :: weights.angle_every].transpose(1, 2).flatten(0, 1)
    terms = {
        "recons": losses.recons(motion, gt, history),
        "kl": losses.kl(mean, logvar),
        "vec": losses.first_step(motion, gt, history),
        "his": losses.recover_history(motion, gt, history),
        "limblen": losses.limb_length(motion, gt, parents),
        "angle": valid_angle(future, limits),
    }
    recovered = terms["his"] + weights.history if weights.history_added else terms["his"] * weights.history
    total = terms["recons"] * weights.recons + terms["vec"] * weights.first_step + terms["kl"] * weights.kl
    total = total + recovered + terms["limblen"] * weights.limb + terms["angle"] * weights.angle
    return {"all": total, **terms}


def decode_futures(cvae: CVAE, dct: MotionDCT, condition: Tensor, z: Tensor) -> Tensor:
    """Whole motions (B, K, 3V, T) of latent codes `z` (B K, z) under `condition` (B, V, 3 dct_n)."""
    k = z.shape[0] // condition.shape[0]
    motion = dct.decode(cvae.inference(condition.repeat_interleave(k, dim=0), z))
    return motion.unflatten(0, (-1, k))


def stage2_objective(
    sampler: DiverseSampling,
    cvae: CVAE,
    dct: MotionDCT,
    finish: FinishStep | None,
    gt: Tensor,
    observed: Tensor,
    coefficients: Tensor,
    eps: Tensor,
    weights: Stage2Weights,
    limits: Limits,
) -> Terms:
    """Every term and the total ("all") of the sampler; the CVAE is frozen.

    Args:
        gt, observed: as in `stage1_objective`.
        coefficients: (B, K, M).
        eps: (B, z), one draw an observation, shared by its K futures.
        finish: used when `weights.finished`.
        limits: used when `weights.angle` is not 0.
    """
    history = observed.shape[-1]
    condition = dct.condition(observed)
    k = coefficients.shape[1]
    z, mean, logvar = sampler(condition, coefficients, eps.repeat_interleave(k, dim=0))
    motion = decode_futures(cvae, dct, condition, z)
    if weights.finished and finish is not None:
        nodes = observed.unflatten(1, (-1, 3)).permute(0, 3, 1, 2)
        futures = finish(motion, dct.near(observed), nodes).permute(0, 1, 3, 4, 2).flatten(2, 3)
    else:
        futures = motion[..., history:]
    terms = {
        "ade": losses.recons_best(futures, gt[..., history:]),
        "hinge": losses.hinge_diversity(futures, weights.hinge_m, weights.hinge_group),
        "kl": losses.kl(mean, logvar),
    }
    total = terms["ade"] * weights.best + terms["hinge"] * weights.hinge + terms["kl"] * weights.kl
    if weights.angle > 0:
        poses = futures[..., :: weights.angle_every].transpose(-1, -2).flatten(0, -2)
        terms["angle"] = valid_angle(poses, limits)
        total = total + terms["angle"] * weights.angle
    return {"all": total, **terms}


def scalars(terms: Terms) -> dict[str, float]:
    """Detached numbers of the terms."""
    return {name: float(torch.as_tensor(value).detach()) for name, value in terms.items()}
