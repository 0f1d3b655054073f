"""Parity reports: read only if they speak of the file the entry describes, and said in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pose_rt import zoo
from pose_rt.cli.models import app
from pose_rt.zoo import parity

ONE = {"output": "clean", "unit": "mm", "seeds": [1, 2, 3], "max": 0.0023, "mean": 0.0001, "largest_value": 900, "tolerance": 0.02}


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> zoo.Entry:
    monkeypatch.setenv("POSE_RT_MODELS", str(tmp_path / "models"))
    model = tmp_path / "mine.onnx"
    model.write_bytes(b"some network")
    digest = zoo.manifest.sha256_of(model)
    fp16 = {"unit": "mm", "max": 0.5, "mean": 0.1, "layers": 9, "kept_fp32": ["a"]}
    (tmp_path / "mine.parity.json").write_text(json.dumps({"sha256": digest, "parity": [ONE], "fp16": fp16}))
    return zoo.add(model, name="mine", like="lifter_s")


def test_a_report_travels_with_its_model(added: zoo.Entry) -> None:
    assert [e.name for e in zoo.entries() if not e.bundled and e.name != "heavy"] == ["mine"]
    report = parity.read(added)
    assert report is not None
    assert parity.summary(report) == [
        ("parity", "clean: largest 0.0023 mm, mean 0.0001 mm, 3 seeds"),
        ("fp16", "8 of 9 layers, largest 0.5 mm, mean 0.1 mm"),
    ]
    shown = CliRunner().invoke(app, []).output
    assert "mine" in shown and "8 of 9 layers" in shown and "no report" in shown
    assert "sha256" not in shown and added.sha256 in CliRunner().invoke(app, ["--details"]).output.replace("\n", "")


def test_a_report_of_another_file_is_none(added: zoo.Entry) -> None:
    path = parity.report_path(added.path)
    for text in (json.dumps({"sha256": "0" * 64, "parity": [ONE]}), "[]", "{"):
        path.write_text(text)
        assert parity.read(added) is None


@pytest.mark.parametrize("name", ["detector", "lite", "full", "lifter_s", "forecaster_s"])
def test_bundled_models_say_what_fp16_costs(name: str) -> None:
    report = parity.read(zoo.find(name))
    assert report is not None
    assert report["fp16"]["max"] <= {"px": 0.5, "mm": 1.0}[report["fp16"]["unit"]]
