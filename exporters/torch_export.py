"""A torch network -> an ONNX file with its parity report and its weights as safetensors: what the exporters of networks share."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from pose_rt.engines.fp16_graph import layers, load_model
from pose_rt.engines.precision import Fit, fit_fp16
from pose_rt.errors import PoseRtError
from pose_rt.zoo.manifest import sha256_of

from .checkpoint import write_safetensors
from .report import Parity, compare, run_onnx, write_report

OPSET = 17
PRECISIONS = ("fp32", "fp16")


@dataclass(frozen=True)
class Export:
    """A network and how it becomes an ONNX file.

    Attributes:
        network: holds the weights; `forward`, or `flat` where it has another, takes the inputs in order and gives the one output.
        inputs, output: names in the ONNX file.
        axes: {name: {axis: name of its free length}}.
        metadata: the file's `pose_rt` entry.
        trials: seed -> inputs to compare the file with the network on; seed 0 is traced.
        unit, factor: of the output, and from its values to that unit.
        tolerance, half_tolerance: largest difference, in the output's values, with weights in fp32 and stored in fp16.
        half_from: smallest weight that is stored in fp16 where that is asked for.
    """

    network: nn.Module
    inputs: tuple[str, ...]
    output: str
    axes: Mapping[str, dict[int, str]]
    metadata: dict[str, Any]
    trials: Callable[[int], dict[str, np.ndarray]]
    unit: str
    factor: float
    tolerance: float
    half_tolerance: float
    half_from: int = 64
    flat: nn.Module | None = None

    def run(self, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the network itself gives."""
        with torch.no_grad():
            result: np.ndarray = (self.flat or self.network)(*(torch.from_numpy(feeds[name]) for name in self.inputs)).numpy()
        return result


def export(
    job: Export, out: Path, *, source: str, precision: str = "fp32", half: bool = False, seeds: tuple[int, ...] = (1, 2, 3)
) -> Parity:
    """Write the ONNX file, its report and its safetensors; each appears whole or not at all.

    Args:
        source: the checkpoint's name, for the report.
        precision: "fp16" computes in fp16 in all layers that can (`pose_rt.engines.precision.fit_fp16`).
        half: store the weights as float16 with a cast after each (half the file; the arithmetic stays float32).
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(out.name + ".part")
    feeds = job.trials(0)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                job.flat or job.network, tuple(torch.from_numpy(feeds[name]) for name in job.inputs), str(temporary),
                input_names=list(job.inputs), output_names=[job.output], opset_version=OPSET, dynamo=False,
                dynamic_axes={name: dict(axes) for name, axes in job.axes.items()},
            )  # fmt: skip
        model = onnx.load(str(temporary))
        if half:
            store_half(model, job.half_from)
        entry = model.metadata_props.add()
        entry.key, entry.value = "pose_rt", json.dumps(job.metadata)
        onnx.checker.check_model(model)
        fit = fit_fp16(model.SerializeToString()) if precision == "fp16" else None
        if fit is None:
            onnx.save(model, str(temporary))
        else:
            temporary.write_bytes(fit.model)
        tolerance = job.factor * (job.half_tolerance if half or fit is not None else job.tolerance)
        pairs = {seed: (job.run(feeds := job.trials(seed)), run_onnx(temporary, feeds)[0]) for seed in seeds}
        parity = compare(job.output, pairs, tolerance, unit=job.unit, factor=job.factor)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    write_safetensors(out.with_suffix(".safetensors"), job.network, job.metadata)
    write_report(out, source, [parity], None if fit is None else describe_fit(fit, len(layers(load_model(model.SerializeToString())))))
    return parity


def describe_fit(fit: Fit, count: int) -> dict[str, Any]:
    """The fp16 part of a report: figures on the recorded inputs, every fp16 result rounded."""
    error = fit.error
    return {"unit": error.unit, "max": error.max, "mean": error.mean, "layers": count, "kept_fp32": list(fit.kept)}


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


def arguments(name: str, description: str) -> argparse.ArgumentParser:
    """The options that every exporter of a network has."""
    parser = argparse.ArgumentParser(prog=f"python -m exporters {name}", description=description)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="ONNX file; the report and the weights as safetensors go beside it")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the arithmetic (default: %(default)s)")
    parser.add_argument("--half", action="store_true", help="store the weights as float16; the arithmetic stays float32")
    return parser


def command(options: argparse.Namespace, job: Callable[[], Export]) -> int:
    """Read, export, print a line; the exit status."""
    try:
        parity = export(job(), options.out, source=options.checkpoint.name, precision=options.precision, half=options.half)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    verdict, unit = "ok" if parity.ok else "FAIL", parity.unit
    figures = f"largest difference {parity.max:.2e} {unit}, mean {parity.mean:.2e} {unit} (tolerance {parity.tolerance:.0e})"
    print(f"{verdict}  {options.out}  sha256 {sha256_of(options.out)}  {figures}")
    return 0 if parity.ok else 1
