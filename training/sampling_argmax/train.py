"""Train a keypoint network: ``python -m training.sampling_argmax.train --task coco|h36m|mtfl|images --data DIR --out runs/pose``.

The recipe is the published one; ``--config FILE.toml`` and options change it. Ctrl-C (or `kill`) finishes the step and writes a
checkpoint; ``--resume`` continues it exactly. Several devices: ``--devices 4``, several machines: ``--nodes 2`` or `torchrun`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pose_rt.errors import InputError, PoseRtError
from pose_rt.models.sampling_argmax.checkpoint import load_state, read_trained
from training.common import checkpoint
from training.common.run import RunLog, describe_run
from training.d3dp.train import Interrupt
from training.data.store import sha256_file

from .annotations import Annotations
from .config import PUBLISHED, TASKS, TrainConfig, read_settings
from .data import Places, parts_for, transform_for
from .dataset import People, batches, training_places
from .initial import load_backbone
from .measure import HEADLINES, predict, score
from .trainer import Trainer

_SLOW_LAYERS = 50


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        return _run(args, console)
    except PoseRtError as error:
        console.print(str(error), markup=False)
        return error.exit_code


def _run(args: argparse.Namespace, console: Console) -> int:
    torch.set_num_threads(args.threads)
    last = args.out / "last.pt"
    config = _resumed(args, last) if args.resume else _config(args)
    fabric = Fabric(accelerator=args.accelerator, devices=args.devices, num_nodes=args.nodes, precision=args.precision)
    fabric.launch()
    interrupt = Interrupt()
    interrupt.install()
    places = Places(args.data, args.annotations, args.images, args.category)
    found = places.read(config.task, training=True)
    trainer = Trainer(config, found[0], fabric)
    if args.resume:
        trainer.restore(last)
    elif args.init is not None:
        load_state(trainer.network, read_trained(args.init, config.task).network.state_dict(), args.init)
    elif args.pretrained is not None:
        load_backbone(trainer.network, args.pretrained)
    people = People(parts_for(config, found, training=True), config.seed)
    if fabric.is_global_zero:
        args.out.mkdir(parents=True, exist_ok=True)
        describe_run(args.out, config.to_dict(), {str(p): sha256_file(p) for p in (args.annotations,) if p is not None})
        for annotations in found:
            console.print(annotations.describe())
        if fabric.device.type == "cpu" and config.layers >= _SLOW_LAYERS:
            console.print(slowness(trainer, people.steps(config.batch)))
    unseen = None if args.no_eval else _unseen(args, places, config, len(found[0].names), console)
    loop = Loop(args, trainer, people, unseen, interrupt, console)
    loop.run()
    return 130 if interrupt.asked else 0


def slowness(trainer: Trainer, steps: int) -> str:
    """A sentence about how long a deep network takes without a GPU, from one small step on zeros that changes no weight."""
    config, count = trainer.config, 2
    started = time.monotonic()
    network = trainer.network.eval()
    network.logits(torch.zeros(count, 3, *config.image)).sum().backward()
    trainer.optimizer.zero_grad(set_to_none=True)
    hours = (time.monotonic() - started) * config.batch / count * steps / 3600
    everything = f"an epoch of ResNet-{config.layers} takes about {hours:.1f} h here, all {config.epochs} {hours * config.epochs:.0f} h"
    return f"no GPU: {everything}; use --accelerator cuda where there is one, --layers 18 or a smaller --width"


def _unseen(args: argparse.Namespace, places: Places, config: TrainConfig, joints: int, console: Console) -> Annotations | None:
    chosen = replace(places, annotations=args.val_annotations, images=args.val_images or places.images)
    try:
        return chosen.read(config.task, training=False, joints=joints)[0]
    except InputError as error:
        if args.val_annotations is not None:
            raise
        console.print(f"training without evaluation: {error}", markup=False)
        return None


class Loop:
    """Epochs, their reports and checkpoints."""

    def __init__(
        self, args: argparse.Namespace, trainer: Trainer, people: People, unseen: Annotations | None, interrupt: Interrupt, console: Console
    ) -> None:
        self.args, self.trainer, self.people, self.unseen = args, trainer, people, unseen
        self.interrupt, self.console = interrupt, console
        self.headline = HEADLINES[trainer.config.task]
        self.best = _best_so_far(args.out) if args.resume else math.inf
        main_rank = trainer.fabric.is_global_zero
        columns = ("step", "epoch", "seconds", "lr", "loss", "accuracy", self.headline)
        self.log = RunLog(args.out, columns, append=args.resume, tensorboard=not args.no_tensorboard) if main_rank else None

    def run(self) -> None:
        """Train to the last epoch, or until somebody interrupts."""
        config, trainer = self.trainer.config, self.trainer
        steps = self.people.steps(config.batch)
        shown = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>5.1f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        try:
            with Progress(*shown, console=self.console, refresh_per_second=1, disable=not trainer.fabric.is_global_zero) as progress:
                bar = progress.add_task("training", total=steps * config.epochs, completed=trainer.epoch * steps + trainer.place)
                while trainer.epoch < config.epochs and not self._asked():
                    self._epoch(progress, bar)
        finally:
            if self.log is not None:
                self.log.close()
        trainer.save(self.args.out / "last.pt")
        if self._asked():
            self.console.print("interrupted: the checkpoint is written; continue with --resume")
        elif trainer.fabric.is_global_zero:
            trainer.save(self.args.out / "final.pt")
        if trainer.broken:
            self.console.print(
                f"{len(trainer.broken)} pictures could not be read and were skipped, such as {min(trainer.broken)}", markup=False
            )

    def _epoch(self, progress: Progress, bar: Any) -> None:
        trainer, fabric = self.trainer, self.trainer.fabric
        config = trainer.config
        places = training_places(self.people, trainer.epoch, config.batch, trainer.place, fabric.global_rank, fabric.world_size)
        for batch in batches(self.people, places, self.args.workers):
            loss = trainer.train_step(batch)
            if math.isnan(loss) and len(batch.row):
                raise InputError(f"the loss is not a number in epoch {trainer.epoch}, step {trainer.place}", "lower --lr")
            progress.update(bar, advance=1, description=f"epoch {trainer.epoch}, loss {loss:.4g}")
            if self._asked():
                return
        loss, accuracy = trainer.end_epoch()
        due = trainer.epoch % config.snapshot == 0 or trainer.epoch == config.epochs
        self._report(loss, accuracy, due)

    def _report(self, loss: float, accuracy: float, due: bool) -> None:
        trainer, out = self.trainer, self.args.out
        if self.log is not None:
            measured = self._measure() if due else math.nan
            rate = trainer.config.learning_rate(trainer.epoch - 1)
            self.log.write((trainer.steps, trainer.epoch, round(trainer.seconds, 1), rate, loss, accuracy, measured))
            text = f"epoch {trainer.epoch}: loss {loss:.4g}, accuracy {accuracy:.3f}"
            text += f", {self.headline} {measured:.4g}" if due and not math.isnan(measured) else ""
            text += f", {len(trainer.broken)} pictures unreadable" if trainer.broken else ""
            self.console.print(text)
            trainer.save(out / "last.pt")
            if due:
                trainer.save(out / f"model_{trainer.epoch}.pt")
                better = -measured if self.headline == "AP" else measured
                if better < self.best:
                    self.best = better
                    trainer.save(out / "best.pt")
                    (out / "best.txt").write_text(f"{better!r} ({self.headline} {measured:.6g} after epoch {trainer.epoch})\n")
        trainer.fabric.barrier()

    def _measure(self) -> float:
        if self.unseen is None:
            return math.nan
        trainer = self.trainer
        transform = transform_for(trainer.config, self.unseen.pairs, training=False)
        found = predict(
            trainer.trained, self.unseen, transform, batch=min(64, trainer.config.batch), workers=self.args.workers,
            device=trainer.fabric.device,
        )  # fmt: skip
        truth = None
        if self.headline == "AP":
            truth = Places(self.args.data, self.args.val_annotations).coco_file(trainer.config.task, training=False)
        return float(score(trainer.trained, self.unseen, found, truth).get(self.headline, math.nan))

    def _asked(self) -> bool:
        fabric = self.trainer.fabric
        if fabric.world_size == 1:
            return self.interrupt.asked
        asked = fabric.all_reduce(torch.tensor(float(self.interrupt.asked), device=fabric.device), reduce_op="sum")
        return bool(torch.as_tensor(asked).item() > 0)


def _best_so_far(out: Path) -> float:
    path = out / "best.txt"
    return float(path.read_text().split()[0]) if path.is_file() else math.inf


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Options that name the data, shared with evaluation."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--annotations", type=Path, help="annotation file, in place of the standard one")
    parser.add_argument("--images", type=Path, help="folder of the pictures, in place of the standard one")
    parser.add_argument("--category", help="category of the annotations, where several have keypoints")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode pictures; 0 = none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--accelerator", default="auto", choices=("cpu", "cuda", "auto"))


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(v) for v in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted HEIGHTxWIDTH, such as 256x192") from None
    return height, width


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.sampling_argmax.train", description=__doc__)
    parser.add_argument("--task", choices=TASKS)
    add_data_options(parser)
    parser.add_argument("--val-annotations", type=Path, help="annotations to measure on, in place of the standard ones")
    parser.add_argument("--val-images", type=Path)
    parser.add_argument("--config", type=Path, help="TOML or JSON with settings; options go before it")
    parser.add_argument("--out", type=Path, default=Path("runs/sampling_argmax"))
    parser.add_argument("--resume", action="store_true", help="continue OUT/last.pt; settings given again replace its own")
    parser.add_argument("--init", type=Path, help="start from the weights of this checkpoint, ours or a published one")
    parser.add_argument("--pretrained", help="ImageNet weights of the backbone: a FILE, or torchvision or timm, which download theirs")
    parser.add_argument("--reference", action="store_true", default=None, help="normalise pixels as the published code does")
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--no-tensorboard", action="store_true")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--precision", default="32-true", choices=("32-true", "bf16-mixed", "16-mixed"))
    parser.add_argument("--image", type=_size, help="HEIGHTxWIDTH of the input")
    parser.add_argument("--anneal", action=argparse.BooleanOptionalAction, default=None)
    for name, kind in (
        ("layers", int), ("width", int), ("filters", int), ("depth", int), ("norm", str), ("basis", str), ("samples", int), ("batch", int),
        ("epochs", int), ("lr", float), ("seed", int), ("snapshot", int),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind)
    return parser


def _given(args: argparse.Namespace) -> dict[str, Any]:
    return {f.name: getattr(args, f.name) for f in fields(TrainConfig) if getattr(args, f.name, None) is not None}


def _config(args: argparse.Namespace) -> TrainConfig:
    from_file = {} if args.config is None else read_settings(args.config)
    task = args.task or from_file.get("task", "coco")
    base = PUBLISHED.get(task, TrainConfig())
    return replace(base, **{**from_file, **_given(args), "task": task})


def _resumed(args: argparse.Namespace, last: Path) -> TrainConfig:
    saved = TrainConfig.from_dict(checkpoint.load(last, ("config",))["config"])
    given = {**({} if args.config is None else read_settings(args.config)), **_given(args)}
    if given.get("task", saved.task) != saved.task:
        raise InputError(f"{last}: a checkpoint of the task {saved.task}", f"leave --task out, or give --task {saved.task}")
    return replace(saved, **given)


if __name__ == "__main__":
    sys.exit(main())
