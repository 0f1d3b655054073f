"""Training material of the published recipe: batches of Human3.6M by number, and its evaluation every few epochs."""

from __future__ import annotations

import argparse
from functools import lru_cache

import numpy as np
import torch

from pose_rt.models.gfpose import Preconditioned, ScoreNetwork

from .config import TrainConfig
from .datasets import Material
from .h36m import load
from .metrics import camera_poses, hypothesis_errors, over_actions
from .sampling import Sampler, sample
from .trainer import Batch

EVALUATED = 640
"""Every so many test poses are looked at during training."""


def material(args: argparse.Namespace, config: TrainConfig) -> Material:
    """Load both splits."""
    train = load(args.folder, "train", exact_2d=args.gt, sample=args.sample)
    test = load(args.folder, "test", exact_2d=args.gt, sample=EVALUATED)
    per_epoch = max(1, -(-len(train) // config.batch))
    condition, _ = test.pairs(np.arange(len(test)))

    @lru_cache(maxsize=1)
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng((config.seed, epoch)).permutation(len(train))

    def batches(step: int) -> Batch:
        epoch, place = divmod(step, per_epoch)
        items = order(epoch)[place * config.batch : (place + 1) * config.batch]
        u = np.random.default_rng((config.seed, 1, step)).random((len(items), 3))
        shown, target = train.pairs(items, u, condition_3d=config.condition_3d, mirror=config.mirror, reference=config.reference)
        return torch.from_numpy(target), torch.from_numpy(shown), torch.zeros(target.shape[:2])

    def measure(network: ScoreNetwork | Preconditioned, step: int) -> tuple[float, ...]:
        """Protocol 1 and 2 of one hypothesis, as published: 1000 steps of `--pflow`."""
        generator = torch.Generator().manual_seed(config.seed)
        device = next(network.parameters()).device
        given = torch.from_numpy(condition).to(device)
        poses = sample(network, config, "est", given, Sampler(steps=args.evaluate_steps, pflow=True), generator).cpu().numpy()
        predicted = camera_poses(test, poses[:, None])
        errors = (hypothesis_errors(predicted, test.camera_mm, protocol=p)[:, 0] for p in (1, 2))
        first, second = (over_actions(error, test.action) for error in errors)
        return first, second

    digests = {**(train.digests or {}), **(test.digests or {})}
    return Material(batches, per_epoch, digests, ("mpjpe_mm", "pa_mpjpe_mm"), measure, lambda: train.pairs(np.arange(len(train)))[1])
