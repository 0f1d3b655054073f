"""Readers of what the sinks save."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .sinks.jsonl import SCHEMA
from .sources.base import check_media_path


@dataclass(frozen=True)
class JsonlResult:
    """A saved run: the header line and the frames' lines; `complete` is False where the last line broke off and was left out."""

    header: dict[str, Any]
    frames: list[dict[str, Any]]
    complete: bool


@dataclass(frozen=True)
class NpzResult:
    """A saved run: the header and the arrays by the names of `pose_rt.io.sinks.npz`."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def rows(self, frame: int) -> slice:
        """Rows of the people of the frame at this position."""
        offsets = self.arrays["offsets"]
        return slice(int(offsets[frame]), int(offsets[frame + 1]))


def read_jsonl(path: str | Path) -> JsonlResult:
    """Read JSON lines of the schema "pose-rt/1"; a broken last line, as an interrupted run may leave, is left out.

    Raises:
        UsageError: no such file.
        InputError: another schema, or a broken line before the last.
    """
    path = check_media_path(path)
    records: list[dict[str, Any]] = []
    broken = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if broken:
                raise InputError(f"line {broken} of '{path}' is no JSON", "run again with --save-json")
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                broken = number
                continue
            records.append(record)
    if not records or not isinstance(records[0], dict) or records[0].get("schema") != SCHEMA:
        raise InputError(f"'{path}' does not begin with a header of the schema '{SCHEMA}'", "give a file that --save-json wrote")
    return JsonlResult(records[0], records[1:], complete=not broken)


def read_npz(path: str | Path) -> NpzResult:
    """Read the arrays of a run; nothing is unpickled.

    Raises:
        UsageError: no such file.
        InputError: not such a file.
    """
    path = check_media_path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(str(arrays.pop("header")))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise InputError(f"'{path}' does not hold the arrays of a run ({error})", "give a file that --save-npz wrote") from error
    if header.get("schema") != SCHEMA:
        raise InputError(f"'{path}' has the schema '{header.get('schema')}', wanted '{SCHEMA}'", "give a file that --save-npz wrote")
    return NpzResult(header, arrays)
