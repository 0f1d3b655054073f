"""Parity reports: how far each model file is from the original it was exported from, and its fp16 variant from it; JSON beside the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .manifest import Entry

SUFFIX = ".parity.json"


def report_path(model: Path) -> Path:
    """Where the report of a model file lies."""
    return model.with_suffix(SUFFIX)


def read(entry: Entry) -> dict[str, Any] | None:
    """The report of a model, None where there is none, it cannot be read, or it speaks of another file than the entry does."""
    try:
        values = json.loads(report_path(entry.path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    fits = isinstance(values, dict) and values.get("sha256") == entry.sha256
    return values if fits else None


def summary(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The report in words: (what, figures)."""
    lines = []
    for one in report.get("parity", []):
        unit = f" {one['unit']}" if one["unit"] else ""
        lines.append(
            ("parity", f"{one['output']}: largest {one['max']:.2g}{unit}, mean {one['mean']:.2g}{unit}, {len(one['seeds'])} seeds")
        )
    fp16 = report.get("fp16")
    if fp16 is not None:
        kept, layers = len(fp16["kept_fp32"]), fp16["layers"]
        words = "all layers" if not kept else "none: it stays fp32" if kept == layers else f"{layers - kept} of {layers} layers"
        figures = f", largest {fp16['max']:.2g} {fp16['unit']}, mean {fp16['mean']:.2g} {fp16['unit']}" if kept < layers else ""
        lines.append(("fp16", words + figures))
    return lines
