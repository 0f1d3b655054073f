"""How far an exported model is from its original: the same inputs through both, the largest and the mean difference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.zoo.manifest import sha256_of
from pose_rt.zoo.parity import report_path


@dataclass(frozen=True)
class Parity:
    """Differences of one output over all trial inputs, in `unit`."""

    output: str
    unit: str
    seeds: tuple[int, ...]
    max: float
    mean: float
    largest_value: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.max <= self.tolerance


def run_onnx(path: Path, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """All outputs of a model on the CPU, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, dict(feeds))]


def compare(
    output: str, pairs: Mapping[int, tuple[np.ndarray, np.ndarray]], tolerance: float, *, unit: str = "", factor: float = 1.0
) -> Parity:
    """Summarise (original, exported) pairs by seed; a value that is not finite on either side makes the difference infinite.

    Args:
        factor: from the output's values to `unit`; `tolerance` is in `unit`.
    """
    differences = [factor * np.abs(a.astype(np.float64) - b) for a, b in pairs.values()]
    finite = all(np.isfinite(d).all() for d in differences)
    return Parity(
        output, unit, tuple(pairs), max(float(d.max()) for d in differences) if finite else float("inf"),
        float(np.mean([d.mean() for d in differences])) if finite else float("inf"),
        factor * max(float(np.abs(a).max()) for a, _ in pairs.values()), tolerance,
    )  # fmt: skip


def write_report(model: Path, source: str, parities: list[Parity], fp16: Mapping[str, Any] | None = None) -> Path:
    """JSON beside the model: what was exported from what, the differences, and what is known of its fp16 variant.

    A report of the same file keeps its fp16 part where no new one is given.
    """
    path, digest = report_path(model), sha256_of(model)
    values: dict[str, Any] = {"model": model.name, "sha256": digest, "bytes": model.stat().st_size, "source": source}
    values["parity"] = [asdict(p) for p in parities]
    if fp16 is not None:
        values["fp16"] = dict(fp16)
    elif path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before.get("sha256") == digest and "fp16" in before:
            values["fp16"] = before["fp16"]
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return path
