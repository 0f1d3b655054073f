"""One training run of the score network: network, optimiser, averaged weights, position; the step and the checkpoint."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pose_rt.models.gfpose import BODY_PARTS, GROUP, Preconditioned, ScoreNetwork
from training.common import checkpoint
from training.common.budget import Cosine
from training.common.ema import Ema

from .config import TIME_FOCUS, TrainConfig
from .mixture import fit_mixture
from .objective import score_matching_loss

Batch = tuple[Tensor, Tensor, Tensor]
"""Targets and conditions (B, 17, 3) in the data's unit, and the joints of each condition that are hidden besides (B, 17), 0 or 1."""


def make_optimizer(network: nn.Module, lr: float, weight_decay: float = 0.0) -> torch.optim.Adam:
    """Adam as published; with a weight decay, AdamW."""
    kind = torch.optim.AdamW if weight_decay > 0 else torch.optim.Adam
    return kind(network.parameters(), lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)


def optimizer_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, *, step: int, lr: float, warmup: int, clip: float
) -> float:
    """Back-propagate and step; the rate rises over `warmup` steps from 0 (the first step moves nothing). Returns the gradient's norm."""
    optimizer.zero_grad()
    loss.backward()
    for group in optimizer.param_groups:
        group["lr"] = warmed_up(lr, step, warmup)
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), clip) if clip > 0 else torch.zeros(())
    optimizer.step()
    return float(norm)


def warmed_up(lr: float, step: int, warmup: int) -> float:
    """The learning rate of a step counted from 0: ``lr min(step / warmup, 1)``."""
    return lr * min(step / warmup, 1.0) if warmup > 0 else lr


class Trainer:
    """State of a run and its step. All draws of a step are functions of (seed, step), so that a resumed run goes on exactly."""

    def __init__(self, config: TrainConfig, fabric: Fabric | None = None) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.fabric = fabric if fabric is not None else one_cpu()
        self.network = config.network()
        self.sde = config.diffusion()
        self.optimizer = make_optimizer(self.network, config.lr, config.weight_decay)
        # The wrapped forms move data, cast and synchronise; state is kept under the plain names of the network itself.
        self._forward, self._wrapped = self.fabric.setup(self.network, self.optimizer)
        self.ema = Ema(self.network, config.ema)
        self._cosine = Cosine()
        self.step, self.epoch, self.seconds = 0, 0, 0.0
        self._loss_sum, self._losses = 0.0, 0

    @property
    def share(self) -> float:
        """How much of the budget is spent, in [0, 1]."""
        c = self.config
        return min(self.seconds / (60 * c.minutes) if c.minutes is not None else self.epoch / c.epochs, 1.0)

    def learning_rate(self) -> float:
        c = self.config
        return c.lr * self._cosine.factor(self.share) if c.minutes is not None else warmed_up(c.lr, self.step, c.warmup)

    def fit(self, poses: np.ndarray) -> None:
        """Take the first guess of a preconditioned network from poses (N, 17, 3) in the data's unit."""
        assert isinstance(self.network, Preconditioned)
        self.network.take(fit_mixture(poses * self.config.data_scale, self.config.components))
        self.ema = Ema(self.network, self.config.ema)

    def train_step(self, batch: Batch) -> float:
        """One optimiser step; returns the loss.

        Every device gets the whole batch and its draws, and works on its own rows: the result does not depend on their number.
        """
        c, rank, devices = self.config, self.fabric.global_rank, self.fabric.world_size
        self.network.train()
        target, condition, hidden = batch
        count = len(target)
        draws = torch.Generator().manual_seed(c.seed * 1_000_000_007 + self.step)
        u, z = focused(torch.rand(count, generator=draws), c.time_focus), torch.randn(target.shape, generator=draws)
        group = GROUP if isinstance(self.network, Preconditioned) else 1
        groups = -(-count // group)
        shapes = ((groups,), (groups, len(BODY_PARTS)), (groups, target.shape[1], 1))
        masks = [
            torch.bernoulli(torch.full(s, r), generator=draws).repeat_interleave(group, 0)[:count]
            for s, r in zip(shapes, (c.hide_pose, c.hide_part, c.hide_joint), strict=True)
        ]
        masks[2] = torch.maximum(masks[2], hidden[..., None].to(masks[2]))
        torch.manual_seed(c.seed * 1_000_000_009 + self.step + 7919 * rank)  # dropout
        rows = torch.arange(count)[rank::devices]
        weight = len(rows) * devices / count
        if weight == 0:  # fewer rows than devices: this one joins in without a say
            rows = torch.zeros(1, dtype=torch.int64)
        target, condition, u, z, *masks = (self.fabric.to_device(part[rows]) for part in (target, condition, u, z, *masks))
        hide = iter(masks)
        scale = c.data_scale
        loss = weight * score_matching_loss(
            self._forward,
            self.sde,
            target * scale,
            condition * scale,
            u,
            z,
            hide=lambda shape: next(hide).reshape(shape),
            weight_by=self.network if isinstance(self.network, Preconditioned) else None,
        )
        whole = self.fabric.all_reduce(loss.detach()) if devices > 1 else loss.detach()
        self._wrapped.zero_grad()
        self.fabric.backward(loss)
        if c.clip > 0:
            nn.utils.clip_grad_norm_(self.network.parameters(), c.clip)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = self.learning_rate()
        self._wrapped.step()
        self.ema.update(self.network)
        self.step += 1
        value = float(torch.as_tensor(whole))
        self._loss_sum, self._losses = self._loss_sum + value, self._losses + 1
        return value

    def mean_loss(self) -> float:
        """Mean since it was last asked for; NaN where there were no steps."""
        mean = self._loss_sum / self._losses if self._losses else float("nan")
        self._loss_sum, self._losses = 0.0, 0
        return mean

    def averaged(self) -> ScoreNetwork | Preconditioned:
        """A copy of the network with the averaged weights, in eval mode."""
        copy = self.config.network().to(self.fabric.device)
        copy.load_state_dict(self.network.state_dict())
        self.ema.copy_to(copy)
        return copy.eval()

    def save(self, path: Path) -> None:
        if not self.fabric.is_global_zero:
            return
        values = {
            "kind": "gfpose", "config": self.config.to_dict(), "model": self.network.state_dict(), "weights": self.averaged().state_dict(),
            "ema": self.ema.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step, "epoch": self.epoch,
            "seconds": self.seconds, "loss": [self._loss_sum, self._losses],
        }  # fmt: skip
        checkpoint.save(path, values)

    def restore(self, path: Path) -> None:
        values: dict[str, Any] = checkpoint.load(path, ("model", "optimizer", "ema", "step", "seconds"))
        checkpoint.load_into(self.network, values["model"], path)
        self.optimizer.load_state_dict(values["optimizer"])
        self.ema.load_state_dict(values["ema"])
        self.step, self.epoch, self.seconds = int(values["step"]), int(values["epoch"]), float(values["seconds"])
        self._loss_sum, self._losses = values["loss"]


def focused(u: Tensor, share: float) -> Tensor:
    """Uniform draws in [0, 1) -> themselves, but `share` of them uniform in TIME_FOCUS."""
    low, high = TIME_FOCUS
    return torch.where(u < share, low + (high - low) * u / max(share, 1e-9), (u - share) / max(1 - share, 1e-9))


@lru_cache(maxsize=1)
def one_cpu() -> Fabric:
    """A single process on the CPU in float32."""
    return Fabric(accelerator="cpu", devices=1)
