"""The losses of both stages of DHMP. B motions, K futures each, 3V channels (joint-major), T = history + future frames, metres.

Sums are plain sums; B is always the first axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def recons(predicted: Tensor, gt: Tensor, history: int) -> Tensor:
    """Squared error summed over the future frames and channels of (B, 3V, T), divided by B."""
    return (predicted[..., history:] - gt[..., history:]).square().sum() / gt.shape[0]


def first_step(predicted: Tensor, gt: Tensor, history: int) -> Tensor:
    """Squared jump from the last observed frame of `gt` to the first predicted one (the `vec` loss), summed, divided by B."""
    return (gt[..., history - 1] - predicted[..., history]).square().sum() / gt.shape[0]


def recover_history(predicted: Tensor, gt: Tensor, history: int) -> Tensor:
    """Squared error summed over the channels of the observed frames, averaged over everything else.

    `predicted` is (B, 3V, T), or (B, K, 3V, T) against the same gt (B, 3V, T).
    """
    target = gt if predicted.ndim == gt.ndim else gt.unsqueeze(1)
    return (predicted[..., :history] - target[..., :history]).square().sum(-2).mean()


def bone_lengths(motion: Tensor, parents: Sequence[int]) -> Tensor:
    """Lengths (..., V, T) of the bones of (..., 3V, T); `parents` include the root at index 0, which lies at zero."""
    nodes = motion.unflatten(-2, (-1, 3)).unbind(-3)
    bones = [node if parent == 0 else node - nodes[parent - 1] for node, parent in zip(nodes, parents[1:], strict=True)]
    return torch.stack(bones, dim=-3).norm(dim=-2)


def limb_length(predicted: Tensor, gt: Tensor, parents: Sequence[int]) -> Tensor:
    """Squared difference to the bone lengths of frame 0 of `gt`, summed over the bones, averaged over motions and frames."""
    wanted = bone_lengths(gt[..., :1], parents)
    if predicted.ndim > gt.ndim:
        wanted = wanted.unsqueeze(1)
    return (bone_lengths(predicted, parents) - wanted).square().sum(-2).mean()


def kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, I)), averaged over the rows."""
    return -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum() / mean.shape[0]


def recons_best(futures: Tensor, gt: Tensor) -> Tensor:
    """For each motion the smallest squared error (summed over channels and time) of its K futures, averaged over B (ADE-like).

    Args:
        futures: (B, K, 3V, T_pred).
        gt: (B, 3V, T_pred).
    """
    return (futures - gt.unsqueeze(1)).square().sum((-2, -1)).amin(1).mean()


def recons_best_multimodal(futures: Tensor, similar: Tensor) -> Tensor:
    """As `recons_best` for each of S pseudo futures (B, S, 3V, T_pred); all-zero ones do not count; 0 if none does."""
    error = (futures.unsqueeze(2) - similar.unsqueeze(1)).square().sum((-2, -1)).amin(1)
    used = similar.abs().sum((-2, -1)) > 1e-6
    return error[used].mean() if bool(used.any()) else error.new_zeros(())


def pair_distances(futures: Tensor) -> Tensor:
    """L2 distances (B, K (K - 1) / 2) between the flattened futures of (B, K, ...), pairs in row order of the upper triangle."""
    flat = futures.flatten(2)
    i, j = torch.triu_indices(flat.shape[1], flat.shape[1], offset=1)
    return (flat[:, i] - flat[:, j]).norm(dim=-1)


def cross_distances(first: Tensor, second: Tensor) -> Tensor:
    """L2 distances (B, K1 K2) between every flattened future of `first` and every one of `second`, `first` varying slowest."""
    difference = first.flatten(2).unsqueeze(2) - second.flatten(2).unsqueeze(1)
    return difference.norm(dim=-1).flatten(1)


def hinge_diversity(futures: Tensor, threshold: float, group: int | None = None) -> Tensor:
    """``mean relu(threshold - d)`` over all unordered pairs of the K futures and over B.

    `group` names the published implementation, which works in groups and drops the last ``K mod group`` futures.
    """
    if group is not None:
        futures = futures[:, : futures.shape[1] // group * group]
    return torch.relu(threshold - pair_distances(futures)).mean()


def energy(distances: Tensor, scale: float) -> Tensor:
    """DLow's repulsion ``exp(-d^2 / scale)`` of each pair."""
    return torch.exp(-distances.square() / scale)


def hinge_energy(distances: Tensor, threshold: float, scale: float) -> Tensor:
    """The hinged variant ``exp(relu(threshold - d^2) / scale)`` of each pair."""
    return torch.exp(torch.relu(threshold - distances.square()) / scale)
