"""Train a 2D motion model: ``python -m training.mas.train --dataset D --datapath DIR --save_dir OUT``.

Flags and defaults are the published ones; ours, all off by default, are --minutes, --cosine, --ema and --velocity. Files in the
folder: ``args.json``, ``checkpoint_<step>.pt`` ({model, optimizer, step} and, with --ema, the averaged weights), ``latest.pt``,
``log.csv``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose_rt.diffusion.gaussian import make_tables
from pose_rt.errors import PoseRtError, UsageError
from pose_rt.models.mas import MDM, MDMConfig
from training.common import checkpoint

from . import trainer
from .arguments import add_data, add_diffusion, add_model, add_training
from .batches import Batch
from .clips import FolderSource
from .load import load_motion_model
from .objective import diffusion_loss
from .sources import Source, mixture, open_source


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


def training_source(options: argparse.Namespace) -> Source:
    """The data of a run's options.

    Raises:
        UsageError: --with_cmu17 with another data set than tracks.
    """
    source = open_source(options.dataset, options.datapath, options.data_split, options.data_size, options.data_augmentations, options.seed)
    if not options.with_cmu17:
        return source
    if options.dataset != "tracks" or not isinstance(source, FolderSource):
        raise UsageError(f"--with_cmu17 goes with --dataset tracks, not {options.dataset}", "leave it out")
    return mixture(source, Path(options.with_cmu17), options.tracks_share)


def run(options: argparse.Namespace) -> trainer.State:
    """Read the data, build the network, train."""
    source = training_source(options)
    device = trainer.device_of(options)
    torch.manual_seed(options.seed)
    network = build(options, source.spec.joints).to(device)
    try:
        tables = make_tables(options.noise_schedule, options.diffusion_steps)
    except ValueError as error:
        raise UsageError(f"--noise_schedule {options.noise_schedule} --diffusion_steps {options.diffusion_steps}: {error}") from error

    def loss_of(batch: Batch, rng: np.random.Generator) -> Tensor:
        clean, mask, lengths = trainer.to_device(batch, device)
        t = torch.from_numpy(rng.integers(0, len(tables), len(clean))).to(device)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, np.float32)).to(device)
        how = {"mean_type": options.model_mean_type, "velocity": options.velocity}
        return diffusion_loss(network, tables, clean, lengths, mask, t, noise, **how)

    if options.init_checkpoint and not options.resume_checkpoint:
        start = load_motion_model(Path(options.init_checkpoint))
        checkpoint.load_into(network, start.network.state_dict(), Path(options.init_checkpoint))
    return trainer.run(options, source, network, loss_of)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.mas.train", description=(__doc__ or "").splitlines()[0])
    for add in (add_data, add_model, add_diffusion, add_training):
        add(parser)
    try:
        options = trainer.parse(parser, sys.argv[1:] if argv is None else argv)
        trainer.check(options)
        run(options)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
