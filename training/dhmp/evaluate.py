"""Measure a forecaster: ``python -m training.dhmp.evaluate --model forecaster.onnx --data FOLDER [--dataset h36m] [--json out.json]``.

`--model` is an exported .onnx, one of our checkpoints .pt or a published .pth. Windows, camera headings, history noise and random
draws are fixed by the seed.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pose_rt.errors import PoseRtError, UsageError

from . import multimodal
from .angles import LIMITS, Limits, load_limits
from .measure import measure
from .predictors import load
from .published import PUBLISHED_SETS
from .sources import DATASETS
from .windows import EvalWindows, neighbours, open_windows


def show(report: dict[str, Any], title: str, reference: bool) -> None:
    """Print one report as tables."""
    console = Console()
    scores = Table("", *report["ade_m"], title=f"{title}: best of K over {report['windows']} windows (m)")
    scores.add_row("ADE", *map(str, report["ade_m"].values()))
    scores.add_row("FDE", *map(str, report["fde_m"].values()))
    console.print(scores)
    horizons = Table("mm per joint at ms", *next(iter(report["error_mm"].values())))
    for name, row in report["error_mm"].items():
        horizons.add_row(name, *(f"{value:.1f}" for value in row.values()))
    console.print(horizons)
    if "protocol_mean" in report:
        names = ("apd", "ade", "fde", "mmade", "mmfde")
        protocol = Table("m", *map(str.upper, names), title=f"over {report['with_similar_past']} windows with similar pasts")
        protocol.add_row("mean", *(f"{report['protocol_mean'][n]:.4f}" for n in names))
        if reference:
            protocol.add_row("as published", *(f"{report['protocol_reference'][n]:.4f}" for n in names))
        console.print(protocol)
    actions = Table("action", "windows", "APD", "ADE", "FDE", "MMADE", "MMFDE", "CMD", "speed / true (m/s)")
    for action, part in report["by_action"].items():
        best = [f"{list(part[name].values())[-1]:.3f}" for name in ("ade_m", "fde_m")]
        multi = [f"{part[name]:.3f}" for name in ("mmade_m", "mmfde_m")]
        moving = f"{part['mean_speed_m_s']:.2f} / {part['true_mean_speed_m_s']:.2f}"
        actions.add_row(action, str(part["windows"]), f"{part['apd_m']:.2f}", *best, *multi, f"{part['cmd']:.1f}", moving)
    console.print(actions)
    console.print(
        f"APD {report['apd_m']} m (of 10: {report['apd_of_10_m']}), MMADE {report['mmade_m']} m, MMFDE {report['mmfde_m']} m, CMD "
        f"{report['cmd']}, bone length error {report['bone_length_error_mm']} mm ({report['bone_length_error_percent']} %), joint limits "
        f"violated {report['joint_limits_violated_percent']} % (truth: {report['joint_limits_violated_by_truth_percent']} %), jump to the "
        f"first frame {report['first_frame_jump_mm']} mm"
    )


def write_csv(path: Path, reports: dict[str, dict[str, Any]]) -> None:
    """One line for all windows and one for each action, of every history."""
    rows = []
    for name, report in reports.items():
        for action, part in (("all", report), *report["by_action"].items()):
            row: dict[str, Any] = {"history": name, "action": action}
            for key, value in part.items():
                if key in ("ade_m", "fde_m"):
                    row |= {f"{key}_best_of_{k}": v for k, v in value.items()}
                elif isinstance(value, int | float):
                    row[key] = value
            rows.append(row)
    header = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.dhmp.evaluate", description="Measure a forecaster.")
    parser.add_argument("--model", type=Path, required=True, help="an exported .onnx, a checkpoint .pt, or a published .pth")
    parser.add_argument("--stage1", type=Path, help="published checkpoint of stage 1 (default: beside --model, t1 for t2)")
    parser.add_argument("--dataset", choices=DATASETS, help="default: the one that the model was trained on")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set's files")
    parser.add_argument("--k", type=int, default=50, help="futures a window")
    parser.add_argument("--stride", type=int, default=25, help="frames between window starts (cmu17)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 10.0], metavar="MM", help="of the observed history (cmu17)")
    parser.add_argument("--multimodal", type=Path, help="similar pasts, from training.dhmp.multimodal (default: found anew)")
    parser.add_argument("--reference", action="store_true", help="also the published divisor, which counts the windows it skips")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--csv", type=Path, help="write the figures here, a line an action")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="stacked last poses, a GIF, an mp4 and a Rerun file of some windows")
    return parser.parse_args(argv)


def limits_of(dataset: str, folder: Path) -> Limits:
    """Joint limits to check futures against."""
    return PUBLISHED_SETS[dataset].limits(folder) if dataset in PUBLISHED_SETS else load_limits(LIMITS)


def evaluate(a: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The report of every history noise.

    Raises:
        InputError: a model of another data set, missing data.
        UsageError: K < 1.
    """
    if a.k < 1:
        raise UsageError(f"--k is {a.k}, wanted at least 1")
    predictor = load(a.model, a.dataset, a.stage1)
    dataset = a.dataset or predictor.dataset
    limits = limits_of(dataset, a.data)
    reports = {}
    similar = None
    for noise in a.noise if dataset == "cmu17" else [0.0]:
        windows: EvalWindows = open_windows(dataset, a.data, predictor.history, predictor.future, a.stride, a.seed, noise / 1000)
        if similar is None:
            found = multimodal.progress("comparing pasts")
            similar = multimodal.load(a.multimodal, windows) if a.multimodal else neighbours(windows, track=found)
        name = "clean history" if noise == 0 else f"noisy history ({noise:g} mm)"
        reports[name] = {"seed": a.seed, **measure(predictor, windows, similar, limits, a.k, a.seed, multimodal.progress("evaluating"))}
        show(reports[name], name, a.reference)
        if a.pictures and noise == 0:
            from .pictures import draw_windows

            draw_windows(predictor, windows, a.pictures, a.seed)
    return reports


def main(argv: list[str] | None = None) -> int:
    a = _arguments(argv)
    try:
        reports = evaluate(a)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for path, write in ((a.json, lambda p: p.write_text(json.dumps(reports, indent=2) + "\n")), (a.csv, lambda p: write_csv(p, reports))):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
