"""Train DHMP: ``python -m training.dhmp.train --stage 1 --dataset cmu17 --data PATH --out DIR``, then ``--stage 2``.

Every batch is a function of (seed, step), so a resumed run sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from pose_rt.core.skeleton import H36M17
from pose_rt.models.dhmp import (
    Basis,
    DHMPConfig,
    DiverseSampling,
    FinishStep,
    MotionDCT,
    build_cvae,
    build_sampler,
    gumbel_coefficients,
)
from training.common import checkpoint
from training.data.motion import load_clips

from .angles import LIMITS, load_limits
from .basis import fit_basis, prepare
from .config import Stage1Weights, Stage2Weights, TrainConfig, published_factor, timed_factor
from .data import Augmentation, WindowSampler, root_relative
from .networks import load_networks
from .objective import Terms, scalars, stage1_objective, stage2_objective

PARENTS = H36M17.parents or ()


def descend(network: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, clip: float | None) -> None:
    """One optimiser step down the gradient of `loss`, the gradient's global norm limited to `clip`."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()


class Trainer:
    """One run of one stage: networks, optimiser, position (epoch, step, seconds spent)."""

    def __init__(self, config: TrainConfig, basis: Basis | None = None, stage1: Path | None = None) -> None:
        torch.manual_seed(config.seed)
        model = config.model
        if config.stage == 2:
            if stage1 is None:
                raise ValueError("stage 2 needs the checkpoint of stage 1")
            trained = load_networks(stage1)
            # The CVAE fixes every size it has; only the sampler's own sizes are free.
            model = replace(
                trained.config, sampler_hidden=model.sampler_hidden, base_dim=model.base_dim, bases=model.bases,
                temperature=model.temperature, blend_frames=model.blend_frames,
            )  # fmt: skip
            self.cvae, basis = trained.cvae.requires_grad_(False), trained.basis
            self.network: nn.Module = build_sampler(model)
        else:
            self.cvae = build_cvae(model)
            self.network = self.cvae
        self.config = replace(config, model=model)
        self.basis = basis
        self.dct = MotionDCT(model.frames, model.dct_n, basis)
        self.finish = FinishStep(PARENTS, model.future, model.blend_frames)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate)
        self.limits = load_limits(LIMITS)
        self.epoch, self.step, self.seconds = 0, 0, 0.0

    def learning_rate(self) -> float:
        c = self.config
        if c.minutes is None:
            return c.learning_rate * published_factor(self.epoch, c.fixed, c.epochs)
        return c.learning_rate * timed_factor(self.seconds / (60 * c.minutes), c.fixed / c.epochs)

    def done(self) -> bool:
        c = self.config
        return self.seconds >= 60 * c.minutes if c.minutes is not None else self.epoch >= c.epochs

    def _objective(self, gt: Tensor, observed: Tensor, generator: torch.Generator) -> Terms:
        c = self.config
        eps = torch.randn(gt.shape[0], c.model.z, generator=generator)
        if c.stage == 1:
            return stage1_objective(self.cvae, self.dct, gt, observed, eps, c.stage1, self.limits, PARENTS)
        assert isinstance(self.network, DiverseSampling)
        uniform = torch.rand(gt.shape[0], c.k, c.model.bases, generator=generator)
        coefficients = gumbel_coefficients(uniform, c.model.temperature)
        return stage2_objective(
            self.network, self.cvae, self.dct, self.finish, gt, observed, coefficients, eps, c.stage2, self.limits
        )  # fmt: skip

    def train_step(self, gt: Tensor, observed: Tensor, generator: torch.Generator) -> dict[str, float]:
        """One optimiser step on clean motions (B, 3V, T) and observed histories (B, 3V, T_his); the loss terms."""
        terms = self._objective(gt, observed, generator)
        descend(self.network, self.optimiser, terms["all"], self.config.clip)
        return scalars(terms)

    def train_epoch(self, windows: WindowSampler) -> dict[str, float]:
        """One epoch; the mean of every loss term. Stops early when the time budget is spent."""
        c = self.config
        self.network.train()
        rate = self.learning_rate()
        sums: dict[str, float] = {}
        count = 0
        for _ in range(c.iterations):
            started = time.monotonic()
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            clean, observed = windows.batch(c.batch, self.step)
            generator = torch.Generator().manual_seed(c.seed * 1_000_003 + self.step)
            terms = self.train_step(*prepare(clean, observed, c.model.canonical), generator)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
            self.step += 1
            count += 1
            self.seconds += time.monotonic() - started
            if c.minutes is not None and self.seconds >= 60 * c.minutes:
                break
        self.epoch += 1
        return {"lr": rate, **{name: value / count for name, value in sums.items()}}

    def state(self) -> dict[str, Any]:
        """Everything a resumed run or an exporter needs."""
        c = self.config
        run = {k: v for k, v in asdict(c).items() if k not in ("data", "out", "model")}
        values: dict[str, Any] = {
            "kind": f"dhmp-stage{c.stage}", "config": c.model.to_dict(), "run": run, "model": self.network.state_dict(),
            "optimizer": self.optimiser.state_dict(), "epoch": self.epoch, "step": self.step, "seconds": self.seconds,
        }  # fmt: skip
        if self.basis is not None:
            values["basis"] = asdict(self.basis)
        if c.stage == 2:
            values["cvae"] = self.cvae.state_dict()
        return values

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint of the same stage and sizes."""
        values = checkpoint.load(path, ("config", "model", "optimizer"))
        self.network.load_state_dict(values["model"])
        if "cvae" in values:
            self.cvae.load_state_dict(values["cvae"])
        self.optimiser.load_state_dict(values["optimizer"])
        self.epoch, self.step, self.seconds = values["epoch"], values["step"], values["seconds"]


@contextmanager
def _progress(total: int | None) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("training", total=total)
        yield lambda done, text: progress.update(task, completed=done, description=text)


def run(trainer: Trainer, windows: WindowSampler) -> None:
    """Train to the end of the budget, with a checkpoint and a CSV line an epoch. Ctrl-C keeps the last finished epoch."""
    c = trainer.config
    c.out.mkdir(parents=True, exist_ok=True)
    target, log = c.out / f"stage{c.stage}.pt", c.out / f"stage{c.stage}.csv"
    total = c.epochs if c.minutes is None else round(60 * c.minutes)
    with _progress(total) as show:
        while not trainer.done():
            averages = trainer.train_epoch(windows)
            checkpoint.save(target, trainer.state())
            row = {"epoch": trainer.epoch, "step": trainer.step, "seconds": round(trainer.seconds, 1), **averages}
            fresh = not log.exists() or trainer.epoch == 1
            with log.open("w" if trainer.epoch == 1 else "a", newline="") as file:
                writer = csv.DictWriter(file, row)
                if fresh:
                    writer.writeheader()
                writer.writerow(row)
            show(trainer.epoch if c.minutes is None else round(trainer.seconds), f"epoch {trainer.epoch} loss {averages['all']:.3f}")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.dhmp.train", description="Train DHMP.")
    parser.add_argument("--stage", type=int, choices=(1, 2), required=True)
    parser.add_argument("--dataset", choices=("cmu17",), default="cmu17")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--stage1", type=Path, help="checkpoint of stage 1 (default: OUT/stage1.pt)")
    parser.add_argument("--minutes", type=float, help="time budget; without it the schedule counts epochs")
    parser.add_argument("--epochs", type=int, default=2000)
    parser.add_argument("--fixed", type=int, help="epochs before the decay (default: 30 %% of all)")
    parser.add_argument("--samples", type=int, default=5000, help="windows an epoch")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--k", type=int, default=TrainConfig.k, help="futures an observation in stage 2")
    parser.add_argument("--hinge", type=float, default=Stage2Weights.hinge_m, help="diversity threshold in metres")
    parser.add_argument("--hinge-weight", type=float, default=Stage2Weights.hinge)
    parser.add_argument("--kl", type=float, default=Stage1Weights.kl, help="weight of the KL term of stage 1")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="continue from OUT/stageN.pt")
    parser.add_argument("--size", nargs="*", default=[], metavar="NAME=VALUE", help="sizes of DHMPConfig, such as hidden=256 z=64")
    return parser.parse_args(argv)


def _size(name: str, text: str) -> Any:
    default = getattr(DHMPConfig, name, None)
    if isinstance(default, bool):
        return text.lower() in ("1", "true", "yes")
    return text if default is None else type(default)(text)


def main(argv: list[str] | None = None) -> int:
    a = _arguments(argv)
    torch.set_num_threads(a.threads)
    sizes = {k: _size(k, v) for k, _, v in (item.partition("=") for item in a.size)}
    config = TrainConfig(
        stage=a.stage, data=a.data, out=a.out, model=DHMPConfig.from_dict(sizes), batch=a.batch or (64 if a.stage == 1 else 16),
        samples_per_epoch=a.samples, epochs=a.epochs, minutes=a.minutes, fixed=a.fixed if a.fixed is not None else round(0.3 * a.epochs),
        learning_rate=a.lr, clip=100.0 if a.stage == 1 else None, k=a.k, seed=a.seed,
        stage1=Stage1Weights(kl=a.kl), stage2=Stage2Weights(hinge_m=a.hinge, hinge=a.hinge_weight),
    )  # fmt: skip
    windows = WindowSampler(
        root_relative(load_clips(a.data, "train")), config.model.history, config.model.future, Augmentation(), a.seed + 10 * a.stage
    )
    resume = a.out / f"stage{a.stage}.pt"
    basis = None
    if a.stage == 1:
        basis = load_networks(resume).basis if a.resume else fit_basis(windows, config.model, min(3000, a.samples))
    trainer = Trainer(config, basis, stage1=a.stage1 or a.out / "stage1.pt")
    if a.resume:
        trainer.restore(resume)
    try:
        run(trainer, windows)
    except KeyboardInterrupt:
        print(f"stopped after epoch {trainer.epoch}; continue with --resume", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
