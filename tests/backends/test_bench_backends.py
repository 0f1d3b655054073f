"""`pose-rt bench backends`: every row is a model in a runtime that is here, and what is not here is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from pose_rt.bench import bench_backends


def test_rows_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "backends.json"
    bench_backends.run(out, runs=2, models=("lifter_s",))
    report = json.loads(out.read_text())
    cpu = [(r["precision"], r["batch"]) for r in report["rows"] if r["backend"] == "onnxruntime"]
    assert cpu == [("fp32", 1), ("fp16", 1), ("fp32", 4), ("fp16", 4)]
    assert all(0 < r["p50_ms"] <= r["p99_ms"] for r in report["rows"])
    errors = {r["precision"]: r["error"] for r in report["rows"] if r["backend"] == "onnxruntime"}
    assert errors["fp32"] == 0 < errors["fp16"] < 1
    assert {"cpu", "command", "date"} <= set(report["machine"])
    measured = {r["backend"] for r in report["rows"]}
    assert measured | set(report["not_measured"]) == {"onnxruntime", "cuda", "tensorrt"}
    assert all(f"not measured: {backend}" in capsys.readouterr().out for backend in list(report["not_measured"])[:1])
