"""A lifter from whatever file holds one: our checkpoints (.pt), published ones (.bin), safetensors, and ONNX files or names of the zoo."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose_rt.core.skeleton import SKELETONS
from pose_rt.errors import InputError, PoseRtError
from pose_rt.models.d3dp import MixSTE, MixSTEConfig
from training.common import checkpoint
from training.data import mpi3dhp

from .config import TrainConfig, published
from .datasets import lifter_of
from .sampling import Lifter

_PREFIX = "pose_estimator."


def load_lifter(
    path: Path | str, *, dataset: str = "h36m", skeleton_in: str | None = None, heads: int = 8, device: str = "cpu", half: bool = False
) -> tuple[Lifter, TrainConfig]:
    """The network of a file, ready to sample, and its settings.

    Args:
        path: the file, or the name of a lifter in the zoo.
        dataset, skeleton_in, heads: of a published checkpoint, whose weights do not tell them.
        device, half: where and how the network runs; an ONNX file runs on the CPU.

    Raises:
        InputError: no such file, another kind of file, or tensors that do not fit (the first that differs is named).
    """
    path = Path(path)
    if path.suffix == ".onnx" or not path.suffix:
        return _onnx(path)
    if path.suffix == ".safetensors":
        state, meta = _safetensors(path)
        config = _settings(meta) if meta else _published_config(state, dataset, skeleton_in, heads, path)
    else:
        values = _read(path)
        if "weights" in values:
            config, state = TrainConfig.from_dict(values["config"]), values["weights"]
        else:
            state = _published_state(values, path)
            config = _published_config(state, dataset, skeleton_in, heads, path)
    network = MixSTE(_sizes(config, state))
    checkpoint.load_into(network, state, path)
    return replace(lifter_of(network.eval().to(device), config, device), half=half), config


def _sizes(config: TrainConfig, state: dict[str, Tensor]) -> MixSTEConfig:
    joints = state["Spatial_pos_embed"].shape[1] if "Spatial_pos_embed" in state else 17
    return replace(config.model(), drop_path=0.0, joints=joints)


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".bin":  # written by the published scripts: a NumPy generator lies among the tensors
        from exporters.checkpoint import read

        return read(path)
    values = checkpoint.load(path)
    if "weights" not in values and "model_pos" not in values:
        raise InputError(f"{path}: no 'weights' and no 'model_pos' in it: not a D3DP checkpoint")
    return values


def _published_state(values: dict[str, Any], path: Path) -> dict[str, Tensor]:
    state = values.get("model_pos")
    if not isinstance(state, dict):
        raise InputError(f"{path}: no 'weights' and no 'model_pos' in it: not a D3DP checkpoint")
    return {key.removeprefix("module.").removeprefix(_PREFIX): v for key, v in state.items() if _PREFIX in key}


def _published_config(state: dict[str, Tensor], dataset: str, skeleton_in: str | None, heads: int, path: Path) -> TrainConfig:
    try:
        frames, width = state["Temporal_pos_embed"].shape[1:]
    except KeyError as error:
        raise InputError(f"{path}: tensor {_PREFIX}Temporal_pos_embed is missing: not a D3DP denoiser") from error
    depth = len({key.split(".")[1] for key in state if key.startswith("STEblocks.")})
    config = replace(published(frames, width, depth, dataset="3dhp" if dataset == "3dhp" else "h36m"), heads=heads)
    return config if skeleton_in is None else replace(config, skeleton_in=skeleton_in)


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import safe_open

    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    with safe_open(path, "pt") as file:
        meta = json.loads((file.metadata() or {}).get("pose_rt", "{}"))
        state = {key.removeprefix("module.").removeprefix(_PREFIX): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return state, {**meta, **_shape_of(state)} if meta else {}


def _shape_of(state: dict[str, Tensor]) -> dict[str, Any]:
    depth = len({key.split(".")[1] for key in state if key.startswith("STEblocks.")})
    return {"width": state["Temporal_pos_embed"].shape[2], "depth": depth}


def _settings(meta: dict[str, Any]) -> TrainConfig:
    """Settings from the `pose_rt` metadata of an exported model."""
    known = {key: meta[key] for key in ("frames", "rate_hz", "timesteps", "scale", "unit_m", "input", "skeleton_in", "skeleton_out")}
    sizes = {key: meta[key] for key in ("width", "depth", "heads") if key in meta}
    return replace(TrainConfig(), **known, **sizes)


def _onnx(path: Path) -> tuple[Lifter, TrainConfig]:
    from pose_rt import zoo
    from pose_rt.backends import open_backend

    try:
        backend = open_backend(path if path.suffix else zoo.find(str(path)), backend="onnxruntime")
    except PoseRtError as error:
        raise InputError(error.message, error.cure) from error
    if backend.metadata.get("kind") != "d3dp":
        raise InputError(f"{path}: not a lifter (kind {backend.metadata.get('kind')!r})")
    config = _settings(backend.metadata)
    step_dtype = next(np.dtype(t.dtype) for t in backend.inputs if t.name == "step")

    def denoise(xy: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
        feeds = {"xy": xy.numpy(), "noisy": noisy.numpy().astype(np.float32), "step": step.numpy().astype(step_dtype)}
        return torch.from_numpy(np.array(backend.run(feeds)["clean"]))

    root = mpi3dhp.ROOT if config.skeleton_out == "mpi17" else 0
    skeletons = (SKELETONS[config.skeleton_in], SKELETONS[config.skeleton_out])
    return Lifter(denoise, config.unit_m, config.timesteps, config.scale, 256, *skeletons, root), config
