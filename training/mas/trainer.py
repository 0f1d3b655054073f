"""The loop that trains the motion model and the evaluator: batches, a learning rate, averaged weights, checkpoints, interruption."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pose_rt.errors import InputError, OutputError, UsageError
from training.common import checkpoint
from training.common.budget import Cosine
from training.common.ema import Ema
from training.common.run import RunLog

from .batches import Batch, Normaliser
from .objective import make_optimizer
from .sources import Source

Loss = Callable[[Batch, np.random.Generator], Tensor]


@dataclass
class State:
    """What a run is made of and what its checkpoint holds."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema | None
    normaliser: Normaliser
    step: int = 0
    seconds: float = 0.0

    def values(self) -> dict[str, Any]:
        """For the checkpoint file."""
        mean, std = (torch.from_numpy(np.array(a)) for a in (self.normaliser.mean, self.normaliser.std))
        values = {
            "model": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step, "seconds": self.seconds,
            "mean": mean, "std": std,
        }  # fmt: skip
        return values if self.ema is None else {**values, "ema": self.ema.state_dict()}

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint, ours or a published one."""
        values = checkpoint.load(path, ("model", "optimizer", "step"))
        checkpoint.load_into(self.network, values["model"], path)
        self.optimizer.load_state_dict(values["optimizer"])
        self.step, self.seconds = int(values["step"]), float(values.get("seconds", 0.0))
        if self.ema is not None and "ema" in values:
            self.ema.load_state_dict(values["ema"])


def run(options: argparse.Namespace, source: Source, network: nn.Module, loss_of: Loss) -> State:
    """Train until the steps or the minutes are used up; Ctrl-C saves and returns."""
    out = Path(options.save_dir)
    out.mkdir(parents=True, exist_ok=True)
    (out / "args.json").write_text(json.dumps({**vars(options), "joints": source.spec.joints}, indent=1) + "\n")
    ema = Ema(network, options.ema) if options.ema else None
    state = State(network, make_optimizer(network, options.lr), ema, source.normaliser)
    if options.resume_checkpoint:
        state.restore(Path(options.resume_checkpoint))
    resumed, boards = bool(options.resume_checkpoint), options.train_platform_type == "TensorboardPlatform"
    log = RunLog(out, ("step", "loss", "lr", "seconds"), append=resumed, tensorboard=boards)
    schedule, total, count = Cosine(), 0.0, 0
    network.train()
    began = time.perf_counter() - state.seconds
    try:
        while state.step < options.num_steps:
            state.seconds = time.perf_counter() - began
            share = max(state.step / options.num_steps, state.seconds / (60 * options.minutes) if options.minutes else 0.0)
            if share >= 1:
                break
            rng = np.random.default_rng((options.seed, state.step))  # a resumed run draws what the whole one would
            lr = options.lr * (schedule.factor(share) if options.cosine else 1.0)
            for group in state.optimizer.param_groups:
                group["lr"] = lr
            total += _step(state, loss_of, source.batch(rng, options.train_batch_size), rng)
            count += 1
            state.step += 1
            if state.step % options.log_interval == 0:
                log.write((state.step, total / count, lr, state.seconds))
                print(f"step {state.step}  loss {total / count:.4f}  lr {lr:.1e}  {state.seconds:.0f} s", flush=True)
                total, count = 0.0, 0
            if state.step % options.save_interval == 0:
                _save(out, state)
    except KeyboardInterrupt:
        print(f"interrupted at step {state.step}; go on with --resume_checkpoint {out / 'latest.pt'}", file=sys.stderr)
    finally:
        log.close()
        _save(out, state)
    return state


def _save(out: Path, state: State) -> None:
    checkpoint.save(out / f"checkpoint_{state.step:09d}.pt", state.values())
    checkpoint.save(out / "latest.pt", state.values())


def _step(state: State, loss_of: Loss, batch: Batch, rng: np.random.Generator) -> float:
    state.optimizer.zero_grad()
    loss = loss_of(batch, rng)
    loss.backward()
    state.optimizer.step()
    if state.ema is not None:
        state.ema.update(state.network)
    return loss.item()


def device_of(options: argparse.Namespace) -> torch.device:
    """Where a run computes; sets the threads of torch too.

    Raises:
        UsageError: no such device here, or no thread.
    """
    if options.threads < 1:
        raise UsageError(f"--threads is {options.threads}, wanted at least 1")
    torch.set_num_threads(options.threads)
    name = options.device
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    elif name.isdigit():
        name = f"cuda:{name}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device is {options.device}, which cannot be used here", "use --device cpu or auto") from error
    return device


def to_device(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Motion, mask and lengths of a batch as tensors."""
    motion, mask, lengths = (torch.from_numpy(values).to(device) for values in (batch.motion, batch.mask, batch.lengths))
    return motion, mask, lengths


def parse(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """The command line; with --resume_checkpoint, what is not given comes from the args.json beside it."""
    options = parser.parse_args(argv)
    known = Path(options.resume_checkpoint).with_name("args.json") if options.resume_checkpoint else None
    if known is not None and known.is_file():
        parser.set_defaults(**json.loads(known.read_text()))
        options = parser.parse_args(argv)
    return options


def check(options: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is read.

    Raises:
        UsageError, OutputError, InputError.
    """
    if options.save_dir is None:
        raise UsageError("--save_dir is missing", "name the folder of the run")
    out = Path(options.save_dir)
    resumes = bool(options.resume_checkpoint) and Path(options.resume_checkpoint).resolve().parent == out.resolve()
    if out.exists() and any(out.iterdir()) and not (options.overwrite_model or resumes):
        raise OutputError(f"{out} exists already", "add --overwrite_model, or --resume_checkpoint with a checkpoint in it")
    if options.train_batch_size < 1 or options.num_steps < 1:
        came = f"--train_batch_size is {options.train_batch_size} and --num_steps {options.num_steps}"
        raise UsageError(f"{came}, wanted at least 1 of each")
    if options.cond != "no_cond":
        raise UsageError(f"--cond is {options.cond}, but the data sets carry no such condition", "leave it out")
    if options.resume_checkpoint and not Path(options.resume_checkpoint).is_file():
        raise InputError(f"{options.resume_checkpoint}: no such checkpoint")
