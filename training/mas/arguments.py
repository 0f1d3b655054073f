"""The published command line flags, in their groups and with their defaults."""

from __future__ import annotations

import argparse

from pose_rt.core.motion_sets import MOTION_SETS


def flag(text: str) -> bool:
    """ "true" or "false"; the published ``type=bool`` takes every text for true."""
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError(f"got {text!r}, wanted true or false")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Data set and what of it."""
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda:N, or a number of a GPU as published; auto takes a GPU where there is one"
    )
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    parser.add_argument("--dataset", choices=list(MOTION_SETS), default="nba")
    parser.add_argument("--datapath", help="folder of the data set (default: ./dataset/NAME)")
    parser.add_argument("--data_size", type=int, help="use so many clips")
    parser.add_argument("--data_split", choices=("train", "test"), default="train")
    parser.add_argument(
        "--data_augmentations", nargs="*", choices=("shift_aug", "scale_aug", "length_aug"), help="default: those of the data set"
    )
    parser.add_argument("--with_cmu17", help="tracks only: folder of cmu17, whose projections are mixed in")
    parser.add_argument("--tracks_share", type=float, default=0.5, help="of each batch, with --with_cmu17")
    parser.add_argument("--cond", choices=("no_cond", "text", "action"), default="no_cond")


def add_model(parser: argparse.ArgumentParser) -> None:
    """The motion network."""
    parser.add_argument("--arch", choices=("trans_enc", "trans_dec", "gru"), default="trans_enc")
    parser.add_argument("--emb_trans_dec", type=flag, default=False)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--latent_dim", type=int, default=512)
    parser.add_argument("--num_heads", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--activation", default="gelu")
    parser.add_argument("--ff_size", type=int, default=1024)
    parser.add_argument("--cond_mask_prob", type=float, default=0.1)
    parser.add_argument("--num_actions", type=int, default=1)


def add_diffusion(parser: argparse.ArgumentParser) -> None:
    """The diffusion process."""
    parser.add_argument("--model_mean_type", choices=("x_start", "epsilon"), default="x_start")
    parser.add_argument("--noise_schedule", default="cosine_tau_2", help="linear, cosine or cosine_tau_N")
    parser.add_argument("--diffusion_steps", type=int, default=100)
    parser.add_argument("--sigma_small", type=flag, default=True)


def add_training(parser: argparse.ArgumentParser) -> None:
    """The trainer; those from --log_interval on are ours."""
    parser.add_argument("--save_dir", help="folder of the run; needed unless a run is resumed")
    parser.add_argument("--overwrite_model", action="store_true")
    parser.add_argument("--train_platform_type", choices=("NoPlatform", "TensorboardPlatform"), default="NoPlatform")
    parser.add_argument("--lr", type=float, default=1e-5)
    parser.add_argument("--save_interval", type=int, default=50_000)
    parser.add_argument("--num_steps", type=int, default=600_000)
    parser.add_argument("--resume_checkpoint", default="")
    parser.add_argument("--train_batch_size", type=int, default=32)
    parser.add_argument("--log_interval", type=int, default=100, help="steps between lines of the log")
    parser.add_argument("--minutes", type=float, help="stop after this time (default: by steps alone)")
    parser.add_argument("--cosine", action="store_true", help="warm-up and cosine decay of the learning rate over steps or minutes")
    parser.add_argument("--ema", type=float, default=0.0, help="decay of averaged weights, 0 for none")
    parser.add_argument("--init_checkpoint", default="", help="start from the weights of this model")
    parser.add_argument("--velocity", type=float, default=0.0, help="weight of the error of frame differences")


def add_evaluator(parser: argparse.ArgumentParser) -> None:
    """The evaluator's network."""
    parser.add_argument("--e_num_layers", type=int, default=6)
    parser.add_argument("--e_latent_dim", type=int, default=256)
    parser.add_argument("--e_num_heads", type=int, default=4)
    parser.add_argument("--e_dropout", type=float, default=0.1)
    parser.add_argument("--e_activation", default="gelu")
    parser.add_argument("--e_ff_size", type=int, default=1024)
    parser.add_argument("--count_padding", action="store_true", help="the loss counts padding and unseen joints, as published")
