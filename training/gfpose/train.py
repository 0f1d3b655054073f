"""Train the score network: ``python -m training.gfpose.train --data cmu17 --folder DIR --out runs/gfpose`` (or ``--data h36m``).

Human3.6M is trained by the published recipe, cmu17 by that of the bundled network. Ctrl-C (or `kill`) finishes the step and writes a
checkpoint; ``--resume`` continues it exactly. Several devices: ``--devices 4``, several machines: ``--nodes 2`` or `torchrun`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pose_rt.errors import InputError, PoseRtError
from pose_rt.models.gfpose import Preconditioned
from training.common import checkpoint
from training.common.run import RunLog, describe_run
from training.d3dp.train import Interrupt

from .config import TrainConfig, published
from .datasets import Material, prepare
from .trainer import Trainer


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(arguments)
    try:
        return _run(args)
    except PoseRtError as error:
        Console(stderr=True).print(str(error), markup=False)
        return error.exit_code
    except ValueError as error:  # a setting that the configuration refuses
        Console(stderr=True).print(str(error), markup=False)
        return 2


def _run(args: argparse.Namespace) -> int:
    torch.set_num_threads(args.threads)
    last = args.out / "last.pt"
    config = _config(args, last)
    fabric = Fabric(accelerator=args.accelerator, devices=args.devices, num_nodes=args.nodes, precision=args.precision)
    fabric.launch()
    interrupt = Interrupt()
    interrupt.install()
    material = prepare(args, config)
    trainer = Trainer(config, fabric)
    if args.resume:
        trainer.restore(last)
    elif isinstance(trainer.network, Preconditioned):
        trainer.fit(material.typical())
    if fabric.is_global_zero:
        args.out.mkdir(parents=True, exist_ok=True)
        describe_run(args.out, config.to_dict(), material.digests)
    _train(args, trainer, material, interrupt)
    return 130 if interrupt.asked else 0


def _train(args: argparse.Namespace, trainer: Trainer, material: Material, interrupt: Interrupt) -> None:
    config, out, fabric = trainer.config, args.out, trainer.fabric
    console = Console(quiet=not fabric.is_global_zero)
    console.print(f"{sum(p.numel() for p in trainer.network.parameters()):,} parameters; {config}")
    columns = ("step", "epoch", "seconds", "lr", "loss", *material.columns)
    log = RunLog(out, columns, append=args.resume, tensorboard=not args.no_tensorboard) if fabric.is_global_zero else None
    shown = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>5.1f} %"), TimeElapsedColumn())
    reported, evaluated = time.monotonic(), -1
    with Progress(*shown, console=console, refresh_per_second=1, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=1.0)
        progress.update(task, completed=trainer.share)

        def report() -> None:
            nonlocal reported, evaluated
            evaluated = trainer.step
            loss = trainer.mean_loss()
            if log is not None:
                measured = material.measure(trainer.averaged(), trainer.step)
                log.write((trainer.step, trainer.epoch, round(trainer.seconds, 1), trainer.learning_rate(), loss, *measured))
                trainer.save(out / "last.pt")
                _keep_best(trainer, out, measured[0])
                numbers = ", ".join(f"{name} {value:.1f}" for name, value in zip(material.columns, measured, strict=True))
                text = f"step {trainer.step}: loss {loss:.3f}, {numbers}"
                progress.update(task, completed=trainer.share, description=text)
                console.print(text, highlight=False)
            fabric.barrier()
            reported = time.monotonic()

        try:
            if args.evaluate_first and trainer.step == 0:
                report()
            for batch, ends_epoch in _batches(material, trainer):
                if trainer.share >= 1.0 or _asked(fabric, interrupt):
                    break
                started = time.monotonic()
                loss = trainer.train_step(batch)
                if math.isnan(loss):
                    raise InputError(f"the loss is not a number at step {trainer.step}", "lower --lr")
                trainer.seconds += time.monotonic() - started
                trainer.epoch += ends_epoch
                due = time.monotonic() - reported >= 60 * args.report_minutes
                if due or (ends_epoch and config.minutes is None and trainer.epoch % config.evaluate_every == 0):
                    report()
            if evaluated != trainer.step and not interrupt.asked:
                report()
            trainer.save(out / "last.pt")
        finally:
            if log is not None:
                log.close()
    if interrupt.asked:
        console.print("interrupted: the checkpoint is written; continue with --resume")


def _batches(material: Material, trainer: Trainer) -> Iterator[tuple[Any, bool]]:
    """Batches from the trainer's position on, each with whether it ends an epoch."""
    while True:
        step = trainer.step
        batch = material.batches(step)
        yield batch, (step + 1) % material.steps_per_epoch == 0


def _asked(fabric: Fabric, interrupt: Interrupt) -> bool:
    if fabric.world_size == 1:
        return interrupt.asked
    asked = fabric.all_reduce(torch.tensor(float(interrupt.asked), device=fabric.device), reduce_op="sum")
    return bool(torch.as_tensor(asked).item() > 0)


def _keep_best(trainer: Trainer, out: Path, error: float) -> None:
    """`best.pt` is the network with the smallest first measure so far."""
    note = out / "best.txt"
    best = float(note.read_text().split()[0]) if trainer.step and note.is_file() else math.inf
    if error < best:
        trainer.save(out / "best.pt")
        note.write_text(f"{error!r} after step {trainer.step}\n")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, wanted at least 1")
    return value


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Options that name the data, shared with evaluation."""
    parser.add_argument("--data", dest="dataset", choices=("cmu17", "h36m"), help="data set (default: cmu17)")
    parser.add_argument("--folder", type=Path, required=True, help="folder of the data set's files")
    parser.add_argument("--gt", action="store_true", help="h36m: conditions are the exact 2D, not the detected one")
    parser.add_argument("--sample", type=_positive, default=1, help="h36m: take every K-th item")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.gfpose.train", description=__doc__)
    add_data_options(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/gfpose"))
    parser.add_argument("--recipe", choices=("small", "published"), help="default: small for cmu17, published for h36m")
    parser.add_argument("--resume", action="store_true", help="continue OUT/last.pt; options given again replace its settings")
    parser.add_argument(
        "--flip", dest="mirror", action="store_true", default=None, help="h36m: mirror half of the poses with their conditions"
    )
    parser.add_argument(
        "--reference", action="store_true", default=None, help="with --flip: mirror pose and condition independently, as published"
    )
    parser.add_argument("--evaluate-steps", type=_positive, default=1000, help="h36m: sampler steps of the evaluation during training")
    parser.add_argument("--evaluate-first", action="store_true", help="measure the network before its first step")
    parser.add_argument("--no-tensorboard", action="store_true")
    parser.add_argument("--threads", type=_positive, default=2)
    parser.add_argument("--report-minutes", type=float, default=5.0)
    parser.add_argument("--accelerator", default="cpu", choices=("cpu", "cuda", "auto"))
    parser.add_argument("--devices", type=_positive, default=1)
    parser.add_argument("--nodes", type=_positive, default=1)
    parser.add_argument("--precision", default="32-true", choices=("32-true", "bf16-mixed"))
    for name, kind in (
        ("hidden", int), ("embed", int), ("blocks", int), ("embedding", str), ("dropout", float), ("hide-pose", float),
        ("hide-part", float), ("hide-joint", float), ("hide-below", float), ("condition-3d", float),
        ("deviation", float), ("known-deviation", float), ("time-focus", float), ("components", int), ("data-scale", float), ("sde", str),
        ("batch", int), ("lr", float), ("warmup", int), ("clip", float), ("ema", float), ("weight-decay", float), ("minutes", float),
        ("epochs", int), ("evaluate-every", int), ("seed", int),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind)
    return parser


def _config(args: argparse.Namespace, last: Path) -> TrainConfig:
    given = {f.name: getattr(args, f.name) for f in fields(TrainConfig) if getattr(args, f.name, None) is not None}
    if args.resume:
        return replace(TrainConfig.from_dict(checkpoint.load(last, ("config",))["config"]), **given)
    dataset = args.dataset or "cmu17"
    recipe = args.recipe or ("small" if dataset == "cmu17" else "published")
    if "epochs" in given and "minutes" not in given:
        given["minutes"] = None
    return replace(published(dataset) if recipe == "published" else TrainConfig(dataset=dataset), **given)


if __name__ == "__main__":
    sys.exit(main())
