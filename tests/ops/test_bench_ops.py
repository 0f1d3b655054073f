"""The op benchmark runs, names its machine, and compares like with like."""

import json
from pathlib import Path

import pytest

from pose_rt.bench import bench_ops


def test_every_case_is_measured_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = bench_ops.run(tmp_path / "ops.json", seconds_a_case=0.0)
    assert json.loads((tmp_path / "ops.json").read_text()) == report
    assert {"cpu", "command", "date", "ops", "packages"} <= report["machine"].keys()
    printed = capsys.readouterr().out
    assert len(report["rows"]) >= 10
    for row in report["rows"]:
        assert row["name"] in printed
        assert row["native_ms"] > 0 and row["numpy_ms"] > 0
        assert row["times_faster_than_numpy"] == pytest.approx(row["numpy_ms"] / row["native_ms"])
