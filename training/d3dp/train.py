"""Train a lifter: ``python -m training.d3dp.train --dataset h36m|3dhp|cmu17 --data DIR --out runs/d3dp``.

Human3.6M and MPI-INF-3DHP are trained by the published recipe, cmu17 by that of the small lifter for a CPU (``--recipe``). Ctrl-C (or
`kill`) finishes the step and writes a checkpoint; ``--resume`` continues it exactly: every batch is a function of (seed, step).
Several devices: ``--devices 4``, several machines: ``--nodes 2`` or `torchrun`.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pose_rt.errors import InputError, PoseRtError
from training.common import checkpoint
from training.common.run import RunLog, describe_run

from .config import TrainConfig, published
from .datasets import Batches, Material, prepare
from .trainer import Trainer


class Interrupt:
    """Remembers that somebody asked to stop. The step in work is finished first; a second request stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        # A run in the background ignores Ctrl-C: `kill PID` stops it the same way. An explicit handler also undoes an inherited "ignore".
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def agreed(fabric: Fabric, value: float) -> float:
    """The mean over all processes: what they decide by must be the same number in each, or one waits for another for ever."""
    if fabric.world_size == 1:
        return value
    return float(torch.as_tensor(fabric.all_reduce(torch.tensor(value, device=fabric.device))).item())


def fit(
    trainer: Trainer, batches: Batches, report: Callable[[bool], None], due: Callable[[], bool], stop: Callable[[], bool] = lambda: False
) -> None:
    """Train until the budget is spent or `stop` says so; `report` is called whenever `due` says so, and with True at the end."""
    while trainer.share < 1.0 and not stop():
        started = time.monotonic()
        loss = trainer.train_step(*batches(trainer.step))
        if math.isnan(loss):
            raise InputError(f"the loss is not a number at step {trainer.step}", "lower --lr")
        trainer.seconds += agreed(trainer.fabric, time.monotonic() - started)
        if due() or trainer.share >= 1.0:
            report(trainer.share >= 1.0)


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
    config = _resumed_config(args, last) if args.resume else _config(args)
    fabric = Fabric(accelerator=args.accelerator, devices=args.devices, num_nodes=args.nodes, precision=args.precision)
    fabric.launch()
    interrupt = Interrupt()
    interrupt.install()
    material = prepare(args, config)
    trainer = Trainer(material.config, fabric)
    if args.resume:
        trainer.restore(last)
    elif args.init is not None:
        checkpoint.load_into(trainer.network, checkpoint.load(args.init, ("weights",))["weights"], args.init)
    if fabric.is_global_zero:
        args.out.mkdir(parents=True, exist_ok=True)
        describe_run(args.out, material.config.to_dict(), material.digests)
    _train(args, trainer, material, interrupt)
    return 130 if interrupt.asked else 0


def _train(args: argparse.Namespace, trainer: Trainer, material: Material, interrupt: Interrupt) -> None:
    config, out, fabric = material.config, args.out, trainer.fabric
    console = Console(quiet=not fabric.is_global_zero)
    console.print(_summary(trainer, args), soft_wrap=True, highlight=False)
    by_epoch, columns = config.epochs is not None, ("step", "seconds", "lr", "loss_mm", *material.columns)
    log = RunLog(out, columns, append=args.resume, tensorboard=not args.no_tensorboard) if fabric.is_global_zero else None
    best = _best_so_far(out, args.resume)
    reported = time.monotonic()
    rows: list[tuple[float, ...]] = []

    def due() -> bool:
        if by_epoch:
            return trainer.step % config.steps_per_epoch == 0
        return agreed(fabric, time.monotonic() - reported) >= 60 * args.report_minutes

    def stop() -> bool:
        return agreed(fabric, float(interrupt.asked)) > 0

    columns_shown = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>5.1f} %"), TimeElapsedColumn())
    with Progress(*columns_shown, console=console, refresh_per_second=1, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=1.0)
        progress.update(task, completed=trainer.share)

        def report(final: bool) -> None:
            nonlocal reported, best
            loss_mm = 1000 * config.unit_m * trainer.mean_loss()
            if log is not None:
                errors = material.measure(trainer.averaged(), trainer.step)
                row = (trainer.step, round(trainer.seconds, 1), trainer.learning_rate(), loss_mm, *errors)
                log.write(row)
                rows.append(row)
                trainer.save(out / "last.pt")
                if by_epoch:
                    best = _keep(trainer, out, errors[0], best)
                shown = ", ".join(f"{n.removesuffix('_mm')} {e:.1f}" for n, e in zip(material.columns, errors, strict=True))
                text = f"step {trainer.step}: loss {loss_mm:.1f} mm, {shown} mm"
                progress.update(task, completed=trainer.share, description=text)
                if not console.is_terminal:
                    console.print(text)
            fabric.barrier()
            reported = time.monotonic()

        try:
            fit(trainer, material.batches, report, due, stop)
            trainer.save(out / "last.pt")
        finally:
            if log is not None:
                log.close()
    if interrupt.asked:
        console.print(f"interrupted after step {trainer.step:,}: {out / 'last.pt'} is written; --resume continues it", soft_wrap=True)
    console.print(_table(columns, rows))


def _summary(trainer: Trainer, args: argparse.Namespace) -> str:
    """What is trained, on what, for how long, and where it goes; ``run.json`` has every setting."""
    c, size = trainer.config, sum(p.numel() for p in trainer.network.parameters())
    budget = f"{c.minutes:g} minutes" if c.minutes is not None else f"{c.steps:,} steps" + (f", {c.epochs} epochs" if c.epochs else "")
    devices = f"{trainer.fabric.world_size} x {trainer.fabric.device.type}"
    resumed = f" (resumed after step {trainer.step:,}, {trainer.share:.0%} are done)" if trainer.step else ""
    return (
        f"{c.dataset}: {c.frames} frames at {c.rate_hz:g} Hz, width {c.width}, depth {c.depth}, {size:,} parameters; batch {c.batch}, "
        f"{c.optimizer} {c.lr:g}, {devices}\ntraining for {budget}{resumed}, a report every "
        f"{'epoch' if c.epochs else f'{args.report_minutes:g} minutes'}; settings, log and checkpoints in {args.out}"
    )


def _keep(trainer: Trainer, out: Path, error_mm: float, best_mm: float) -> float:
    """Copies that stay: the best epoch, and one every `keep_every` epochs."""
    epoch = trainer.step // trainer.config.steps_per_epoch
    if epoch % trainer.config.keep_every == 0:
        trainer.save(out / f"epoch_{epoch}.pt")
    if not error_mm < best_mm:
        return best_mm
    trainer.save(out / "best.pt")
    (out / "best.txt").write_text(f"{error_mm!r} mm after epoch {epoch}\n")
    return error_mm


def _best_so_far(out: Path, resume: bool) -> float:
    path = out / "best.txt"
    return float(path.read_text().split()[0]) if resume and path.is_file() else math.inf


def _table(columns: tuple[str, ...], rows: list[tuple[float, ...]], last: int = 10) -> Table:
    table = Table(*columns, title="the last reports" if len(rows) > last else None)
    for row in rows[-last:]:
        table.add_row(*(f"{value:.6g}" for value in row))
    return table


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Options that name the data, shared with evaluation and drawing."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--keypoints", help="2D of Human3.6M: cpn_ft_h36m_dbb, gt, detectron_pt_coco")
    parser.add_argument("--subjects-train", default=",".join(("S1", "S5", "S6", "S7", "S8")))
    parser.add_argument("--subjects-test", default="S9,S11")
    parser.add_argument("--actions", default="*", help="comma-separated beginnings of action names")
    parser.add_argument("--downsample", type=_positive, default=1, help="take every n-th frame")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, wanted at least 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.d3dp.train", description=__doc__)
    parser.add_argument("--dataset", choices=("cmu17", "h36m", "3dhp"))
    add_data_options(parser)
    parser.add_argument("--subset", type=float, default=1.0, help="train on this share of every recording")
    parser.add_argument("--out", type=Path, default=Path("runs/d3dp"))
    parser.add_argument("--recipe", choices=("small", "published"), help="default: small for cmu17, published for the others")
    parser.add_argument("--resume", action="store_true", help="continue OUT/last.pt; options given again replace its settings")
    parser.add_argument("--init", type=Path, help="start from the averaged weights of this checkpoint")
    parser.add_argument("--no-mirror", dest="mirror", action="store_false", default=None, help="train without mirror images")
    parser.add_argument("--no-eval", action="store_true", help="do not measure after each epoch")
    parser.add_argument("--no-tensorboard", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--report-minutes", type=float, default=5.0)
    parser.add_argument("--accelerator", default="cpu", choices=("cpu", "cuda", "auto"))
    parser.add_argument("--devices", type=_positive, default=1)
    parser.add_argument("--nodes", type=_positive, default=1)
    parser.add_argument("--precision", default="32-true", choices=("32-true", "bf16-mixed", "16-mixed"))
    for name, kind in (
        ("frames", int), ("width", int), ("depth", int), ("heads", int), ("batch", int), ("steps", int), ("epochs", int), ("seed", int),
        ("keep-every", _positive), ("lr", float), ("lr-decay", float), ("weight-decay", float), ("minutes", float), ("ema", float),
        ("drop-path", float), ("optimizer", str), ("rate-hz", float), ("unit-m", float),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind)
    return parser


def _given(args: argparse.Namespace) -> dict[str, Any]:
    return {f.name: getattr(args, f.name) for f in fields(TrainConfig) if getattr(args, f.name, None) is not None}


def _resumed_config(args: argparse.Namespace, last: Path) -> TrainConfig:
    return replace(TrainConfig.from_dict(checkpoint.load(last, ("config",))["config"]), **_given(args))


def _config(args: argparse.Namespace) -> TrainConfig:
    dataset = args.dataset or "cmu17"
    recipe = args.recipe or ("small" if dataset == "cmu17" else "published")
    given = _given(args)
    if recipe == "published":
        base = published(given.get("frames", 243), dataset=dataset)
    else:
        base = replace(TrainConfig(), dataset=dataset)
        if dataset != "cmu17":
            shared = published(dataset=dataset)
            base = replace(
                base, input="screen", keypoints=shared.keypoints, epochs=40, minutes=None, unit_m=1.0,
                skeleton_in=shared.skeleton_in, skeleton_out=shared.skeleton_out,
            )  # fmt: skip
    if ("steps" in given or "epochs" in given) and "minutes" not in given:
        given["minutes"] = None
    if "steps" in given and "epochs" not in given:
        given["epochs"] = None
    return replace(base, **given)


if __name__ == "__main__":
    sys.exit(main())
