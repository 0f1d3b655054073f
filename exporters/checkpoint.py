"""Checkpoints of others, read without running what is in them: tensors, numbers, names and NumPy's generator state, nothing else.

A checkpoint is a pickle, and a pickle is a program. ``torch.load(weights_only=True)`` runs none of it; published files also hold a
NumPy `RandomState` (D3DP) or a NumPy scalar (DHMP), so exactly the types and functions that those are made of are allowed.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pose_rt.errors import InputError


def read(path: Path) -> dict[str, Any]:
    """The dict that a checkpoint file holds, on the CPU.

    Raises:
        InputError: no such file, damaged, not a dict, or one that names anything that is not on the list.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        with torch.serialization.safe_globals(_numpy_types()):
            values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path}: does not load with weights_only=True ({type(error).__name__}: {reason})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds a {type(values).__name__}, wanted a checkpoint dict")
    return values


def _numpy_types() -> list[Any]:
    """What the pickle of a NumPy RandomState, array or scalar names; they carry data only.

    NumPy 1 and 2 call the same functions by different module names, and the published files were written by NumPy 1.
    """
    multiarray = importlib.import_module("numpy._core.multiarray" if np.__version__ >= "2" else "numpy.core.multiarray")
    random_pickle = importlib.import_module("numpy.random._pickle")
    functions = [multiarray._reconstruct, multiarray.scalar]
    dtypes = (type(np.dtype(d)) for d in ("u4", "i4", "i8", "f4", "f8", "?"))
    types = [np.ndarray, np.dtype, np.random.RandomState, np.random.MT19937, *dtypes]
    renamed = [(function, f"{module}.{function.__name__}") for function in functions for module in _MULTIARRAYS]
    return [*types, *functions, *renamed, random_pickle.__randomstate_ctor, random_pickle.__bit_generator_ctor]


_MULTIARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")


def state_of(values: Mapping[str, Any], key: str, path: Path) -> dict[str, Tensor]:
    """The state dict under `key`, without the ``module.`` that DataParallel puts in front of every name.

    Raises:
        InputError: no such key, or it is not a dict of tensors.
    """
    state = values.get(key)
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: no state dict under {key!r}; it holds {', '.join(map(repr, values)) or 'nothing'}")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def load_into(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Give a network its weights, all of them and no others.

    Raises:
        InputError: names the first tensor, in the network's order, that is missing, of another shape, not finite, or too many.
    """
    wanted = module.state_dict()
    for name, tensor in wanted.items():
        if name not in state:
            raise InputError(f"{path}: tensor {name} {tuple(tensor.shape)} is missing")
        if state[name].shape != tensor.shape:
            raise InputError(f"{path}: tensor {name} is {tuple(state[name].shape)}, wanted {tuple(tensor.shape)}")
        if not torch.isfinite(state[name]).all():
            raise InputError(f"{path}: tensor {name} holds values that are not finite")
    extra = [name for name in state if name not in wanted]
    if extra:
        raise InputError(f"{path}: tensor {extra[0]} {tuple(state[extra[0]].shape)} is no part of a {type(module).__name__} of this size")
    module.load_state_dict(dict(state))


def write_safetensors(path: Path, module: nn.Module, metadata: Mapping[str, Any]) -> None:
    """The weights of a network as safetensors, its `pose_rt` metadata in the header; written beside `path`, then moved."""
    from safetensors.torch import save_file

    temporary = path.with_name(path.name + ".part")
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
    save_file(tensors, temporary, metadata={"pose_rt": json.dumps(dict(metadata))})
    temporary.replace(path)
