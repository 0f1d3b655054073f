"""One run of one stage of DHMP: networks, optimiser, position; the step, the epoch, the checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pose_rt.errors import InputError
from pose_rt.models.dhmp import (
    Basis,
    DiverseSampling,
    FinishStep,
    MotionDCT,
    build_cvae,
    build_sampler,
    gumbel_coefficients,
)
from training.common import checkpoint

from .angles import Limits
from .config import TrainConfig, published_factor, timed_factor
from .networks import load_networks
from .objective import Draws, SeededDraws, Terms, scalars, stage1_objective, stage2_objective

Batch = tuple[Tensor, Tensor]
"""Clean motions (B, 3V, T) and observed histories (B, 3V, T_his)."""


class Batches(Protocol):
    """Where the batches of a run come from."""

    def epoch(self, number: int, step: int) -> Iterable[Batch]:
        """The batches of an epoch that begins after `step` optimiser steps; the same numbers always give the same batches."""
        ...


def descend(network: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, clip: float | None) -> None:
    """One optimiser step down the gradient of `loss`, the gradient's global norm limited to `clip`."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()


class Trainer:
    """Trains the CVAE (stage 1) or, with it frozen, the sampler (stage 2).

    Args:
        config: the run.
        limits: joint limits for the angle terms.
        parents: of the skeleton with its root at index 0.
        basis: of stage 1; stage 2 has that of its checkpoint.
        stage1: the checkpoint that stage 2 builds on.
    """

    def __init__(
        self, config: TrainConfig, limits: Limits, parents: Sequence[int], basis: Basis | None = None, stage1: Path | None = None
    ) -> None:
        torch.manual_seed(config.seed)
        model = config.model
        if config.stage == 2:
            if stage1 is None:
                raise ValueError("stage 2 needs the checkpoint of stage 1")
            trained = load_networks(stage1)
            if trained.dataset != config.dataset:
                raise InputError(
                    f"{stage1}: trained on {trained.dataset}, wanted {config.dataset}",
                    f"train it with: python -m training.dhmp.train --stage 1 --dataset {config.dataset}",
                )
            # The CVAE fixes every size it has; only the sampler's own sizes are free.
            model = replace(
                trained.config, sampler_hidden=model.sampler_hidden, base_dim=model.base_dim, bases=model.bases,
                temperature=model.temperature, blend_frames=model.blend_frames, blend_power=model.blend_power,
            )  # fmt: skip
            self.cvae, basis = trained.cvae.requires_grad_(False), trained.basis
            self.network: nn.Module = build_sampler(model)
        else:
            self.cvae = build_cvae(model)
            self.network = self.cvae
        self.config, self.basis = replace(config, model=model), basis
        self.limits, self.parents = limits, parents
        self.dct = MotionDCT(model.frames, model.dct_n, basis)
        self.finish = FinishStep(parents, model.future, model.blend_frames, model.blend_power)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate)
        self.epoch, self.step, self.seconds = 0, 0, 0.0

    def learning_rate(self) -> float:
        c = self.config
        if c.minutes is None:
            return c.learning_rate * published_factor(self.epoch, c.fixed, c.epochs)
        return c.learning_rate * timed_factor(self.seconds / (60 * c.minutes), c.fixed / c.epochs)

    def done(self) -> bool:
        c = self.config
        return self.seconds >= 60 * c.minutes if c.minutes is not None else self.epoch >= c.epochs

    def _objective(self, gt: Tensor, observed: Tensor, draws: Draws) -> Terms:
        c = self.config
        eps = draws.normal(gt.shape[0], c.model.z)
        if c.stage == 1:
            return stage1_objective(self.cvae, self.dct, gt, observed, eps, c.stage1, self.limits, self.parents)
        assert isinstance(self.network, DiverseSampling)
        coefficients = gumbel_coefficients(draws.uniform(gt.shape[0], c.k, c.model.bases), c.model.temperature)
        return stage2_objective(
            self.network, self.cvae, self.dct, self.finish, gt, observed, coefficients, eps, c.stage2, self.limits
        )  # fmt: skip

    def train_step(self, gt: Tensor, observed: Tensor, draws: Draws) -> dict[str, float]:
        """One optimiser step on clean motions (B, 3V, T) and observed histories (B, 3V, T_his); the loss terms."""
        terms = self._objective(gt, observed, draws)
        descend(self.network, self.optimiser, terms["all"], self.config.clip)
        return scalars(terms)

    def train_epoch(self, batches: Batches, draws: Draws | None = None) -> dict[str, float]:
        """One epoch; the mean of every loss term. Stops early when the time budget is spent.

        Args:
            draws: random numbers of the whole epoch; by default those of each step follow from the seed.
        """
        c = self.config
        self.network.train()
        rate = self.learning_rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        sums: dict[str, float] = {}
        count = 0
        started = time.monotonic()
        for gt, observed in batches.epoch(self.epoch, self.step):
            if len(gt) < 2:  # batch normalisation has nothing to average
                continue
            terms = self.train_step(gt, observed, draws or SeededDraws(c.seed * 1_000_003 + self.step))
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
            self.step += 1
            count += 1
            now = time.monotonic()
            self.seconds, started = self.seconds + now - started, now
            if c.minutes is not None and self.seconds >= 60 * c.minutes:
                break
        if count == 0:
            raise InputError("an epoch without a batch of at least two windows", "give more --samples or a smaller --batch")
        self.epoch += 1
        return {"lr": rate, **{name: value / count for name, value in sums.items()}}

    def state(self) -> dict[str, Any]:
        """Everything a resumed run or an exporter needs."""
        c = self.config
        run = {k: v for k, v in asdict(c).items() if k not in ("data", "out", "model")}
        values: dict[str, Any] = {
            "kind": f"dhmp-stage{c.stage}", "dataset": c.dataset, "config": c.model.to_dict(), "run": run,
            "model": self.network.state_dict(), "optimizer": self.optimiser.state_dict(), "epoch": self.epoch, "step": self.step,
            "seconds": self.seconds,
        }  # fmt: skip
        if self.basis is not None:
            values["basis"] = {name: value for name, value in asdict(self.basis).items() if value is not None}
        if c.stage == 2:
            values["cvae"] = self.cvae.state_dict()
        return values

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint of the same stage, data set and sizes.

        Raises:
            InputError: a checkpoint of something else.
        """
        values = checkpoint.load(path, ("kind", "config", "model", "optimizer"))
        wanted = (f"dhmp-stage{self.config.stage}", self.config.dataset)
        if (values["kind"], values.get("dataset", "cmu17")) != wanted:
            raise InputError(f"{path}: {values['kind']} of {values.get('dataset', 'cmu17')}, wanted {' of '.join(wanted)}")
        if values["config"] != self.config.model.to_dict():
            raise InputError(f"{path}: trained with other sizes ({values['config']})", "give the same --size as before")
        self.network.load_state_dict(values["model"])
        if "cvae" in values:
            self.cvae.load_state_dict(values["cvae"])
        self.optimiser.load_state_dict(values["optimizer"])
        self.epoch, self.step, self.seconds = values["epoch"], values["step"], values["seconds"]
