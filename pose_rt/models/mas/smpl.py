"""SMPL-like bodies: shape, joints, posed joints and skin, from the file that the body's publisher hands out (Loper et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

JOINTS = 24
SHAPES = 10


def rotation_matrices(turns: Tensor) -> Tensor:
    """Rodrigues: axis times angle (..., 3) -> (..., 3, 3)."""
    angle = torch.linalg.vector_norm(turns + 1e-8, dim=-1, keepdim=True)
    x, y, z = (turns / angle).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*turns.shape[:-1], 3, 3)
    sine, cosine = torch.sin(angle)[..., None], torch.cos(angle)[..., None]
    return torch.eye(3, dtype=turns.dtype) + sine * cross + (1 - cosine) * (cross @ cross)


@dataclass(frozen=True)
class Body:
    """A body model.

    Attributes:
        template: (N, 3) vertices at rest, m.
        shape_dirs: (N, 3, 10) change a shape coefficient makes.
        joint_regressor: (24, N) joints at rest from vertices; None where the vertices are the joints.
        skin: (N, 24) weights of the joints on each vertex.
        parents: of the 24 joints, -1 for the root.
        pose_dirs: (N, 3, 207) correction by the rotations; None for none.
        faces: (F, 3).
    """

    template: Tensor
    shape_dirs: Tensor
    joint_regressor: Tensor | None
    skin: Tensor
    parents: tuple[int, ...]
    pose_dirs: Tensor | None
    faces: Tensor

    def __call__(self, pose: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices (B, N, 3) and joints (B, 24, 3) of poses (B, 72) and shapes (B, 10)."""
        rest = self.template + torch.einsum("nck,bk->bnc", self.shape_dirs, betas)
        joints = rest if self.joint_regressor is None else torch.einsum("jn,bnc->bjc", self.joint_regressor, rest)
        local = rotation_matrices(pose.reshape(-1, JOINTS, 3))
        turns, places = [local[:, 0]], [joints[:, 0]]
        for j, parent in enumerate(self.parents[1:], 1):
            turns.append(turns[parent] @ local[:, j])
            places.append(places[parent] + (turns[parent] @ (joints[:, j] - joints[:, parent])[..., None])[..., 0])
        turn, place = torch.stack(turns, 1), torch.stack(places, 1)
        if self.joint_regressor is None:
            return place, place
        if self.pose_dirs is not None:
            bends = (local[:, 1:] - torch.eye(3, dtype=local.dtype)).flatten(1)
            rest = rest + torch.einsum("nck,bk->bnc", self.pose_dirs, bends)
        shift = place - torch.einsum("bjxy,bjy->bjx", turn, joints)
        blended, moved = torch.einsum("nj,bjxy->bnxy", self.skin, turn), torch.einsum("nj,bjx->bnx", self.skin, shift)
        return torch.einsum("bnxy,bny->bnx", blended, rest) + moved, place


@dataclass(frozen=True)
class PosePrior:
    """A mixture of Gaussians over the 69 numbers of a body pose: means (K, 69), precisions (K, 69, 69), constants (K,)."""

    means: Tensor
    precisions: Tensor
    constants: Tensor

    def __call__(self, body_pose: Tensor) -> Tensor:
        """``min_k (x - m)^T P (x - m) / 2 + c_k``: (B, 69) -> (B,)."""
        away = body_pose[:, None] - self.means
        return (0.5 * torch.einsum("bki,kij,bkj->bk", away, self.precisions, away) + self.constants).min(1).values


def make_prior(means: Tensor, covariances: Tensor, weights: Tensor) -> PosePrior:
    """``c_k = -log(w_k / ((2 pi)^(d/2) sqrt(det_k) / min sqrt(det)))``; d = 69."""
    log_root = 0.5 * torch.linalg.slogdet(covariances).logabsdet
    relative = log_root - log_root.min()
    constant = 0.5 * means.shape[1] * torch.log(torch.tensor(2 * torch.pi, dtype=means.dtype)) + relative - torch.log(weights)
    return PosePrior(means, torch.linalg.inv(covariances), constant)
