"""Train a 2D motion model: ``python -m training.mas.train --dataset D --datapath DIR --save_dir OUT``.

Flags and defaults are the published ones; ours, all off by default, are --minutes, --cosine, --ema and --velocity. Files in the
folder: ``args.json``, ``checkpoint_<step>.pt`` ({model, optimizer, step} and, with --ema, the averaged weights), ``latest.pt``,
``log.csv``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose_rt.diffusion.gaussian import make_tables
from pose_rt.errors import InputError, OutputError, PoseRtError, UsageError
from pose_rt.models.mas import MDM, MDMConfig
from training.common import checkpoint
from training.common.budget import Cosine
from training.common.ema import Ema
from training.common.run import RunLog

from .arguments import add_data, add_diffusion, add_model, add_training
from .batches import Normaliser
from .objective import diffusion_loss, make_optimizer
from .sources import Source, open_source


def build(options: argparse.Namespace, joints: int) -> MDM:
    """The network of a run's options.

    Raises:
        UsageError: sizes that do not go together.
    """
    if options.latent_dim % options.num_heads or options.latent_dim % 2:
        raise UsageError(f"--latent_dim is {options.latent_dim}, wanted an even multiple of --num_heads {options.num_heads}")
    return MDM(
        MDMConfig(
            joints, 2, options.latent_dim, options.ff_size, options.layers, options.num_heads, options.dropout, options.activation,
            options.arch, options.emb_trans_dec, options.cond, options.num_actions, options.cond_mask_prob,
        )
    )  # fmt: skip


@dataclass
class State:
    """What a run is made of and what its checkpoint holds."""

    network: MDM
    optimizer: torch.optim.Optimizer
    ema: Ema | None
    normaliser: Normaliser
    step: int = 0
    seconds: float = 0.0

    def values(self) -> dict[str, Any]:
        mean, std = (torch.from_numpy(np.array(a)) for a in (self.normaliser.mean, self.normaliser.std))
        values = {
            "model": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step, "seconds": self.seconds,
            "mean": mean, "std": std,
        }  # fmt: skip
        return values if self.ema is None else {**values, "ema": self.ema.state_dict()}

    def restore(self, path: Path) -> None:
        values = checkpoint.load(path, ("model", "optimizer", "step"))
        checkpoint.load_into(self.network, values["model"], path)
        self.optimizer.load_state_dict(values["optimizer"])
        self.step, self.seconds = int(values["step"]), float(values.get("seconds", 0.0))
        if self.ema is not None and "ema" in values:
            self.ema.load_state_dict(values["ema"])


def run(options: argparse.Namespace, source: Source) -> State:
    """Train until the steps or the minutes are used up; Ctrl-C saves and returns."""
    out = Path(options.save_dir)
    torch.manual_seed(options.seed)
    network = build(options, source.spec.joints)
    state = State(network, make_optimizer(network, options.lr), Ema(network, options.ema) if options.ema else None, source.normaliser)
    if options.resume_checkpoint:
        state.restore(Path(options.resume_checkpoint))
    log = RunLog(
        out,
        ("step", "loss", "lr", "seconds"),
        append=bool(options.resume_checkpoint),
        tensorboard=options.train_platform_type == "TensorboardPlatform",
    )
    tables = make_tables(options.noise_schedule, options.diffusion_steps)
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
            total += _step(state, options, source, tables, rng)
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
        checkpoint.save(out / "latest.pt", state.values())
        log.close()
    _save(out, state)
    return state


def _save(out: Path, state: State) -> None:
    checkpoint.save(out / f"checkpoint_{state.step:09d}.pt", state.values())
    checkpoint.save(out / "latest.pt", state.values())


def _step(state: State, options: argparse.Namespace, source: Source, tables: Any, rng: np.random.Generator) -> float:
    batch = source.batch(rng, options.train_batch_size)
    clean, mask = torch.from_numpy(batch.motion), torch.from_numpy(batch.mask)
    t = torch.from_numpy(rng.integers(0, len(tables), len(clean)))
    noise = torch.from_numpy(rng.standard_normal(clean.shape, np.float32))
    state.optimizer.zero_grad()
    lengths = torch.from_numpy(batch.lengths)
    options_of = {"mean_type": options.model_mean_type, "velocity": options.velocity}
    loss = diffusion_loss(state.network, tables, clean, lengths, mask, t, noise, **options_of)
    loss.backward()
    state.optimizer.step()
    if state.ema is not None:
        state.ema.update(state.network)
    return loss.item()


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; with --resume_checkpoint, what is not given comes from the args.json beside it."""
    parser = argparse.ArgumentParser(prog="python -m training.mas.train", description=(__doc__ or "").splitlines()[0])
    for add in (add_data, add_model, add_diffusion, add_training):
        add(parser)
    first = parser.parse_args(argv)
    if first.resume_checkpoint:
        known = Path(first.resume_checkpoint).with_name("args.json")
        if known.is_file():
            parser.set_defaults(**json.loads(known.read_text()))
            first = parser.parse_args(argv)
    return first


def check(options: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is read.

    Raises:
        UsageError, OutputError, InputError.
    """
    out = Path(options.save_dir)
    resumes = bool(options.resume_checkpoint) and Path(options.resume_checkpoint).resolve().parent == out.resolve()
    if out.exists() and any(out.iterdir()) and not (options.overwrite_model or resumes):
        raise OutputError(f"{out} exists already", "add --overwrite_model, or --resume_checkpoint with a checkpoint in it")
    if options.train_batch_size < 1 or options.num_steps < 1:
        raise UsageError(f"--train_batch_size is {options.train_batch_size} and --num_steps {options.num_steps}, wanted at least 1")
    if options.cond != "no_cond":
        raise UsageError(f"--cond is {options.cond}, but no data set here has it", "leave it out")
    if options.resume_checkpoint and not Path(options.resume_checkpoint).is_file():
        raise InputError(f"{options.resume_checkpoint}: no such checkpoint")


def main(argv: list[str] | None = None) -> int:
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        check(options)
        source = open_source(options.dataset, options.datapath, "train", options.data_size, options.data_augmentations, options.seed)
        out = Path(options.save_dir)
        out.mkdir(parents=True, exist_ok=True)
        (out / "args.json").write_text(json.dumps({**vars(options), "joints": source.spec.joints}, indent=1) + "\n")
        run(options, source)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
