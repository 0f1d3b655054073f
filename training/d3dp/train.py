"""Train the lifter: ``python -m training.d3dp.train --dataset cmu17 --data PATH --out runs/d3dp --minutes 95``.

Ctrl-C (or `kill`) writes a checkpoint; ``--resume`` continues it exactly: every batch is a function of (seed, step).
"""

from __future__ import annotations

import argparse
import csv
import signal
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from training.common import checkpoint
from training.data.motion import load_clips

from .config import TrainConfig, published
from .quick import quick_evaluation, quick_set
from .trainer import BatchStream, Trainer

_LOG = ("step", "seconds", "lr", "loss_mm", "mpjpe_mm", "pa_mpjpe_mm", "pa_newest_mm")


def fit(trainer: Trainer, batches: BatchStream, report: Callable[[float, bool], None], report_every_s: float) -> None:
    """Train until the budget is spent. `report` gets the mean loss since the last report and whether it is the last one."""
    total, count, reported = 0.0, 0, time.monotonic()
    while trainer.share < 1.0:
        started = time.monotonic()
        loss = trainer.train_step(*batches(trainer.step))
        if loss != loss:
            raise RuntimeError(f"the loss is not a number at step {trainer.step}; lower --lr")
        total, count = total + loss, count + 1
        now = time.monotonic()
        trainer.seconds += now - started
        if now - reported >= report_every_s or trainer.share >= 1.0:
            report(total / count, trainer.share >= 1.0)
            total, count, reported = 0.0, 0, time.monotonic()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    args = _parser().parse_args(arguments)
    torch.set_num_threads(args.threads)
    # A run in the background ignores Ctrl-C: `kill PID` stops it the same way. An explicit handler also undoes an inherited "ignore".
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console()
    args.out.mkdir(parents=True, exist_ok=True)
    last = args.out / "last.pt"
    config = _resumed_config(args, last) if args.resume else _config(args)
    trainer = Trainer(config)
    if args.resume:
        trainer.restore(last)
    elif args.init is not None:
        values = checkpoint.load(args.init, ("weights",))
        trainer.network.load_state_dict(values["weights"])
    batches = BatchStream(load_clips(args.data, "train"), config)
    windows = quick_set(load_clips(args.data, "test"), config)
    console.print(f"{sum(p.numel() for p in trainer.network.parameters()):,} parameters; {config}")

    log = args.out / "log.csv"
    if not args.resume or not log.exists():
        log.write_text(",".join(_LOG) + "\n")

    with Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>5.1f} %"), TimeElapsedColumn(),
        console=console, refresh_per_second=1,
    ) as progress:  # fmt: skip
        task = progress.add_task("training", total=1.0)
        progress.update(task, completed=trainer.share)

        def report(loss: float, final: bool) -> None:
            errors = quick_evaluation(trainer.averaged(), config, windows)
            with log.open("a", newline="") as file:
                row = (trainer.step, round(trainer.seconds, 1), trainer.learning_rate(), 1000 * config.unit_m * loss, *errors)
                csv.writer(file).writerow([f"{value:.6g}" for value in row])
            trainer.save(last)
            text = f"step {trainer.step}: loss {1000 * config.unit_m * loss:.1f} mm, test MPJPE {errors[0]:.1f}, PA {errors[1]:.1f} mm"
            progress.update(task, completed=trainer.share, description=text)
            if not console.is_terminal or final:
                console.print(text)

        try:
            fit(trainer, batches, report, 60 * args.report_minutes)
        except KeyboardInterrupt:
            console.print("interrupted: writing the checkpoint; continue with --resume")
        finally:
            trainer.save(last)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.d3dp.train", description="Train the D3DP lifter.")
    parser.add_argument("--dataset", choices=("cmu17",), default="cmu17")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.npz and test.npz")
    parser.add_argument("--out", type=Path, default=Path("runs/d3dp"))
    parser.add_argument("--recipe", choices=("small", "published"), default="small")
    parser.add_argument("--resume", action="store_true", help="continue OUT/last.pt; options given again replace its settings")
    parser.add_argument("--init", type=Path, help="start from the averaged weights of this checkpoint")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--report-minutes", type=float, default=5.0)
    for name, kind in (
        ("frames", int), ("width", int), ("depth", int), ("heads", int), ("batch", int), ("steps", int), ("seed", int),
        ("lr", float), ("weight-decay", float), ("minutes", float), ("ema", float), ("drop-path", float), ("optimizer", str),
        ("rate-hz", float), ("unit-m", float),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind)
    return parser


def _given(args: argparse.Namespace) -> dict[str, Any]:
    return {f.name: getattr(args, f.name) for f in fields(TrainConfig) if getattr(args, f.name, None) is not None}


def _resumed_config(args: argparse.Namespace, last: Path) -> TrainConfig:
    return replace(TrainConfig.from_dict(checkpoint.load(last, ("config",))["config"]), **_given(args))


def _config(args: argparse.Namespace) -> TrainConfig:
    base = published() if args.recipe == "published" else TrainConfig()
    given = _given(args)
    if "steps" in given and "minutes" not in given:
        given["minutes"] = None
    return replace(base, **given)


if __name__ == "__main__":
    main()
