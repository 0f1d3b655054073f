"""How far an exported model is from its original: the same inputs through both, the largest and the mean difference."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Parity:
    """Differences of one output over all trial inputs, in the output's unit."""

    output: str
    trials: int
    max_abs: float
    mean_abs: float
    largest_value: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.max_abs <= self.tolerance


def run_onnx(path: Path, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """All outputs of a model on the CPU, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, dict(feeds))]


def compare(output: str, pairs: list[tuple[np.ndarray, np.ndarray]], tolerance: float) -> Parity:
    """Summarise (original, exported) pairs; a value that is not finite on either side makes the difference infinite."""
    differences = [np.abs(a.astype(np.float64) - b) for a, b in pairs]
    finite = all(np.isfinite(d).all() for d in differences)
    return Parity(
        output, len(pairs), max(float(d.max()) for d in differences) if finite else float("inf"),
        float(np.mean([d.mean() for d in differences])) if finite else float("inf"),
        max(float(np.abs(a).max()) for a, _ in pairs), tolerance,
    )  # fmt: skip


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_report(path: Path, model: Path, source: str, parities: list[Parity]) -> None:
    """JSON beside the model: what was exported from what, and the differences."""
    values = {"model": model.name, "sha256": sha256(model), "bytes": model.stat().st_size, "source": source}
    path.write_text(json.dumps({**values, "parity": [asdict(p) for p in parities]}, indent=2) + "\n")
