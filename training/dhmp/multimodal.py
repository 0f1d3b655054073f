"""The multimodal ground truth of a data set: ``python -m training.dhmp.multimodal --dataset cmu17 --data DIR --out FILE.npz``.

For every test window the other windows whose last observed pose is near (L2 < 0.5 m over the whole pose vector, itself and exact
duplicates left out). Their futures, put on the window's own bones, are further true answers: MMADE and MMFDE average over them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track as rich_track

from pose_rt.errors import InputError, PoseRtError

from .sources import DATASETS
from .windows import THRESHOLD_M, EvalWindows, neighbours, open_windows

SCHEMA = "pose-rt multimodal/1"


def save(path: Path, rows: list[np.ndarray], about: dict[str, Any]) -> None:
    """Write `index` (all rows one after the other), `offsets` (N + 1,) and the JSON `header`; whole or not at all."""
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)
    index = np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        np.savez_compressed(file, index=index, offsets=offsets, header=json.dumps({"schema": SCHEMA, **about}))
    os.replace(temporary, path)


def load(path: Path, windows: EvalWindows) -> list[np.ndarray]:
    """The rows of each window.

    Raises:
        InputError: no such file, another kind of file, or one made for other windows.
    """
    cure = f"make it with: python -m training.dhmp.multimodal --dataset {windows.name} --data DIR --out {path}"
    if not path.is_file():
        raise InputError(f"{path}: no such file", cure)
    try:
        with np.load(path, allow_pickle=False) as archive:
            header, index, offsets = json.loads(str(archive["header"])), archive["index"], archive["offsets"]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a multimodal ground truth ({error})", cure) from error
    if header.get("schema") != SCHEMA or header.get("dataset") != windows.name or len(offsets) != len(windows) + 1:
        found = f"{len(offsets) - 1} windows of {header.get('dataset')}"
        raise InputError(f"{path}: made for {found}, wanted {len(windows)} of {windows.name}", cure)
    return np.split(index, offsets[1:-1])


def progress(description: str) -> Callable[[Iterable[int]], Iterable[int]]:
    """A loop with a progress bar on stderr; silent where that is no terminal."""
    return partial(rich_track, description=description, console=Console(stderr=True), disable=not sys.stderr.isatty())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.dhmp.multimodal", description="Find windows with similar pasts.")
    parser.add_argument("--dataset", choices=DATASETS, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threshold", type=float, default=THRESHOLD_M, help="metres")
    parser.add_argument("--history", type=int, help="observed frames (default: the data set's; cmu17: 25)")
    parser.add_argument("--future", type=int, help="predicted frames (default: the data set's; cmu17: 100)")
    parser.add_argument("--stride", type=int, default=25, help="frames between window starts (cmu17)")
    parser.add_argument("--seed", type=int, default=0, help="of the camera headings (cmu17)")
    a = parser.parse_args(argv)
    sizes = {"humaneva": (15, 60)}.get(a.dataset, (25, 100))
    try:
        windows = open_windows(a.dataset, a.data, a.history or sizes[0], a.future or sizes[1], a.stride, a.seed, 0.0)
        rows = neighbours(windows, a.threshold, progress("comparing pasts"))
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    save(a.out, rows, {"dataset": a.dataset, "threshold_m": a.threshold, "stride": a.stride, "seed": a.seed})
    counts = np.array([len(r) for r in rows])
    print(f"wrote {a.out}: {len(rows)} windows, {np.count_nonzero(counts)} with similar pasts, {counts.mean():.1f} on average")
    return 0


if __name__ == "__main__":
    sys.exit(main())
