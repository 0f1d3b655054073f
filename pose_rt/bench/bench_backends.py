"""Every bundled model on every runtime that is here: latency of one run, in turns, batch 1 and more, fp32 and fp16.

Inputs are the recorded ones (`engines.trials`). A turn is one run of each candidate, so that what else the machine does hits all of
them alike.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt import zoo
from pose_rt.backends import Backend, open_backend
from pose_rt.backends.onnxruntime import OnnxRuntimeBackend, OnnxRuntimeCudaBackend
from pose_rt.engines.trials import Feeds, batch, deviation, trial_feeds
from pose_rt.errors import BackendError
from pose_rt.io.output import write_json
from pose_rt.zoo import parity

from . import machine

MODELS = ("detector", "lite", "full", "lifter_s", "forecaster_s")
BATCHES = (1, 4)
WARM_UP = 3


@dataclass(frozen=True)
class Row:
    """Latency of one candidate.

    Attributes:
        p50_ms, p99_ms: of `run`, arrays of the host in and out.
        error, unit: largest distance of its results from ONNX Runtime in fp32 on the CPU.
    """

    model: str
    backend: str
    precision: str
    batch: int
    runs: int
    p50_ms: float
    p99_ms: float
    error: float
    unit: str


@dataclass(frozen=True)
class Candidate:
    """A model in a runtime."""

    backend: str
    precision: str
    opened: Backend


def candidates(entry: zoo.Entry, undo: ExitStack, absent: dict[str, str]) -> Iterator[Candidate]:
    """The runtimes that can run the model here, the CPU in fp32 first; why the others cannot goes into `absent`."""
    path = entry.load()
    for backend in ("onnxruntime", "cuda", "tensorrt"):
        try:
            opened = open_backend(entry, backend=backend)
            undo.callback(opened.close)
            yield Candidate(backend, "fp32" if backend != "tensorrt" else "as built", opened)
            if backend != "tensorrt":
                half = _half(entry, path)
                kind = OnnxRuntimeBackend if backend == "onnxruntime" else OnnxRuntimeCudaBackend
                with_half: Backend = kind(half, name=entry.name)
                undo.callback(with_half.close)
                yield Candidate(backend, "fp16", with_half)
        except BackendError as error:
            absent.setdefault(backend, error.message)


def _half(entry: zoo.Entry, path: Path) -> bytes:
    """The fp16 variant, with the layers in fp32 that the model's report names."""
    from pose_rt.engines.precision import to_fp16

    report = parity.read(entry) or {}
    return to_fp16(path, report.get("fp16", {}).get("kept_fp32", ()))


def measure(model: str, found: Sequence[Candidate], feeds: Feeds, rows: int, runs: int) -> list[Row]:
    """Time all candidates on the same inputs, in turns."""
    reference = {name: value.copy() for name, value in found[0].opened.run(feeds).items()}
    errors = [deviation(found[0].opened.metadata, feeds, reference, c.opened.run(feeds)) for c in found]
    times: list[list[float]] = [[] for _ in found]
    for turn in range(WARM_UP + runs):
        for candidate, taken in zip(found, times, strict=True):
            start = time.perf_counter()
            candidate.opened.run(feeds)
            if turn >= WARM_UP:
                taken.append(1e3 * (time.perf_counter() - start))
    measured = []
    for candidate, taken, error in zip(found, times, errors, strict=True):
        p50, p99 = (round(float(np.percentile(taken, q)), 3) for q in (50, 99))
        far = float(f"{error.max:.3g}")
        measured.append(Row(model, candidate.backend, candidate.precision, rows, runs, p50, p99, far, error.unit))
    return measured


def run(json_path: Path | None = None, *, runs: int = 100, models: Sequence[str] = MODELS) -> dict[str, Any]:
    """Measure, print a line a candidate, and write the JSON."""
    rows: list[Row] = []
    absent: dict[str, str] = {}
    print(f"{'model':<14}{'backend':<13}{'precision':<10}{'batch':>5}{'p50 ms':>10}{'p99 ms':>10}{'error':>12}")
    for name in models:
        with ExitStack() as undo:
            found = list(candidates(zoo.find(name), undo, absent))
            for count in BATCHES:
                given = batch(trial_feeds(found[0].opened.metadata, count))
                for row in measure(name, found, given, count, runs):
                    rows.append(row)
                    times = f"{row.p50_ms:>10.2f}{row.p99_ms:>10.2f}{row.error:>9.2g} {row.unit}"
                    print(f"{row.model:<14}{row.backend:<13}{row.precision:<10}{row.batch:>5}{times}", flush=True)
    for backend, reason in absent.items():
        print(f"not measured: {backend}: {reason}")
    report: dict[str, Any] = {
        "benchmark": "backends",
        "machine": machine.facts(),
        "rows": [asdict(r) for r in rows],
        "not_measured": absent,
    }
    if json_path is not None:
        write_json(json_path, report)
    return report
