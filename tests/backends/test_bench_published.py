"""`pose-rt bench backends --published`: every runtime lifts what the torch formula lifts; a smaller size is called one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pose_rt.bench import bench_published
from pose_rt.bench.bench_published import Size
from pose_rt.cli.app import run as cli
from pose_rt.errors import UsageError


def test_runtimes_agree_with_the_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    out = tmp_path / "published.json"
    bench_published.run(out, size=Size(frames=9, width=32, depth=2), runs=2)
    report, said = json.loads(out.read_text()), capsys.readouterr().out
    formula, ours = report["rows"][0], report["rows"][1]
    assert formula["backend"].startswith("torch formula") and formula["error_mm"] == 0 and formula["ratio"] == pytest.approx(1, abs=0.01)
    assert (ours["backend"], ours["precision"]) == ("onnxruntime", "fp32")
    # All five steps in float32: the sampler cancels terms of 2e4 in its first step, the rest is a contraction.
    assert 0 < ours["error_mm"] < 0.5
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in report["rows"])
    assert {r["backend"] for r in report["rows"][1:]} | set(report["not_measured"]) == {"onnxruntime", "cuda", "tensorrt"}
    assert report["published_size"] is False and "NOT the published size" in said and "random weights" in said
    assert {"cpu", "command", "date"} <= set(report["machine"])


def test_the_defaults_are_the_published_size() -> None:
    assert Size().published and Size() == Size(243, 512, 8, 8, 5, 5) and not Size(depth=7).published


@pytest.mark.parametrize("missing", ["torch", "exporters.d3dp"])
def test_what_is_missing_is_said_in_a_sentence(missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if missing != "torch":
        pytest.importorskip("torch")
    real = bench_published.import_module

    def without(name: str) -> object:
        if name == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}")
        return real(name)

    monkeypatch.setattr(bench_published, "import_module", without)
    assert cli(["bench", "backends", "--published", "--frames", "3", "--depth", "1"]) == 0
    said = capsys.readouterr().out
    assert "not measured" in said and missing in said and "pip install" in said


def test_a_width_that_the_heads_do_not_divide() -> None:
    with pytest.raises(UsageError, match="width"):
        bench_published.run(size=Size(width=20))
