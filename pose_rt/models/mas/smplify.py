"""SMPLify on 3D joints: the body whose joints lie nearest to a motion's, all frames as one batch (Bogo et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .smpl import Body, PosePrior

TORSO = (2, 1, 17, 16)
"""Right and left hip, right and left shoulder of the 22 joints."""
_BENT = ((52, 1.0), (55, -1.0), (9, -1.0), (12, -1.0))
"""Elbows and knees in the body pose, and the sign of the angle that over-extends them."""
_LR = 0.01
_SIGMA = 100.0
_STAGE1_ROUNDS, _STAGE1_ADAM = 10, 20


@dataclass(frozen=True)
class Weights:
    """Of the terms; they enter squared."""

    joints: float = 600.0
    prior: float = 4.78 * 1.5
    shape: float = 5.0
    bending: float = 15.2
    preserve: float = 0.0
    depth: float = 100.0


@dataclass
class Fit:
    """Per frame: `pose` (B, 72), `betas` (B, 10), `translation` (B, 1, 3) of the body."""

    pose: Tensor
    betas: Tensor
    translation: Tensor
    loss: float = 0.0


def geman_mcclure(x: Tensor, sigma: float = _SIGMA) -> Tensor:
    """``s^2 x^2 / (s^2 + x^2)``: quadratic near zero, bounded far away."""
    return sigma**2 * x**2 / (sigma**2 + x**2)


def bending(body_pose: Tensor) -> Tensor:
    """``exp(sign angle)^2`` of elbows and knees: (B, 69) -> (B, 4)."""
    index, sign = [i for i, _ in _BENT], body_pose.new_tensor([s for _, s in _BENT])
    return torch.exp(body_pose[:, index] * sign) ** 2


def torso_guess(model_joints: Tensor, joints: Tensor) -> Tensor:
    """(B, 3): from the body's hips and shoulders to the motion's, on average."""
    return (joints[:, list(TORSO)] - model_joints[:, list(TORSO)]).mean(1)


def torso_loss(model_joints: Tensor, joints: Tensor, translation: Tensor, guess: Tensor, weights: Weights) -> Tensor:
    """Squared distances of hips and shoulders, and of the translation from its guess (both (B, 1, 3))."""
    near = (joints[:, list(TORSO)] - (model_joints[:, list(TORSO)] + translation)) ** 2
    loss: Tensor = (near + weights.depth**2 * (translation - guess) ** 2).sum()
    return loss


def body_loss(
    body_pose: Tensor,
    start_pose: Tensor,
    betas: Tensor,
    model_joints: Tensor,
    translation: Tensor,
    joints: Tensor,
    confidence: Tensor,
    prior: PosePrior,
    weights: Weights,
) -> Tensor:
    """The sum over frames of all terms: joints, pose prior, bending, shape, nearness to the start pose."""
    error = geman_mcclure(model_joints + translation - joints).sum(-1)
    terms = weights.joints**2 * (confidence**2 * error).sum(-1)
    terms = terms + weights.prior**2 * prior(body_pose) + weights.bending**2 * bending(body_pose).sum(-1)
    terms = terms + weights.shape**2 * (betas**2).sum(-1) + weights.preserve**2 * ((body_pose - start_pose) ** 2).sum(-1)
    loss: Tensor = terms.sum()
    return loss


def fit(
    body: Body,
    prior: PosePrior,
    joints: Tensor,
    start_pose: Tensor,
    start_betas: Tensor,
    *,
    iterations: int = 150,
    confidence: Tensor | None = None,
    optimizer: Literal["lbfgs", "adam"] = "lbfgs",
    on_step: Callable[[int, int], None] | None = None,
) -> Fit:
    """Fit bodies to joints (B, 22, 3) in two stages: turn and place by hips and shoulders, then everything.

    Args:
        start_pose, start_betas: (B, 72) and (B, 10).
        iterations: outer and inner iterations of L-BFGS, or steps of Adam.
        confidence: (22,); default 1.
        on_step: told (done, total) after every outer iteration of the second stage.
    """
    count = joints.shape[1]
    confidence = joints.new_ones(count) if confidence is None else confidence
    turn, body_pose = start_pose[:, :3].clone().requires_grad_(), start_pose[:, 3:].clone()
    start, betas = body_pose.clone(), start_betas.clone()
    guess = torso_guess(body(start_pose, betas)[1], joints)[:, None].detach()
    translation = guess.clone().requires_grad_()

    def model_joints() -> Tensor:
        return body(torch.cat([turn, body_pose], 1), betas)[1][:, :count]

    def first() -> Tensor:
        return torso_loss(model_joints(), joints, translation, guess, Weights())

    rounds = _STAGE1_ROUNDS if optimizer == "lbfgs" else _STAGE1_ADAM
    _minimise(first, [turn, translation], rounds, iterations, optimizer, None)
    body_pose.requires_grad_()
    betas.requires_grad_()
    weights = Weights(preserve=5.0) if optimizer == "lbfgs" else Weights()

    def second(used: Weights = weights) -> Tensor:
        return body_loss(body_pose, start, betas, model_joints(), translation, joints, confidence, prior, used)

    _minimise(second, [body_pose, betas, turn, translation], iterations, iterations, optimizer, on_step)
    with torch.no_grad():
        final = float(second(Weights()))
    return Fit(torch.cat([turn, body_pose], 1).detach(), betas.detach(), translation.detach(), final)


def _minimise(
    loss: Callable[[], Tensor],
    parameters: list[Tensor],
    rounds: int,
    inner: int,
    kind: Literal["lbfgs", "adam"],
    on_step: Callable[[int, int], None] | None,
) -> None:
    optimizer: torch.optim.Optimizer
    if kind == "lbfgs":
        optimizer = torch.optim.LBFGS(parameters, lr=_LR, max_iter=inner, line_search_fn="strong_wolfe")
    else:
        optimizer = torch.optim.Adam(parameters, lr=_LR)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    for done in range(1, rounds + 1):
        optimizer.step(closure)
        if on_step is not None:
            on_step(done, rounds)
