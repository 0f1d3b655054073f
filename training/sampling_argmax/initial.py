"""Weights to begin with: ImageNet's for the backbone, from a file, or from torchvision or timm where the user asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from pose_rt.errors import InputError, UsageError
from pose_rt.models.sampling_argmax import HeatmapNetwork
from pose_rt.models.sampling_argmax.checkpoint import read

_UNUSED = ("fc.", "classifier.")


def load_backbone(network: HeatmapNetwork, source: str) -> None:
    """Give the backbone its ImageNet weights.

    Args:
        source: a file with torchvision's key names (.pth, .safetensors), or torchvision or timm, which then download their own.

    Raises:
        UsageError: a package that is not here.
        InputError: a file of another network.
    """
    layers = network.config.layers
    if source == "torchvision":
        try:
            from torchvision import models
        except ImportError as error:
            raise UsageError("torchvision is not installed", "give the file of the weights: --pretrained FILE") from error
        state = getattr(models, f"resnet{layers}")(weights="IMAGENET1K_V1").state_dict()
    elif source == "timm":
        try:
            import timm
        except ImportError as error:
            raise UsageError("timm is not installed", "pip install timm, or give the file of the weights: --pretrained FILE") from error
        state = timm.create_model(f"resnet{layers}", pretrained=True).state_dict()
    else:
        state = _from_file(Path(source))
    _load(network, state, source)


def _from_file(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not path.is_file():
            raise InputError(f"{path}: no such file of weights")
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: not a safetensors file ({error})") from error
    values = read(path)
    return dict(values.get("state_dict", values))


def _load(network: HeatmapNetwork, state: Mapping[str, Tensor], source: str) -> None:
    wanted = network.preact.state_dict()
    given = {name: value for name, value in state.items() if not name.startswith(_UNUSED)}
    for name, tensor in wanted.items():
        if name.endswith("num_batches_tracked") and name not in given:
            given[name] = tensor
        elif name not in given or given[name].shape != tensor.shape:
            came = f"has it as {tuple(given[name].shape)}" if name in given else "has no such tensor"
            raise InputError(
                f"{source}: the backbone wants {name} {tuple(tensor.shape)}, the file {came}",
                f"give weights of ResNet-{network.config.layers} with width 64 and torchvision's names",
            )
    network.preact.load_state_dict({name: given[name] for name in wanted})
