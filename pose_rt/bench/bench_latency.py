"""How old results are, live: a clip played in real time through the whole pipeline, one process a case, and where the time goes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pose_rt.errors import InputError, PoseRtError
from pose_rt.io.output import write_json

from . import machine
from .run_live import LiveCase

OVERLOAD_FPS, OVERLOAD_MS = 60.0, 50.0
"""A camera of twice the usual rate, and a pipeline made far too slow for it."""


def measure(case: LiveCase) -> dict[str, Any]:
    """One case in a process of its own.

    Raises:
        PoseRtError: it failed or hung.
    """
    command = [sys.executable, "-m", "pose_rt.bench.run_live", json.dumps(asdict(case))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=case.seconds + 120, check=False)
    except subprocess.TimeoutExpired as error:
        raise PoseRtError(f"the live run of {case.model} did not end in time", "try a shorter --seconds") from error
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise PoseRtError(f"the live run of {case.model} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def cases(
    clip: Path, models: Sequence[str], lookaheads: Sequence[int], *, seconds: float, threads: int, view: str, flash: bool
) -> list[LiveCase]:
    """Each model with each look-ahead."""
    return [LiveCase(str(clip), model, seconds, lookahead, threads, view=view, flash=flash) for model in models for lookahead in lookaheads]


def run(wanted: Sequence[LiveCase], *, json_path: Path | None = None) -> list[dict[str, Any]]:
    """Measure the cases in turn, print a table, and write the JSON.

    Raises:
        InputError: no such clip.
        PoseRtError: a case failed.
    """
    for case in wanted:
        if not Path(case.clip).is_file():
            raise InputError(f"no such clip: {case.clip}", "give a video file, for instance demos/clips/woman_walking.mp4")
    results = []
    for number, case in enumerate(wanted, 1):
        print(f"{number}/{len(wanted)}  {_name(case)}, {case.seconds:g} s", file=sys.stderr)
        results.append(measure(case))
    print(table(wanted, results))
    if json_path is not None:
        write_json(json_path, {"benchmark": "latency", "machine": machine.facts(), "rows": results})
    return results


def table(wanted: Sequence[LiveCase], results: Sequence[dict[str, Any]]) -> str:
    """The figures as aligned text, milliseconds where nothing else is said."""
    width = max(len(_name(case)) for case in wanted)
    titles = ("dropped", 8), ("fps", 5), ("p50", 6), ("p95", 6), ("p99", 6), ("look-ahead", 10), ("first s", 7), ("CPU cores", 9)
    head = " " * width + "".join(f"  {title:>{wide}}" for title, wide in titles)
    lines = [head]
    for case, row in zip(wanted, results, strict=True):
        work = row["capture_to_result_ms"]
        lines.append(
            f"{_name(case):<{width}}  {100 * row['dropped_share']:>7.1f}%  {row['results_fps']:>5.1f}  {work.get('p50', 0):>6.1f}  "
            f"{work.get('p95', 0):>6.1f}  {work.get('p99', 0):>6.1f}  {row['lookahead_ms']:>10.1f}  {row['first_result_s'] or 0:>7.2f}  "
            f"{row['cpu_cores']:>9.2f}"
        )
        lines.append(" " * width + "  stages: " + ", ".join(f"{stage} {ms:.1f}" for stage, ms in row["stages_ms"].items()))
        if (seen := row["flash_ms"]) is not None and seen["seen"]:
            figures = f"p50 {seen['p50']:.1f}, p95 {seen['p95']:.1f}, max {seen['max']:.1f}"
            lines.append(" " * width + f"  flash to {case.view}: {figures} ({seen['seen']} seen of {seen['made']})")
        if case.slow_ms:
            lines.append(f"{'':<{width}}  age at the start {row['age_first_tenth_ms']}, at the end {row['age_last_tenth_ms']}")
    lines.append("p50, p95, p99: from capture to result, without the look-ahead")
    return "\n".join(lines)


def _name(case: LiveCase) -> str:
    parts = [case.model]
    if case.lookahead:
        parts.append(f"look-ahead {case.lookahead}")
    if case.view != "none":
        parts.append(case.view)
    if case.slow_ms:
        parts.append(f"{case.fps:g} fps, {case.slow_ms:g} ms slower")
    return ", ".join(parts)
