"""The whole pipeline on a clip: frames per second, CPU time a frame, memory, start-up; peers in the same run, interleaved.

Every candidate is a process of its own that reads the clip and prints one JSON line (`Measured`). On a shared machine wall times
wander, so the candidates take turns, medians count, and CPU time and ratios are what to compare.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pose_rt.errors import InputError, PoseRtError, UsageError
from pose_rt.io.output import write_json

from . import machine

TIMEOUT_S = 600


@dataclass(frozen=True)
class Candidate:
    """A name and the command line that measures it; the clip is appended."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """What one process reports of one pass over the clip.

    Attributes:
        frames: frames it finished.
        fps: frames after the first over the wall time after the first.
        cpu_ms: user and system time of all threads after the first frame, per frame.
        first_s: from the start of the process to its first finished frame.
        rss_mb: greatest resident memory.
    """

    frames: int
    fps: float
    cpu_ms: float
    first_s: float
    rss_mb: float


@dataclass(frozen=True)
class Row:
    """Medians over the rounds."""

    name: str
    frames: int
    fps: float
    cpu_ms: float
    cpu_ms_min: float
    first_s: float
    rss_mb: float
    rounds: int


def own_candidates() -> list[Candidate]:
    """2D alone; everything; everything with an H.264 file."""
    base = (sys.executable, "-m", "pose_rt.bench.run_once")
    return [
        Candidate("pose-rt, 2D", (*base, "2d")),
        Candidate("pose-rt, 2D + 3D + futures", (*base, "3d")),
        Candidate("pose-rt, 2D + 3D + futures + H.264", (*base, "video")),
    ]


def parse_peer(text: str) -> Candidate:
    """``NAME=COMMAND`` from the command line.

    Raises:
        UsageError: not of that form.
    """
    name, sign, command = text.partition("=")
    if not (sign and name.strip() and command.strip()):
        raise UsageError(f"--peer {text!r} has no name or no command", 'write --peer "NAME=PYTHON benchmarks/peers/SCRIPT.py"')
    return Candidate(name.strip(), tuple(shlex.split(command)))


def measure(candidate: Candidate, clip: Path) -> Measured:
    """One pass in a process of its own.

    Raises:
        PoseRtError: it failed, hung, or printed no result.
    """
    try:
        done = subprocess.run([*candidate.command, str(clip)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PoseRtError(f"{candidate.name}: {error}") from error
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise PoseRtError(f"{candidate.name} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return Measured(**json.loads(lines[-1]))


def run(clip: Path, *, json_path: Path | None = None, rounds: int = 3, peers: list[Candidate] | None = None) -> list[Row]:
    """Measure all candidates, print the table, and write the JSON.

    Raises:
        InputError: no such clip.
        PoseRtError: a candidate failed.
    """
    if not clip.is_file():
        raise InputError(f"no such clip: {clip}", "give a video file, for instance demos/clips/woman_walking.mp4")
    candidates = own_candidates() + (peers or [])
    results: dict[str, list[Measured]] = {c.name: [] for c in candidates}
    for number in range(rounds):
        for candidate in candidates:
            results[candidate.name].append(measure(candidate, clip))
            print(f"round {number + 1}/{rounds}  {candidate.name}", file=sys.stderr)
    rows = [_summarise(name, passes) for name, passes in results.items()]
    print(table(rows))
    if json_path is not None:
        report: dict[str, Any] = {"benchmark": "pipeline", "clip": clip.name, "machine": machine.facts(), "rows": [asdict(r) for r in rows]}
        write_json(json_path, report)
    return rows


def table(rows: list[Row]) -> str:
    """The rows as aligned text."""
    width = max(len(r.name) for r in rows)
    head = f"{'':<{width}}  {'fps':>7}  {'CPU ms/frame':>12}  {'first frame s':>13}  {'RSS MB':>7}"
    lines = [f"{r.name:<{width}}  {r.fps:7.1f}  {r.cpu_ms:12.1f}  {r.first_s:13.2f}  {r.rss_mb:7.0f}" for r in rows]
    return "\n".join([head, *lines])


def _summarise(name: str, passes: list[Measured]) -> Row:
    return Row(
        name=name,
        frames=passes[0].frames,
        fps=round(median(p.fps for p in passes), 2),
        cpu_ms=round(median(p.cpu_ms for p in passes), 2),
        cpu_ms_min=round(min(p.cpu_ms for p in passes), 2),
        first_s=round(median(p.first_s for p in passes), 3),
        rss_mb=round(max(p.rss_mb for p in passes), 1),
        rounds=len(passes),
    )
