"""Measure a network: ``python -m training.sampling_argmax.evaluate --checkpoint FILE --data DIR [--flip-test] [--detections FILE]``.

Writes results.json, results.md and, for COCO and one's own pictures, keypoints.json (COCO results) to ``--out``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pose_rt.bench import machine
from pose_rt.errors import PoseRtError, UsageError
from pose_rt.models.sampling_argmax.checkpoint import Trained, read_trained

from .annotations import Annotations
from .coco import read_detections
from .config import TASKS
from .data import Places
from .measure import predict, results_of, score
from .train import add_data_options
from .transforms import CropTransform

_PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "coco": {"AP": {"uniform": 68.2, "triangular": 69.8, "gaussian": 68.3}},
    "h36m": {"mpjpe_mm": {"uniform": 49.6, "triangular": 49.5, "gaussian": 50.9}},
    "mtfl": {
        "abs_px": {"uniform": 3.00, "triangular": 2.98, "gaussian": 2.94},
        "rel_percent": {"uniform": 6.86, "triangular": 6.82, "gaussian": 6.96},
    },
}  # fmt: skip
"""What the paper's repository reports; AP in percent."""


def transform_of(trained: Trained) -> CropTransform:
    """The crop of a network, without augmentation."""
    return CropTransform(
        trained.network.config.image, trained.pairs, enlarge=trained.enlarge, whole=trained.task == "mtfl",
        inside_only=trained.task in ("mtfl", "h36m"),
    )  # fmt: skip


def rows_of(values: dict[str, Any], task: str, basis: str) -> list[tuple[str, str, str]]:
    """(measure, here, published) of the plain numbers, then of each action."""
    published = _PUBLISHED.get(task, {})
    rows = []
    for name, value in values.items():
        if isinstance(value, int | float):
            reference = published.get(name, {}).get(basis)
            percent = name in ("AP", "AR") or name.startswith(("AP", "AR"))
            shown = (
                ("none of that size" if value < 0 else f"{100 * value:.1f} %")
                if percent
                else (str(value) if isinstance(value, int) else f"{value:.3f}")
            )
            rows.append((name, shown, "" if reference is None else f"{reference:g}"))
    for action, errors in values.get("by_action", {}).items():
        rows.append((action, ", ".join(f"{error:.1f}" for error in errors.values()), ""))
    calibration = values.get("calibration")
    if calibration is not None:
        rows += [(f"spread: {k}", f"{calibration[k]:.3f}", "") for k in ("rank_correlation", "within_1", "expected_error", "factor")]
    return rows


def write_results(out: Path, report: dict[str, Any], rows: list[tuple[str, str, str]], people: list[dict[str, Any]] | None) -> None:
    """results.json, results.md and keypoints.json, each moved into place when it is whole."""
    out.mkdir(parents=True, exist_ok=True)
    table = "| measure | here | published |\n| --- | --- | --- |\n" + "".join(f"| {a} | {b} | {c} |\n" for a, b, c in rows)
    texts = {"results.json": json.dumps(report, indent=1) + "\n", "results.md": table}
    if people is not None:
        texts["keypoints.json"] = json.dumps([{k: v for k, v in p.items() if k != "area"} for p in people]) + "\n"
    for name, text in texts.items():
        temporary = out / f"{name}.part"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(out / name)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        return _run(args, console)
    except PoseRtError as error:
        console.print(str(error), markup=False)
        return error.exit_code


def _people(args: argparse.Namespace, trained: Trained, places: Places) -> Annotations:
    found = places.read(trained.task, training=False, joints=trained.network.config.head.joints)[0]
    if args.detections is None:
        return found
    if trained.task not in ("coco", "images"):
        raise UsageError(f"--detections is for coco and images, the checkpoint is of the task {trained.task}")
    return read_detections(args.detections, found, joints=len(found.names))


def _run(args: argparse.Namespace, console: Console) -> int:
    torch.set_num_threads(args.threads)
    if args.accelerator == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here", "leave --accelerator out")
    cuda = args.accelerator != "cpu" and torch.cuda.is_available()
    trained = read_trained(args.checkpoint, args.task)
    places = Places(args.data, args.annotations, args.images, args.category)
    people = _people(args, trained, places)
    console.print(people.describe())
    with Progress(console=console, refresh_per_second=1) as progress:
        bar = progress.add_task("evaluating", total=1.0)
        found = predict(
            trained, people, transform_of(trained), batch=args.batch, workers=args.workers, flip=args.flip_test, shift=args.flip_shift,
            peaks=args.decode == "heatmap", device="cuda" if cuda else "cpu", progress=lambda done: progress.update(bar, completed=done),
        )  # fmt: skip
    flat = trained.task in ("coco", "images")
    values = score(trained, people, found, places.coco_file(trained.task, training=False) if flat else None)
    config = trained.network.config
    report = {
        "checkpoint": args.checkpoint.name, "task": trained.task, "epoch": trained.epoch, "network": config.to_dict(),
        "flip_test": args.flip_test, "flip_shift": args.flip_shift, "decode": args.decode, "detections": args.detections is not None,
        "results": values, "skipped": people.skipped, "broken": list(found.broken), "machine": machine.facts(),
    }  # fmt: skip
    rows = rows_of(values, trained.task, config.head.basis)
    write_results(args.out, report, rows, results_of(trained, people, found) if flat else None)
    table = Table("measure", "here", "published")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if found.broken:
        console.print(f"{len(found.broken)} pictures could not be read and were skipped, such as {found.broken[0]}", markup=False)
    console.print(f"results in {args.out}", markup=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.sampling_argmax.evaluate", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="of the train command, or a published state dict")
    parser.add_argument("--task", choices=TASKS, help="refuse a checkpoint of another task")
    add_data_options(parser)
    parser.add_argument("--detections", type=Path, help="person boxes of a detector in place of the true ones (JSON list)")
    parser.add_argument("--flip-test", action="store_true", help="average with the mirrored picture")
    parser.add_argument("--flip-shift", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--decode", choices=("mean", "heatmap"), default="mean", help="soft-argmax, or the highest cell")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("results"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
