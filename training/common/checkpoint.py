"""Checkpoint files: plain tensors, numbers and names, written whole or not at all, read without unpickling code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pose_rt.errors import InputError


def save(path: Path, values: dict[str, Any]) -> None:
    """Write beside `path`, flush, then move: an interrupted save leaves the previous checkpoint whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        torch.save(values, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load(path: Path, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a checkpoint with ``weights_only=True``.

    Raises:
        InputError: no such file, not a checkpoint, or one without the wanted keys.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise InputError(f"{path}: not a checkpoint that loads with weights_only=True ({type(error).__name__})") from error
    missing = [key for key in keys if not isinstance(values, dict) or key not in values]
    if missing:
        raise InputError(f"{path}: not the wanted kind of checkpoint (no {', '.join(map(repr, missing))})")
    return dict(values)


def load_into(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Give a network all its weights and no others.

    Raises:
        InputError: names the first tensor that is missing, of another shape, or too many.
    """
    wanted = module.state_dict()
    for name, tensor in wanted.items():
        if name not in state:
            raise InputError(f"{path}: tensor {name} {tuple(tensor.shape)} is missing")
        if state[name].shape != tensor.shape:
            shapes = f"is {tuple(state[name].shape)}, wanted {tuple(tensor.shape)}"
            raise InputError(f"{path}: tensor {name} {shapes}", "give the sizes it was trained with")
    extra = [name for name in state if name not in wanted]
    if extra:
        raise InputError(f"{path}: tensor {extra[0]} {tuple(state[extra[0]].shape)} is no part of a network of this size")
    module.load_state_dict(dict(state))
