"""Measure a lifter: ``python -m training.d3dp.evaluate --checkpoint FILE --dataset h36m --data DIR -H 20 -K 10 --p2``.

Protocol "paper": windows that tile each recording, every iteration, per action or sequence and mean. Protocol "live": windows that
end now, by look-ahead. FILE is a checkpoint of ours, a published .bin, a .safetensors or an .onnx file, or a lifter of the zoo.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table as RichTable

from pose_rt.bench import machine
from pose_rt.core.windows import window_starts
from pose_rt.errors import PoseRtError, UsageError
from pose_rt.metrics.pose3d import Scope
from training.data.recordings import DataSet
from training.data.store import sha256_file

from . import evaluate_cmu17
from .config import TrainConfig
from .datasets import load_data
from .load import load_lifter
from .protocol import SELECTIONS, Protocol, seeded
from .sampling import Lifter
from .tables import Table, h36m_table, lift_h36m, live_rows, mpi_table
from .train import add_data_options

_LIVE_LOOKAHEADS = (0, 3, 9, 27)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        results = _run(args)
    except PoseRtError as error:
        console.print(str(error), markup=False)
        return error.exit_code
    except KeyboardInterrupt:
        console.print("interrupted: nothing was written")
        return 130
    for path, write in ((args.json, _write_json), (args.csv, _write_csv)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".part")
            write(temporary, results)
            temporary.replace(path)
            console.print(f"wrote {path}", markup=False)
    return 0


def _run(args: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(args.threads)
    checkpoint = args.checkpoint or args.positional
    if checkpoint is None:
        raise UsageError("no checkpoint was given", "add --checkpoint FILE")
    dataset = args.dataset or "cmu17"
    coco = "coco17" if args.keypoints == "detectron_pt_coco" else None
    half = args.precision == "bf16"
    lifter, config = load_lifter(checkpoint, dataset=dataset, skeleton_in=coco, heads=args.heads, device=args.device, half=half)
    config = replace(config, dataset=dataset, keypoints=args.keypoints or config.keypoints or "cpn_ft_h36m_dbb")
    if dataset == "cmu17":
        if args.protocol == "paper":
            raise UsageError("--protocol paper needs recorded cameras", "give --dataset h36m or 3dhp, or --protocol live")
        for name, value, most in (("-H", args.hypotheses, None), ("-K", args.steps, config.timesteps)):
            if value is not None and not 1 <= value <= (most or value):
                raise UsageError(f"{name}: got {value}, wanted 1 to {most or 'any number'}")
        return evaluate_cmu17.evaluate(lifter, config, args)
    return _recorded(args, lifter, config, checkpoint)


def _recorded(args: argparse.Namespace, lifter: Lifter, config: TrainConfig, checkpoint: str) -> dict[str, Any]:
    if config.input != "screen":
        raise UsageError("this lifter wants windows seen from straight ahead, which --dataset cmu17 makes", "give --dataset cmu17")
    started = time.monotonic()
    scope: Scope = "batch" if args.reference else "window"
    flip = True if args.flip is None else args.flip
    count, steps = (20 if args.hypotheses is None else args.hypotheses), (10 if args.steps is None else args.steps)
    protocol = Protocol(count, steps, args.batch, scope, flip, args.p2)
    protocol.check(lifter.timesteps)
    data = load_data(args, config, "test")
    path = Path(checkpoint)
    results: dict[str, Any] = {
        "machine": machine.facts(), "checkpoint": {"name": path.name, "sha256": sha256_file(path) if path.is_file() else None},
        "data_sha256": data.digests, "dataset": data.name, "protocol": args.protocol or "paper", "H": count, "K": steps,
        "batch": protocol.batch, "flip": flip, "p_best": scope, "seed": args.seed, "precision": args.precision,
    }  # fmt: skip
    console = Console()
    with Progress(console=Console(stderr=True)) as progress:
        live = args.protocol == "live"
        task = progress.add_task("lifting", total=None if live else _windows(data, config.frames))

        def tick(windows: int) -> None:
            progress.advance(task, windows)

        draw = seeded(args.seed)
        if live:
            looks = args.lookaheads or tuple(n for n in _LIVE_LOOKAHEADS if n < config.frames)
            results["live"] = live_rows(lifter, data, config.frames, protocol, draw, looks, args.stride, tick)
        elif data.name == "h36m":
            lifted = lift_h36m(lifter, data, config.frames, protocol, draw, tick)
            results["mm"] = {"all subjects": _millimetres(h36m_table(lifted))}
            if args.by_subject:
                for subject in dict.fromkeys(r.subject for r in data.recordings):
                    results["mm"][subject] = _millimetres(h36m_table([pair for pair in lifted if pair[0].subject == subject]))
        else:
            results["3dhp"] = _listed(mpi_table(lifter, data, config.frames, protocol, draw, tick, args.mat))
    for table_shown in _shown(results):
        console.print(table_shown)
    return {**results, "seconds": round(time.monotonic() - started, 1)}


def _windows(data: DataSet, frames: int) -> int:
    return sum(len(window_starts(len(r), frames)) for r in data.recordings)


def _millimetres(table: Table) -> dict[str, Any]:
    return _listed({a: {n: {k: 1000.0 * v for k, v in by.items()} for n, by in t.items()} for a, t in table.items()})


def _listed(table: Table) -> dict[str, Any]:
    return {a: {n: {k: np.round(v, 4).tolist() for k, v in by.items()} for n, by in t.items()} for a, t in table.items()}


def _shown(results: dict[str, Any]) -> list[RichTable]:
    """Tables for the terminal: the last iteration of everything, and every iteration of the mean."""
    tables = []
    if "live" in results:
        table = RichTable("look-ahead", "delay", *SELECTIONS, title="MPJPE / PA-MPJPE of single frames, mm")
        for row in results["live"]:
            cells = [f"{row[s]['mpjpe']:.1f} / {row[s]['pa_mpjpe']:.1f}" if s in row else "-" for s in SELECTIONS]
            table.add_row(str(row["lookahead"]), f"{row['delay_ms']} ms", *cells)
        tables.append(table)
    for subject, actions in results.get("mm", {}).items():
        names = {"p1": "protocol 1 (MPJPE)", "p2": "protocol 2 (PA-MPJPE)", "velocity": "velocity, a frame"}
        for number in (n for n in names if actions["average"].get(n)):
            table = RichTable("action", *SELECTIONS, title=f"{names[number]}, mm, {subject}")
            for action, by in actions.items():
                if action != "average" and by.get(number):
                    table.add_row(action, *_cells(by[number], -1))
            for k in range(results["K"]):
                table.add_row(f"average, iteration {k + 1}", *_cells(actions["average"][number], k))
            tables.append(table)
    if "3dhp" in results:
        table = RichTable("sequence", *SELECTIONS, title=f"MPJPE mm / PCK / AUC, iteration {results['K']}")
        for name, by in results["3dhp"].items():
            cells = [" / ".join(f"{by[s][m][-1]:.2f}" for m in ("mpjpe", "pck", "auc")) if s in by else "-" for s in SELECTIONS]
            table.add_row(name, *cells)
        tables.append(table)
    return tables


def _cells(by_selection: dict[str, list[float]], k: int) -> list[str]:
    return [f"{by_selection[s][k]:.2f}" if s in by_selection else "-" for s in SELECTIONS]


def _write_json(path: Path, results: dict[str, Any]) -> None:
    path.write_text(json.dumps(results, indent=1) + "\n")


def _write_csv(path: Path, results: dict[str, Any]) -> None:
    """Long form: group, measure, selection, iteration (or look-ahead), value."""
    rows: list[tuple[Any, ...]] = []
    for subject, actions in results.get("mm", {}).items():
        for action, numbers in actions.items():
            for number, by in numbers.items():
                rows += [(f"{subject}/{action}", f"{number}_mm", s, k + 1, v) for s, values in by.items() for k, v in enumerate(values)]
    for name, by_selection in results.get("3dhp", {}).items():
        for s, measures in by_selection.items():
            rows += [(name, m, s, k + 1, v) for m, values in measures.items() for k, v in enumerate(values)]
    for row in [*results.get("live", []), *results.get("errors_mm", [])]:
        group = f"look-ahead {row['lookahead']}" + (f" H{row['H']} K{row['K']}{' flip' if row['flip'] else ''}" if "H" in row else "")
        for s, measures in row.items():
            if isinstance(measures, dict):
                rows += [(group, f"{m}_mm", s, row.get("K", results.get("K")), v) for m, v in measures.items()]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("group", "measure", "selection", "iteration", "value"))
        writer.writerows(rows)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.d3dp.evaluate", description=__doc__)
    parser.add_argument("positional", nargs="?", metavar="CHECKPOINT")
    parser.add_argument("--checkpoint")
    parser.add_argument("--dataset", choices=("cmu17", "h36m", "3dhp"))
    add_data_options(parser)
    parser.add_argument("-H", dest="hypotheses", type=int, help="hypotheses (20; cmu17: 1, 5 and 20)")
    parser.add_argument("-K", dest="steps", type=int, help="denoising iterations (10; cmu17: 1, 2 and 5)")
    parser.add_argument("--protocol", choices=("paper", "live"), help="default: live for cmu17, paper for the others")
    parser.add_argument("--p2", action="store_true", help="also after Procrustes alignment")
    parser.add_argument("--by-subject", action="store_true", help="also for each subject by itself")
    parser.add_argument("--reference", action="store_true", help="P-Best chosen once a batch, as published (depends on --batch)")
    parser.add_argument("--batch", type=int, default=4, help="windows lifted together")
    flips = parser.add_mutually_exclusive_group()
    flips.add_argument("--flip", action="store_true", default=None, help="average with the mirrored input (default for recordings)")
    flips.add_argument("--no-flip", dest="flip", action="store_false")
    parser.add_argument("--lookaheads", type=_numbers, help="frames before the newest, such as 0,3,9 (live)")
    parser.add_argument("--stride", type=int, default=9, help="frames between two live windows")
    parser.add_argument("--mat", type=Path, metavar="FOLDER", help="write the four .mat files of MPI-INF-3DHP there")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--windows", type=int, default=300, help="windows of cmu17")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--heads", type=int, default=8, help="attention heads of a published checkpoint")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
