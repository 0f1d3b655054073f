"""The synthetic benchmark and the drawing of figures, as commands, on very little data."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from training.sampling_argmax import figures

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _run(name: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", [name, *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / name), run_name="__main__")
    return int(ended.value.code or 0)


def test_the_synthetic_benchmark_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "result.json"
    words = ["--train", "8", "--test", "8", "--steps", "2", "--batch", "4", "--seeds", "2", "--out", str(out)]
    assert _run("sampling_argmax.py", monkeypatch, *words) == 0
    report = json.loads(out.read_text())
    assert list(report["results"]) == [
        "heatmap regression", "soft-argmax", "sampling, uniform", "sampling, triangular", "sampling, gaussian",
    ]  # fmt: skip
    for result in report["results"].values():
        assert 0 < result["error_px"]["mean"] < 64 and 0 <= result["pck_0.2"] <= 100 and len(result["calibration"]["bins"]) == 12
    assert report["settings"]["poses"] == "procedural" and report["machine"]
    assert cv2.imread(str(out.with_suffix(".png"))).shape[1] > 800


def test_the_loader_benchmark_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "loader.json"
    assert _run("sampling_argmax_loader.py", monkeypatch, "--count", "32", "--workers", "0", "--out", str(out)) == 0
    results = json.loads(out.read_text())["results"]
    assert set(results) == {"coco", "mtfl"} and all(rate["cpu_ms_per_crop"] > 0 for rate in results.values())


def test_figures_are_written_as_folder_and_as_clip(tmp_path: Path) -> None:
    assert figures.main(["--out", str(tmp_path / "drawn"), "--count", "11", "--size", "64"]) == 0
    assert len(list((tmp_path / "drawn" / "images").iterdir())) == 12
    for split, count in (("train", 11), ("val", 1)):
        value = json.loads((tmp_path / "drawn" / f"{split}.json").read_text())
        assert len(value["annotations"]) == len(value["images"]) == count
        assert all(len(a["keypoints"]) == 51 and a["num_keypoints"] >= 8 for a in value["annotations"])
    assert figures.main(["--out", str(tmp_path / "clip"), "--clip", "12", "--size", "64", "--seed", "2"]) == 0
    shots = [cv2.imread(str(p)) for p in sorted((tmp_path / "clip").iterdir())]
    assert len(shots) == 12 and shots[0].shape == (64, 64, 3)
    assert np.abs(shots[0].astype(int) - shots[11]).max() > 20  # the person moves
    assert figures.main(["--out", str(tmp_path / "no"), "--motion", str(tmp_path / "none")]) != 0
