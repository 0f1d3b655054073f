"""The live benchmarks run, and their verdicts can fail."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose_rt.bench.flash import FLASH_FRAMES, FlashMeter
from pose_rt.bench.soak import Sample, main, verdict
from pose_rt.cli.app import run as cli
from pose_rt.core.types import Frame

CLIP = str(Path(__file__).parents[2] / "demos" / "clips" / "woman_walking.mp4")


def test_latency_gives_a_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "latency.json"
    assert cli(["bench", "latency", CLIP, "--model", "lite", "--seconds", "1.5", "--json", str(report)]) == 0
    (row,) = json.loads(report.read_text())["rows"]
    assert row["read"] == row["processed"] + row["dropped"] > 0 and row["frame"] == [1280, 448]
    assert row["capture_to_result_ms"]["p50"] <= row["capture_to_result_ms"]["p99"] and row["first_result_s"] > 0
    assert {"detect", "pose2d", "lift", "forecast"} <= set(row["stages_ms"])
    said = capsys.readouterr().out
    assert "p99" in said and "stages: detect" in said and "lite" in said


def test_flash_needs_a_view(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["bench", "latency", CLIP, "--flash"]) == 2
    assert "add --view window or --view web" in capsys.readouterr().err
    assert cli(["bench", "latency", CLIP, "--view", "rerun"]) == 2


def test_a_flash_is_timed_from_its_first_frame_to_the_first_bright_picture() -> None:
    meter = FlashMeter()
    dark = Frame(np.full((90, 160, 3), 120, np.uint8), 0, 0, 0)
    painted = [meter.paint(replace(dark, index=i, captured_ns=i * 1_000_000)) for i in range(200)]
    lit = [f.index for f in painted if f.bgr.max() == 255]
    first = lit[0]
    assert lit[:FLASH_FRAMES] == [first, first + 1, first + 2] and first + 3 not in lit and len(lit) > 4 * FLASH_FRAMES
    assert all(f.bgr.min() == 0 for f in painted if f.index not in lit)

    meter = FlashMeter()
    for i in range(200):
        frame = meter.paint(replace(dark, index=i, captured_ns=i * 1_000_000))
        meter.see(np.repeat(np.repeat(frame.bgr, 2, 0), 2, 1), frame.captured_ns + 7_000_000)  # a view of twice the size, 7 ms late
    figures = meter.summary()
    assert figures["made"] == figures["seen"] > 4 and figures["p50"] == figures["max"] == 7.0


def samples(rss: float = 0.0, age: float = 0.0, threads: float = 0.0) -> list[Sample]:
    """A minute in seconds, with a slope on each figure."""
    return [Sample(float(i), 250 + rss * i, round(12 + threads * i), 30 + age * i) for i in range(60)]


@pytest.mark.parametrize(
    ("grown", "sentences"),
    [
        (samples(), []),
        (samples(rss=0.2, age=0.1), []),
        (samples(rss=2.0), ["rss grew from"]),
        (samples(age=1.0), ["age grew from"]),
        (samples(threads=0.1), ["threads grew from"]),
    ],
)
def test_growth_is_told(grown: list[Sample], sentences: list[str]) -> None:
    assert [problem[: len(s)] for problem, s in zip(verdict(grown), sentences, strict=True)] == sentences


def test_a_short_soak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "soak.json"
    main([CLIP, "--seconds", "6", "--json", str(report), "--record", str(tmp_path / "o.mp4")])
    result = json.loads(report.read_text())
    assert result["read"] == result["processed"] + result["dropped"] > 0 and len(result["samples"]) >= 5
    threads = [sample[result["columns"].index("threads")] for sample in result["samples"]]
    assert max(threads) <= min(threads) + 8  # no thread a frame; the verdict over minutes is `make soak`
    assert "RSS MB" in capsys.readouterr().out
