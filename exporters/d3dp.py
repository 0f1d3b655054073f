"""D3DP checkpoint -> ONNX: ``python -m exporters d3dp CHECKPOINT --out lifter.onnx``.

Reads checkpoints of `training.d3dp` and the published ``.bin`` files (pickled dicts with a NumPy generator inside: loaded with
``weights_only=True`` and an allow-list of exactly those NumPy types). The model: inputs `xy` (N, F, J, 2), `noisy` (N, F, J, 3),
`step` (N,) float32; output `clean` (N, F, J, 3); opset 17; metadata entry `pose_rt` as JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from pose_rt.errors import InputError, PoseRtError
from pose_rt.models.d3dp import MixSTE, MixSTEConfig

from .report import Parity, compare, run_onnx, sha256, write_report

OPSET = 17
_TOLERANCE = 2e-5


@dataclass(frozen=True)
class Source:
    """A network and what the run time must know about it (the `pose_rt` metadata)."""

    network: MixSTE
    metadata: dict[str, Any]


def read_checkpoint(path: Path, heads: int = 8) -> Source:
    """A checkpoint of ours or a published one.

    Args:
        path: the file.
        heads: attention heads of a published checkpoint (its weights do not tell; the release has 8).

    Raises:
        InputError: neither kind, or a file that does not load safely.
    """
    values = _load(path)
    if values.get("kind") == "d3dp" and "weights" in values:
        return _own(values)
    state = values.get("model_pos")
    if not isinstance(state, dict):
        raise InputError(f"{path}: no 'weights' and no 'model_pos' in it: not a D3DP checkpoint")
    return _published(state, heads)


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        with torch.serialization.safe_globals(_numpy_types()):
            values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise InputError(f"{path}: does not load with weights_only=True ({type(error).__name__}: {str(error).splitlines()[0]})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds a {type(values).__name__}, wanted a checkpoint dict")
    return values


def _numpy_types() -> list[Any]:
    """What the pickle of a published file names besides tensors: a NumPy RandomState and scalars, which only carry data.

    NumPy 1 and 2 call the same functions by different module names; the files were written by NumPy 1.
    """
    multiarray = importlib.import_module("numpy._core.multiarray" if np.__version__ >= "2" else "numpy.core.multiarray")
    random_pickle = importlib.import_module("numpy.random._pickle")
    functions = [multiarray._reconstruct, multiarray.scalar]
    types = [np.ndarray, np.dtype, np.random.RandomState, np.random.MT19937, *(type(np.dtype(d)) for d in ("u4", "i8", "f8"))]
    renamed = [(function, f"numpy.core.multiarray.{function.__name__}") for function in functions]
    return [*types, *functions, *renamed, random_pickle.__randomstate_ctor, random_pickle.__bit_generator_ctor]


def _own(values: dict[str, Any]) -> Source:
    c = values["config"]
    network = MixSTE(MixSTEConfig(c["frames"], c["width"], c["depth"], c["heads"]))
    network.load_state_dict(values["weights"])
    metadata = {
        "kind": "d3dp", "frames": c["frames"], "rate_hz": c["rate_hz"], "timesteps": c["timesteps"], "scale": c["scale"],
        "unit_m": c["unit_m"], "input": "view", "skeleton_in": "h36m17", "skeleton_out": "h36m17",
        "sigma": {"a_m": [0.04] * 17, "b": [1.0] * 17, "how": "not calibrated"},
    }  # fmt: skip
    return Source(network.eval(), metadata)


def _published(state: dict[str, Tensor], heads: int) -> Source:
    state = {key.removeprefix("module."): value for key, value in state.items()}
    prefix = "pose_estimator."
    weights = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    try:
        frames, width = weights["Temporal_pos_embed"].shape[1:]
        joints = weights["Spatial_pos_embed"].shape[1]
    except KeyError as error:
        raise InputError(f"the checkpoint has no {prefix}{error.args[0]}: not a D3DP denoiser") from error
    depth = len({key.split(".")[1] for key in weights if key.startswith("STEblocks.")})
    network = MixSTE(MixSTEConfig(frames, width, depth, heads, joints))
    network.load_state_dict(weights)
    metadata = {
        "kind": "d3dp", "frames": frames, "rate_hz": 50.0, "timesteps": len(state.get("betas", range(1000))), "scale": 1.0, "unit_m": 1.0,
        "input": "screen", "skeleton_in": "h36m17", "skeleton_out": "h36m17", "sigma": {"a_m": [0.05] * joints, "b": [1.0] * joints},
    }  # fmt: skip
    return Source(network.eval(), metadata)


class _Flat(nn.Module):
    """The denoiser with its step as float32, as the ONNX contract has it."""

    def __init__(self, network: MixSTE) -> None:
        super().__init__()
        self.network = network

    def forward(self, xy: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
        return self.network.denoise(xy, noisy, step)


def trial_inputs(config: MixSTEConfig, count: int, seed: int) -> dict[str, np.ndarray]:
    """Inputs of plausible size for a comparison."""
    rng = np.random.default_rng(seed)
    shape = (count, config.frames, config.joints)
    return {
        "xy": rng.standard_normal((*shape, 2), dtype=np.float32),
        "noisy": rng.standard_normal((*shape, 3), dtype=np.float32).clip(-1.1, 1.1),
        "step": rng.integers(0, 1000, count).astype(np.float32),
    }


def export(source: Source, out: Path, *, half: bool = False) -> Parity:
    """Write the ONNX file and compare it with the network on several batch sizes.

    Args:
        half: store the weights as float16 with a cast after each (half the file; the arithmetic stays float32).
    """
    network = source.network
    feeds = trial_inputs(network.config, 2, 0)
    names = ("xy", "noisy", "step")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(out.name + ".part")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Flat(network), tuple(torch.from_numpy(feeds[name]) for name in names), str(temporary), input_names=list(names),
            output_names=["clean"], opset_version=OPSET, dynamo=False, dynamic_axes={name: {0: "N"} for name in (*names, "clean")},
        )  # fmt: skip
    model = onnx.load(str(temporary))
    if half:
        store_half(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = "pose_rt", json.dumps(source.metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(temporary))
    pairs = []
    for seed, count in ((1, 1), (2, 5), (3, 40)):
        feeds = trial_inputs(network.config, count, seed)
        with torch.no_grad():
            wanted = network.denoise(*(torch.from_numpy(feeds[name]) for name in names)).numpy()
        pairs.append((wanted, run_onnx(temporary, feeds)[0]))
    temporary.replace(out)
    return compare("clean", pairs, 2e-2 if half else _TOLERANCE)


def store_half(model: onnx.ModelProto, smallest: int = 64) -> None:
    """Keep large float32 constants as float16 and cast them back when the model is loaded."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < smallest or np.abs(values).max() > 6e4:
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), name + "_f16"))
        casts.append(onnx.helper.make_node("Cast", [name + "_f16"], [name], to=onnx.TensorProto.FLOAT))
    for i, node in enumerate(casts):
        graph.node.insert(i, node)


def sigma_metadata(calibration: dict[str, Any]) -> dict[str, Any]:
    """What the run time needs of `training.d3dp.evaluate`'s calibration: `a_m` and `b` for two steps, and those of other settings.

    `by_steps` holds a pair for each number of steps that was calibrated, `alone_m` is sigma where a single hypothesis has no spread.
    """
    by_steps = {steps: {key: entry[key] for key in ("a_m", "b")} for steps, entry in calibration["by_steps"].items()}
    return {**by_steps["2"], "hypotheses": calibration["hypotheses"], "by_steps": by_steps, "alone_m": calibration["alone"]["a_m"]}


def main(argv: list[str]) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m exporters d3dp", description="D3DP checkpoint -> ONNX")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--heads", type=int, default=8, help="attention heads of a published checkpoint")
    parser.add_argument("--half", action="store_true", help="store the weights as float16")
    parser.add_argument("--sigma", type=Path, help="JSON of training.d3dp.evaluate: its calibration goes into the metadata")
    args = parser.parse_args(argv)
    try:
        source = read_checkpoint(args.checkpoint, args.heads)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if args.sigma is not None:
        source.metadata["sigma"] = sigma_metadata(json.loads(args.sigma.read_text())["sigma"])
    parity = export(source, args.out, half=args.half)
    write_report(args.out.with_suffix(".json"), args.out, args.checkpoint.name, [parity])
    verdict = "ok" if parity.ok else "FAIL"
    print(f"{verdict}  {args.out}  sha256 {sha256(args.out)}  largest difference {parity.max_abs:.2e} (tolerance {parity.tolerance:.0e})")
    return 0 if parity.ok else 1
