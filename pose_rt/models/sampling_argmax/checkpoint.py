"""Checkpoints of these networks: ours, with all that a user of the network must know, and the published bare state dicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pose_rt.core.skeleton import COCO17
from pose_rt.errors import InputError

from .networks import NETWORKS, PUBLISHED_NETWORKS, HeatmapNetwork, NetworkConfig
from .resnet import DEPTHS, BasicBlock

KIND = "sampling_argmax"
PUBLISHED_MEAN = (0.406, 0.457, 0.480)
PUBLISHED_DEVIATION_3D = (0.225, 0.224, 0.229)
_TASK_OF_CHANNELS = {17: "coco", 5: "mtfl", 18 * 32: "h36m"}


@dataclass(frozen=True)
class Trained:
    """A network and what its user must know.

    Attributes:
        task: coco, h36m, mtfl or images.
        names, pairs, edges: of the joints; empty where a published checkpoint does not tell and no standard says.
        mean, deviation: (RGB / 255 - mean) / deviation is the network's input.
        enlarge: of a person's box.
        epoch: that it was trained to, None = not known.
    """

    network: HeatmapNetwork
    task: str
    names: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    edges: tuple[tuple[int, int], ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    enlarge: float
    epoch: int | None = None

    def about(self) -> dict[str, Any]:
        """Plain values, for checkpoints and metadata."""
        return {
            "task": self.task, "network": self.network.config.to_dict(), "names": list(self.names),
            "pairs": [list(p) for p in self.pairs], "edges": [list(e) for e in self.edges], "mean": list(self.mean),
            "deviation": list(self.deviation), "enlarge": self.enlarge,
        }  # fmt: skip


def load_state(network: torch.nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """All weights and no others.

    Raises:
        InputError: names the first tensor that is missing, of another shape, not finite, or too many.
    """
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        if name not in state or state[name].shape != tensor.shape:
            came = "is missing" if name not in state else f"is {tuple(state[name].shape)}"
            raise InputError(f"{path}: tensor {name} {came}, wanted {tuple(tensor.shape)}", "give the task and sizes it was trained with")
        if state[name].is_floating_point() and not torch.isfinite(state[name]).all():
            raise InputError(f"{path}: tensor {name} holds values that are not finite")
    extra = [name for name in state if name not in wanted]
    if extra:
        raise InputError(f"{path}: tensor {extra[0]} is no part of this network")
    network.load_state_dict(dict(state))


def read(path: Path) -> dict[str, Any]:
    """The dict in a file, loaded with ``weights_only=True``.

    Raises:
        InputError: no such file, damaged, or not a dict.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise InputError(f"{path}: not a checkpoint that loads with weights_only=True ({type(error).__name__})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds a {type(values).__name__}, wanted a checkpoint")
    return values


def read_trained(path: Path, task: str | None = None) -> Trained:
    """A network in evaluation mode from a checkpoint of ours or a published one.

    Raises:
        InputError: neither, or one of another task than `task`.
    """
    values = read(path)
    if values.get("kind") == KIND:
        found = _own(values, path)
    elif "preact.conv1.weight" in values:
        found = _published(values, path)
    else:
        what = f"of kind {values['kind']!r}" if "kind" in values else "unknown"
        raise InputError(
            f"{path}: a checkpoint {what}, not one of sampling-argmax", "train one with python -m training.sampling_argmax.train"
        )
    if task is not None and task != found.task:
        raise InputError(f"{path}: a checkpoint of the task {found.task}, wanted {task}", f"give --task {found.task}")
    found.network.eval()
    return found


def _own(values: dict[str, Any], path: Path) -> Trained:
    try:
        about = values["about"]
        config = NetworkConfig.from_dict(about["network"])
        network = NETWORKS[about["task"]](config)
        weights = values["weights"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged: {type(error).__name__} {error}") from error
    load_state(network, weights, path)
    return Trained(
        network, about["task"], tuple(about["names"]), tuple((a, b) for a, b in about["pairs"]), tuple((a, b) for a, b in about["edges"]),
        tuple(about["mean"]), tuple(about["deviation"]), about["enlarge"], values.get("epoch"),
    )  # fmt: skip


def _published(state: dict[str, Tensor], path: Path) -> Trained:
    """Task and depth are read off the tensors; the input's size, which they do not tell, is the published one."""
    channels = len(state["final_layer.weight"]) if "final_layer.weight" in state else 0
    if channels not in _TASK_OF_CHANNELS:
        raise InputError(f"{path}: a state dict whose final layer has {channels} channels", "wanted 17 (COCO), 576 (H36M) or 5 (MTFL)")
    task = _TASK_OF_CHANNELS[channels]
    blocks = tuple(len({k.split(".")[2] for k in state if k.startswith(f"preact.layer{i}.")}) for i in range(1, 5))
    basic = not any(".conv3." in key for key in state)
    layers = next((n for n, (block, counts) in DEPTHS.items() if counts == blocks and (block is BasicBlock) == basic), None)
    if layers is None:
        raise InputError(f"{path}: its backbone has {blocks} blocks, which is none of {', '.join(f'ResNet-{n}' for n in DEPTHS)}")
    network = NETWORKS[task](replace(PUBLISHED_NETWORKS[task], layers=layers))
    load_state(network, state, path)
    coco = task == "coco"
    pairs = {
        "coco": tuple((i, i + 1) for i in range(1, 17, 2)), "mtfl": ((0, 1), (3, 4)),
        "h36m": ((1, 4), (2, 5), (3, 6), (14, 11), (15, 12), (16, 13)),
    }[task]  # fmt: skip
    return Trained(
        network, task, COCO17.joints if coco else tuple(f"joint_{i}" for i in range(network.config.head.joints)), pairs,
        COCO17.edges if coco else (), PUBLISHED_MEAN, PUBLISHED_DEVIATION_3D if task == "h36m" else (1.0, 1.0, 1.0),
        1.25 if coco else 1.0,
    )  # fmt: skip
