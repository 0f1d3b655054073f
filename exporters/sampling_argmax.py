"""Sampling-argmax checkpoint -> ONNX: ``python -m exporters sampling_argmax --checkpoint FILE --out my_model.onnx``.

Reads checkpoints of `training.sampling_argmax` and published state dicts. The model: input `image` (N, 3, H, W) float32, output `heatmaps`
(N, K, H / 4, W / 4) or (N, K D, ...) logits; opset 17; metadata entry `pose_rt` as JSON. A model of people in 2D runs in
``pose-rt video --pose2d my_model.onnx``. With ``--results results.json`` of `training.sampling_argmax.evaluate` the spread of its keypoints
is the error that was measured there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from pose_rt.core.skeleton import SKELETONS
from pose_rt.errors import InputError
from pose_rt.models.sampling_argmax import HeatmapNetwork
from pose_rt.models.sampling_argmax.checkpoint import KIND, Trained, read_trained

from . import torch_export
from .report import Parity

_TOLERANCE, _HALF_TOLERANCE = 2e-3, 0.5
_COUNTS = {0: 2, 1: 1, 2: 3, 3: 5}
"""Pictures in the trial of each seed."""


class _Logits(nn.Module):
    def __init__(self, network: HeatmapNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network.logits(image)


def metadata_of(trained: Trained) -> dict[str, Any]:
    """What the run time must know."""
    config = trained.network.config
    known = next((s.name for s in SKELETONS.values() if s.joints == trained.names), None)
    return {
        "kind": KIND, "task": trained.task, "dims": len(config.head.grid), "image": list(config.image), "grid": list(config.head.grid),
        "mean": list(trained.mean), "deviation": list(trained.deviation), "enlarge": trained.enlarge,
        "basis": config.head.basis if config.head.noisy else None,
        "skeleton": {
            "name": known or f"{trained.task}{len(trained.names)}", "joints": list(trained.names),
            "edges": [list(e) for e in trained.edges], "pairs": [list(p) for p in trained.pairs],
        },
    }  # fmt: skip


def spread_factor(results: Path) -> float:
    """Root mean square error over spread, as `training.sampling_argmax.evaluate` measured it.

    Raises:
        InputError: the file holds no such figure.
    """
    try:
        factor = float(json.loads(results.read_text(encoding="utf-8"))["results"]["calibration"]["factor"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        cure = "give results.json of python -m training.sampling_argmax.evaluate"
        raise InputError(f"{results}: holds no calibration ({type(error).__name__})", cure) from error
    if not 0 < factor < float("inf"):
        raise InputError(f"{results}: the calibration's factor is {factor}", "measure on pictures with more keypoints")
    return factor


def job_of(trained: Trained, factor: float | None = None) -> torch_export.Export:
    """What `torch_export.export` needs of a network; `factor` of its spread where it was measured."""
    config, metadata = trained.network.config, metadata_of(trained)
    if factor is not None:
        metadata["spread_factor"] = factor

    def trials(seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        pixels = rng.random((_COUNTS[seed], 3, *config.image), np.float32)
        mean, deviation = (np.array(v, np.float32)[:, None, None] for v in (trained.mean, trained.deviation))
        return {"image": (pixels - mean) / deviation}

    return torch_export.Export(
        trained.network, ("image",), "heatmaps", {"image": {0: "N"}, "heatmaps": {0: "N"}}, metadata, trials, "logits", 1.0,
        _TOLERANCE, _HALF_TOLERANCE, flat=_Logits(trained.network).eval(),
    )  # fmt: skip


def export(trained: Trained, out: Path, *, half: bool = False, precision: str = "fp32") -> Parity:
    """Write the ONNX file, its report and its safetensors; compare it with the network on several batch sizes."""
    return torch_export.export(job_of(trained), out, source="", half=half, precision=precision)


def main(argv: list[str]) -> int:
    """The command line; returns the exit status."""
    parser = torch_export.arguments(KIND, "sampling-argmax checkpoint -> ONNX")
    parser.add_argument("--results", type=Path, help="results.json of evaluation: the spread is calibrated by it")
    options = parser.parse_args(argv)

    def job() -> torch_export.Export:
        return job_of(read_trained(options.checkpoint), None if options.results is None else spread_factor(options.results))

    return torch_export.command(options, job)
