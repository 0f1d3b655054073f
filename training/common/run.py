"""The folder of a training run: what was run on what, and its curves as CSV and TensorBoard."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pose_rt.bench import machine

_ROOT = Path(__file__).resolve().parents[2]


def git_state() -> dict[str, Any]:
    """The commit of this checkout and whether files differ from it; empty outside a checkout."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=_ROOT, capture_output=True, text=True, timeout=20, check=True)
        status = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=_ROOT, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit.stdout.strip(), "changed": bool(status.stdout.strip())}


def describe_run(out: Path, config: Mapping[str, Any], data: Mapping[str, str]) -> None:
    """Write ``run.json``: settings, command, commit, machine and the sha256 of the data; a resumed run appends to its history."""
    path = out / "run.json"
    history = json.loads(path.read_text())["history"] if path.is_file() else []
    start = {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]], "git": git_state(), "machine": machine.facts(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"), "config": dict(config), "data_sha256": dict(data),
    }  # fmt: skip
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps({**start, "history": [*history, start]}, indent=1, default=str) + "\n")
    temporary.replace(path)


class RunLog:
    """Rows of numbers by step, to ``log.csv`` and (where the package tensorboard is installed) to ``tensorboard/``.

    Args:
        out: the run's folder.
        columns: names of the numbers; the first is the step.
        append: continue an existing file.
    """

    def __init__(self, out: Path, columns: Sequence[str], *, append: bool, tensorboard: bool = True) -> None:
        self._path, self._columns = out / "log.csv", tuple(columns)
        if not append or not self._path.exists():
            self._path.write_text(",".join(columns) + "\n")
        self._writer = _tensorboard(out / "tensorboard") if tensorboard else None

    def write(self, row: Sequence[float]) -> None:
        """One row, as long as the columns."""
        with self._path.open("a", newline="") as file:
            csv.writer(file).writerow([f"{value:.6g}" for value in row])
        if self._writer is not None:
            for name, value in list(zip(self._columns, row, strict=True))[1:]:
                self._writer.add_scalar(name, value, int(row[0]))
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
