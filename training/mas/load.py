"""Checkpoints of the motion model and of the evaluator, ours and published ones, with the args.json beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose_rt.core.motion_sets import MOTION_SETS, MotionSet
from pose_rt.errors import InputError
from pose_rt.models.mas import MDM, Evaluator, EvaluatorConfig, MDMConfig
from training.common import checkpoint

from .batches import Normaliser

_POSITIONS = ".pe"
"""Buffers that a published file may hold or leave out: they are constants."""


@dataclass(frozen=True)
class Trained:
    """A motion model in eval mode and what is known of its training."""

    network: MDM
    spec: MotionSet
    normaliser: Normaliser
    args: dict[str, Any]


def read_args(path: Path) -> dict[str, Any]:
    """The args.json beside a checkpoint.

    Raises:
        InputError: missing or damaged.
    """
    beside = path.with_name("args.json")
    try:
        values = json.loads(beside.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{beside}: cannot be read, but the checkpoint's sizes are in it", "copy it beside the checkpoint") from error
    except ValueError as error:
        raise InputError(f"{beside}: not JSON ({error})") from error
    return dict(values)


def _state(values: dict[str, Any], network: torch.nn.Module, path: Path, averaged: bool) -> None:
    """Give a network its weights; positional tables that are left out stay as constructed."""
    state = {key: tensor for key, tensor in values["model"].items() if not key.startswith("clip_model.")}
    if averaged and "ema" in values:
        state |= {key: tensor for key, tensor in values["ema"].items() if key in state}
    constants = {key: tensor for key, tensor in network.state_dict().items() if key.endswith(_POSITIONS)}
    checkpoint.load_into(network, constants | state, path)


def load_motion_model(path: Path, averaged: bool = True) -> Trained:
    """A checkpoint {model, optimizer, step} of `training.mas.train` or of the published code.

    Args:
        averaged: take the averaged weights where there are some.

    Raises:
        InputError: not a checkpoint, sizes that do not fit, an unknown data set, no mean and std.
    """
    values, args = checkpoint.load(path, ("model",)), read_args(path)
    name = args.get("dataset")
    if name not in MOTION_SETS:
        raise InputError(f"{path}: trained on {name!r}, wanted one of {', '.join(MOTION_SETS)}")
    spec = MOTION_SETS[name]
    sizes = ("latent_dim", "ff_size", "layers", "num_heads", "dropout", "activation", "arch", "emb_trans_dec", "cond")
    known = {key: args[key] for key in sizes if key in args}
    published = "mean" not in values
    config = MDMConfig(
        joints=spec.joints, **known, num_actions=args.get("num_actions", 1), over_time=not published, mask_padding=not published
    )
    network = MDM(config)
    _state(values, network, path, averaged)
    return Trained(network.eval(), spec, _normaliser(values, args, path), args)


def _normaliser(values: dict[str, Any], args: dict[str, Any], path: Path) -> Normaliser:
    if "mean" in values:
        return Normaliser(values["mean"].numpy(), values["std"].numpy())
    folder = Path(args.get("datapath") or f"dataset/{args['dataset']}")
    for place in (path.parent, folder):
        if (place / "Mean.npy").is_file() and (place / "Std.npy").is_file():
            return Normaliser(np.load(place / "Mean.npy", allow_pickle=False), np.load(place / "Std.npy", allow_pickle=False))
    raise InputError(f"{path}: no Mean.npy and Std.npy beside it or in {folder}", "copy those of the data set beside the checkpoint")


def load_evaluator(path: Path) -> tuple[Evaluator, dict[str, Any], Normaliser | None]:
    """The evaluator of a checkpoint, in eval mode, its args, and its normalisation (a published file has none).

    Raises:
        InputError: see `load_motion_model`.
    """
    values, args = checkpoint.load(path, ("model",)), read_args(path)
    if args.get("dataset") not in MOTION_SETS:
        raise InputError(f"{path}: trained on {args.get('dataset')!r}, wanted one of {', '.join(MOTION_SETS)}")
    names = ("e_latent_dim", "e_ff_size", "e_num_layers", "e_num_heads", "e_dropout", "e_activation")
    sizes = {key: args[key] for key in names if key in args}
    network = Evaluator(EvaluatorConfig(joints=MOTION_SETS[args["dataset"]].joints, **sizes))
    _state(values, network, path, averaged=True)
    normaliser = Normaliser(values["mean"].numpy(), values["std"].numpy()) if "mean" in values else None
    return network.eval(), args, normaliser


def metadata(trained: Trained) -> dict[str, Any]:
    """What sampling must know besides the network: an exported file carries it, see `pose_rt.stages.motion`."""
    spec, args = trained.spec, trained.args
    return {
        "kind": "mas", "dataset": spec.name, "skeleton": spec.skeleton.name, "fps": spec.fps, "longest": spec.longest,
        "distance": spec.distance, "scale": spec.scale, "vertical": list(spec.vertical),
        "steps": int(args.get("diffusion_steps", 100)), "schedule": str(args.get("noise_schedule", "cosine_tau_2")),
        "mean_type": str(args.get("model_mean_type", "x_start")),
        "mean": np.asarray(trained.normaliser.mean, np.float64).round(7).tolist(),
        "std": np.asarray(trained.normaliser.std, np.float64).round(7).tolist(),
    }  # fmt: skip


class TorchNetwork:
    """A network as `pose_rt.stages.motion.Network`: the same call that an ONNX file answers."""

    def __init__(self, trained: Trained) -> None:
        self.metadata, self.name = metadata(trained), "checkpoint"
        self._network = trained.network

    @torch.no_grad()
    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        x, t, lengths = (torch.from_numpy(feeds[name]) for name in ("x", "t", "lengths"))
        return {"prediction": self._network(x, t, lengths).numpy()}

    def close(self) -> None:
        """Nothing is held."""
