"""D3DP checkpoint -> ONNX: ``python -m exporters d3dp --checkpoint FILE --out lifter.onnx``.

Reads checkpoints of `training.d3dp` and the published ``.bin`` files (`exporters.checkpoint`).
The model: inputs `xy` (N, F, J, 2), `noisy` (N, F, J, 3),
`step` (N,) float32; output `clean` (N, F, J, 3); opset 17; metadata entry `pose_rt` as JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from pose_rt.errors import InputError
from pose_rt.models.d3dp import D3DP, MixSTE, MixSTEConfig

from . import checkpoint, torch_export
from .report import Parity

_TOLERANCE, _HALF_TOLERANCE = 2e-5, 2e-2
_COUNTS = {0: 2, 1: 1, 2: 5, 3: 40}
"""Windows in the trial of each seed."""


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
    values = checkpoint.read(path)
    if values.get("kind") == "d3dp" and "weights" in values:
        return _own(values, path)
    if "model_pos" not in values:
        raise InputError(f"{path}: no 'weights' and no 'model_pos' in it: not a D3DP checkpoint")
    return _published(checkpoint.state_of(values, "model_pos", path), heads, path)


def _own(values: dict[str, Any], path: Path) -> Source:
    c = values["config"]
    network = MixSTE(MixSTEConfig(c["frames"], c["width"], c["depth"], c["heads"]))
    checkpoint.load_into(network, values["weights"], path)
    metadata = {
        "kind": "d3dp", "frames": c["frames"], "rate_hz": c["rate_hz"], "timesteps": c["timesteps"], "scale": c["scale"],
        "unit_m": c["unit_m"], "input": c.get("input", "view"), "skeleton_in": c.get("skeleton_in", "h36m17"),
        "skeleton_out": c.get("skeleton_out", "h36m17"),
        "sigma": {"a_m": [0.04] * 17, "b": [1.0] * 17, "how": "not calibrated"},
    }  # fmt: skip
    return Source(network.eval(), metadata)


def _published(state: dict[str, Tensor], heads: int, path: Path) -> Source:
    """Sizes are read off the tensors; then all of them must fit, the schedule's tables too."""
    spatial, temporal = (state.get(f"pose_estimator.{name}_pos_embed") for name in ("Spatial", "Temporal"))
    if spatial is None or temporal is None or temporal.ndim != 3 or spatial.ndim != 3:
        raise InputError(f"{path}: tensor pose_estimator.{'Spatial' if spatial is None else 'Temporal'}_pos_embed is missing or no table")
    (_, frames, width), joints = temporal.shape, spatial.shape[1]
    depth = len({key.split(".")[2] for key in state if key.startswith("pose_estimator.STEblocks.")})
    timesteps = len(state.get("betas", range(1000)))
    model = D3DP(MixSTEConfig(frames, width, depth, heads, joints), timesteps)
    checkpoint.load_into(model, state, path)
    network = model.pose_estimator
    metadata = {
        "kind": "d3dp", "frames": frames, "rate_hz": 50.0, "timesteps": timesteps, "scale": 1.0, "unit_m": 1.0,
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


def job_of(source: Source) -> torch_export.Export:
    """What `torch_export.export` needs of a denoiser."""
    names, config = ("xy", "noisy", "step"), source.network.config
    return torch_export.Export(
        source.network, names, "clean", {name: {0: "N"} for name in (*names, "clean")}, source.metadata,
        lambda seed: trial_inputs(config, _COUNTS[seed], seed), "mm", 1000 * source.metadata["unit_m"] / source.metadata["scale"],
        _TOLERANCE, _HALF_TOLERANCE, flat=_Flat(source.network),
    )  # fmt: skip


def export(source: Source, out: Path, *, half: bool = False, precision: str = "fp32") -> Parity:
    """Write the ONNX file, its report and its safetensors; compare it with the network on several batch sizes."""
    return torch_export.export(job_of(source), out, source="", half=half, precision=precision)


def sigma_metadata(calibration: dict[str, Any]) -> dict[str, Any]:
    """What the run time needs of `training.d3dp.evaluate`'s calibration: `a_m` and `b` for two steps, and those of other settings.

    `by_steps` holds a pair for each number of steps that was calibrated, `alone_m` is sigma where a single hypothesis has no spread.
    """
    by_steps = {steps: {key: entry[key] for key in ("a_m", "b")} for steps, entry in calibration["by_steps"].items()}
    return {**by_steps["2"], "hypotheses": calibration["hypotheses"], "by_steps": by_steps, "alone_m": calibration["alone"]["a_m"]}


def main(argv: list[str]) -> int:
    """The command line; returns the exit status."""
    parser = torch_export.arguments("d3dp", "D3DP checkpoint -> ONNX")
    parser.add_argument("--heads", type=int, default=8, help="attention heads of a published checkpoint")
    parser.add_argument("--skeleton-in", choices=("h36m17", "coco17"), help="joint order of the 2D of a published checkpoint")
    parser.add_argument("--sigma", type=Path, help="JSON of training.d3dp.evaluate: its calibration goes into the metadata")
    options = parser.parse_args(argv)

    def job() -> torch_export.Export:
        source = read_checkpoint(options.checkpoint, options.heads)
        if options.skeleton_in is not None:
            source.metadata["skeleton_in"] = options.skeleton_in
        if options.sigma is not None:
            source.metadata["sigma"] = sigma_metadata(json.loads(options.sigma.read_text())["sigma"])
        return job_of(source)

    return torch_export.command(options, job)
