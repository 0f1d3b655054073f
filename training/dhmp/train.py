"""Train DHMP: ``python -m training.dhmp.train --stage 1 --dataset cmu17 --data PATH --out DIR``, then ``--stage 2``.

Data sets: h36m and humaneva in the published files (with the published weights, sizes and schedule), and cmu17. Every batch is a
function of (seed, epoch, step), so a resumed run sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pose_rt.errors import InputError, PoseRtError, UsageError
from pose_rt.models.dhmp import PUBLISHED, DHMPConfig

from .config import REFERENCE_STAGE1, REFERENCE_STAGE2, SCHEDULES, Stage1Weights, Stage2Weights, TrainConfig
from .sources import DATASETS, open_source
from .trainer import Batches, Trainer

Settings = TypeVar("Settings", DHMPConfig, Stage1Weights, Stage2Weights)


@contextmanager
def _progress(total: int | None) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("training", total=total)
        yield lambda done, text: progress.update(task, completed=done, description=text)


def run(trainer: Trainer, batches: Batches) -> None:
    """Train to the end of the budget, with a checkpoint and a CSV line an epoch. Ctrl-C keeps the last finished epoch."""
    from training.common import checkpoint

    c = trainer.config
    c.out.mkdir(parents=True, exist_ok=True)
    target, log = c.out / f"stage{c.stage}.pt", c.out / f"stage{c.stage}.csv"
    total = c.epochs if c.minutes is None else round(60 * c.minutes)
    with _progress(total) as show:
        while not trainer.done():
            averages = trainer.train_epoch(batches)
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
    parser.add_argument("--dataset", choices=DATASETS, default="cmu17")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set's files")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--stage1", type=Path, help="checkpoint of stage 1 (default: OUT/stage1.pt)")
    parser.add_argument("--minutes", type=float, help="time budget; without it the schedule counts epochs")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--fixed", type=int, help="epochs before the decay of the learning rate")
    parser.add_argument("--samples", type=int, help="windows an epoch")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--k", type=int, help="futures an observation in stage 2")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="continue from OUT/stageN.pt")
    parser.add_argument("--size", nargs="*", default=[], metavar="NAME=VALUE", help="sizes of DHMPConfig, such as hidden=256 z=64")
    parser.add_argument("--weight", nargs="*", default=[], metavar="NAME=VALUE", help="of the losses, such as kl=0.5 hinge_m=25")
    return parser.parse_args(argv)


def overridden(base: Settings, items: Sequence[str]) -> Settings:
    """`base` with the fields of ``NAME=VALUE`` items replaced, each read as the type of the field's present value.

    Raises:
        UsageError: no such field, or a value of another type.
    """
    changes: dict[str, Any] = {}
    known = {f.name for f in fields(base)}
    for item in items:
        name, _, text = item.partition("=")
        if name not in known:
            raise UsageError(f"{item}: {type(base).__name__} has no field {name!r}", f"it has {', '.join(sorted(known))}")
        value = getattr(base, name)
        try:
            if isinstance(value, bool):
                changes[name] = {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            else:
                changes[name] = int(text) if isinstance(value, int) or value is None else float(text)
        except (KeyError, ValueError) as error:
            raise UsageError(f"{item}: {text!r} is no {type(value).__name__}") from error
    return replace(base, **changes)


def configure(a: argparse.Namespace) -> TrainConfig:
    """The run that the command line describes: the data set's own settings, with what was given in their place."""
    schedule = SCHEDULES[a.dataset, a.stage]
    sizes = PUBLISHED.get(a.dataset, DHMPConfig())
    first, second = REFERENCE_STAGE1.get(a.dataset, Stage1Weights()), REFERENCE_STAGE2.get(a.dataset, Stage2Weights())
    epochs = a.epochs or schedule.epochs
    fixed = a.fixed if a.fixed is not None else round(schedule.fixed * epochs / schedule.epochs)
    return TrainConfig(
        stage=a.stage, data=a.data, out=a.out, dataset=a.dataset, model=overridden(sizes, a.size), batch=a.batch or schedule.batch,
        samples_per_epoch=a.samples or schedule.samples, epochs=epochs, minutes=a.minutes, fixed=fixed, learning_rate=a.lr,
        clip=schedule.clip, k=a.k or schedule.k, seed=a.seed,
        stage1=overridden(first, a.weight) if a.stage == 1 else first, stage2=overridden(second, a.weight) if a.stage == 2 else second,
    )  # fmt: skip


def start(a: argparse.Namespace) -> tuple[Trainer, Batches]:
    """Everything that a run needs.

    Raises:
        InputError: missing data, or a checkpoint of another data set or size.
    """
    config = configure(a)
    resume = a.out / f"stage{a.stage}.pt"
    source = open_source(config)
    basis = source.basis(resume if a.resume else None) if a.stage == 1 else None
    trainer = Trainer(config, source.limits(), source.parents, basis, stage1=a.stage1 or a.out / "stage1.pt")
    if a.resume:
        if not resume.is_file():
            raise InputError(f"{resume}: nothing to resume", "leave --resume out for a first run")
        trainer.restore(resume)
    return trainer, source.batches()


def main(argv: list[str] | None = None) -> int:
    a = _arguments(argv)
    torch.set_num_threads(a.threads)
    try:
        trainer, batches = start(a)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    try:
        run(trainer, batches)
    except KeyboardInterrupt:
        print(f"stopped after epoch {trainer.epoch}; continue with --resume", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
