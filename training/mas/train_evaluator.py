"""Train the evaluator, whose latent space FID, diversity, precision and recall are measured in:
``python -m training.mas.train_evaluator --dataset D --datapath DIR --save_dir OUT``. Files are as those of `training.mas.train`.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
from torch import Tensor

from pose_rt.errors import PoseRtError, UsageError
from pose_rt.models.mas import Evaluator, EvaluatorConfig
from pose_rt.models.mas.evaluator import evaluator_loss

from . import trainer
from .arguments import add_data, add_evaluator, add_training
from .batches import Batch
from .sources import open_source


def build(options: argparse.Namespace, joints: int) -> Evaluator:
    """The network of a run's options.

    Raises:
        UsageError: sizes that do not go together.
    """
    if options.e_latent_dim % options.e_num_heads or options.e_latent_dim % 2:
        raise UsageError(f"--e_latent_dim is {options.e_latent_dim}, wanted an even multiple of --e_num_heads {options.e_num_heads}")
    return Evaluator(
        EvaluatorConfig(
            joints, 2, options.e_latent_dim, options.e_ff_size, options.e_num_layers, options.e_num_heads, options.e_dropout,
            options.e_activation,
        )
    )  # fmt: skip


def run(options: argparse.Namespace) -> trainer.State:
    """Read the data, build the network, train."""
    source = open_source(options.dataset, options.datapath, options.data_split, options.data_size, options.data_augmentations, options.seed)
    device = trainer.device_of(options)
    torch.manual_seed(options.seed)
    network = build(options, source.spec.joints).to(device)

    def loss_of(batch: Batch, rng: np.random.Generator) -> Tensor:
        clean, mask, lengths = trainer.to_device(batch, device)
        noise = torch.from_numpy(rng.standard_normal((len(clean), options.e_latent_dim), np.float32)).to(device)
        return evaluator_loss(network, clean, lengths, noise, None if options.count_padding else mask)

    return trainer.run(options, source, network, loss_of)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.mas.train_evaluator", description=(__doc__ or "").splitlines()[0])
    for add in (add_data, add_evaluator, add_training):
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
