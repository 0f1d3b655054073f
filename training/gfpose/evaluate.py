"""Evaluate a task: ``python -m training.gfpose.evaluate est --checkpoint FILE --data h36m --folder DIR --hypo 200``.

Tasks: est (3D from 2D), comp2d, comp3d (some joints missing: --randj K or --jlist 1,2,3), gen (poses from nothing), den (noisy poses:
--std PX --t TIME). Samplers: the published one with N steps (--steps 1000, --pflow), the exact flow in few steps (--flow 10), an adaptive
solver of it (--ode). Scores: the best of the hypotheses, their mean, the mean pose; MPJPE and PA-MPJPE; PCK, AUC, spread, calibration.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import nn

from pose_rt.bench import machine
from pose_rt.errors import PoseRtError, UsageError
from pose_rt.metrics.diversity import bone_lengths

from .config import TrainConfig
from .metrics import hypothesis_errors, over_actions, scores
from .sampling import Sampler, sample
from .task_data import TaskData, load_task
from .tasks import JLISTS, RANDOM_JOINTS, TASKS
from .train import add_data_options


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(arguments)
    try:
        _run(args)
    except PoseRtError as error:
        Console(stderr=True).print(str(error), markup=False)
        return error.exit_code
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted: nothing was written")
        return 130
    return 0


def _run(args: argparse.Namespace) -> None:
    from exporters.gfpose import read_checkpoint

    _check(args)
    torch.set_num_threads(args.threads)
    network, config = read_checkpoint(args.checkpoint)
    fabric = Fabric(accelerator=args.accelerator, devices=args.devices)
    fabric.launch()
    data = load_task(args, config)
    sampler = Sampler("ode" if args.ode else "flow" if args.flow else "published", args.flow or args.steps, args.pflow, start=args.start)
    started = time.monotonic()
    poses, trajectory = evaluate(network, config, data, args, sampler, fabric)
    seconds = time.monotonic() - started
    if not fabric.is_global_zero:
        return
    report = {
        "task": args.task, "data": data.name, "sampler": _describe(sampler), "seconds": round(seconds, 1),
        "scores": measure(data, poses, args), "machine": machine.facts(), "checkpoint": args.checkpoint.name,
    }  # fmt: skip
    _print(report)
    _write(args, data, poses, trajectory, report)


def _check(args: argparse.Namespace) -> None:
    if args.hypo < 1:
        raise UsageError(f"--hypo is {args.hypo}, wanted at least 1")
    completing = args.task in ("comp2d", "comp3d")
    if completing == (args.randj is None and args.jlist is None):
        wanted = "one of --randj K and --jlist LIST" if completing else "neither --randj nor --jlist"
        raise UsageError(f"{args.task}: wanted {wanted}")
    if args.randj is not None and not 1 <= args.randj <= len(RANDOM_JOINTS):
        raise UsageError(f"--randj is {args.randj}, wanted 1 to {len(RANDOM_JOINTS)}")
    if args.task == "den" and (args.std is None or args.t is None):
        raise UsageError("den: wanted --std and --t", "the paper denoises with --std 5 --t 0.05")
    if args.std is not None and not args.std >= 0:
        raise UsageError(f"--std is {args.std:g}, wanted 0 or more")
    if args.t is not None and not 0 < args.t <= 1:
        raise UsageError(f"--t is {args.t:g}, wanted more than 0 and at most 1")


def evaluate(
    network: nn.Module, config: TrainConfig, data: TaskData, args: argparse.Namespace, sampler: Sampler, fabric: Fabric
) -> tuple[np.ndarray, np.ndarray | None]:
    """Hypotheses (N, H, 17, 3) in the data's unit and, with --save trajs, all states (T, N, H, 17, 3).

    Items are counted hypothesis by hypothesis and cut into batches that have random numbers of their own: every device takes every so
    many batches, and the result does not depend on how many devices there are.
    """
    network = network.to(fabric.device).eval()
    count, total = len(data.condition), len(data.condition) * args.hypo
    numbers = list(range(0, total, args.batch))[fabric.global_rank :: fabric.world_size]
    out = torch.zeros(total, 17, 3)
    states: list[np.ndarray] = []
    console = Console(stderr=True, quiet=not fabric.is_global_zero)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        for start in progress.track(numbers, description=args.task):
            items = np.arange(start, min(start + args.batch, total)) % count
            generator = torch.Generator().manual_seed(args.seed * 1_000_003 + start)
            keep: list[torch.Tensor] | None = [] if args.save == "trajs" else None
            noisy = None if data.noisy is None else torch.from_numpy(data.noisy[items]).to(fabric.device)
            out[start : start + len(items)] = sample(
                network, config, args.task, torch.from_numpy(data.condition[items]).to(fabric.device), sampler, generator,
                missing=[data.missing[i] for i in items] if data.missing else (), noisy=noisy, time=args.t or 1.0,
                noise_level=data.noise_level, trajectory=keep,
            ).cpu()  # fmt: skip
            if keep is not None:
                states.append(torch.stack(keep).cpu().numpy())
    if fabric.world_size > 1:
        out = torch.as_tensor(fabric.all_reduce(out.to(fabric.device), reduce_op="sum")).cpu()
    poses = out.reshape(args.hypo, count, 17, 3).transpose(0, 1).numpy()
    if not states:
        return poses, None
    whole = np.concatenate(states, 1)
    return poses, whole.reshape(len(whole), args.hypo, count, 17, 3).swapaxes(1, 2)


def measure(data: TaskData, poses: np.ndarray, args: argparse.Namespace) -> dict[str, Any]:
    """The scores that make sense for the task."""
    if args.task == "gen":
        flat = poses.reshape(-1, 17, 3)
        result: dict[str, Any] = {"poses": len(flat), "bones": bone_report(flat, data.target)}
        centred, truth = (p - p[:, :1] for p in (flat, data.target))
        rows = np.random.default_rng(0).permutation(len(truth))[:2000]
        distance = np.linalg.norm(centred[:, None] - truth[rows][None], axis=-1).mean(-1)
        result["nearest_real_mm"] = 1000 * float(distance.min(1).mean())
        result["spread_ratio"] = float(centred.std(0).mean() / truth.std(0).mean())
        return result
    predicted, target = data.to_mm(poses)
    result = scores(predicted, target, action=data.action, reference=args.reference)
    if data.missing:
        errors = np.linalg.norm(predicted - target[:, None], axis=-1)
        hidden = np.zeros((len(target), 17), bool)
        for row, joints in zip(hidden, data.missing, strict=True):
            row[list(joints)] = True
        result["missing_min_mm"] = float(np.nanmean(np.where(hidden[:, None], errors, np.nan), -1).min(1).mean())
        result["missing_mean_pose_mm"] = float(np.linalg.norm(predicted.mean(1) - target, axis=-1)[hidden].mean())
    if data.noisy is not None:
        before, _ = data.to_mm(data.noisy[:, None])
        for protocol, name in ((1, "mpjpe_mm"), (2, "pa_mpjpe_mm")):
            errors = hypothesis_errors(before, target, protocol=protocol, reference=args.reference)[:, 0]
            mean = float(errors.mean()) if data.action is None else over_actions(errors, data.action, reference=args.reference)
            result[f"noisy_{name}"] = mean
    return result


def bone_report(poses: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """How like a body's the bone lengths are: mean difference of left and right, and the mean distance from the real ones' mean."""
    from pose_rt.core.skeleton import H36M17

    parents = H36M17.parents or ()
    ours, theirs = bone_lengths(poses, parents), bone_lengths(real, parents)
    left, right = (np.array(side) - 1 for side in (H36M17.left, H36M17.right))
    return {
        "left_right_percent": 100 * float((np.abs(ours[:, left] - ours[:, right]) / theirs[:, left].mean(0)).mean()),
        "real_left_right_percent": 100 * float((np.abs(theirs[:, left] - theirs[:, right]) / theirs[:, left].mean(0)).mean()),
        "mean_length_percent": 100 * float((np.abs(ours.mean(0) - theirs.mean(0)) / theirs.mean(0)).mean()),
    }


def _describe(sampler: Sampler) -> str:
    if sampler.kind == "published":
        return f"Euler-Maruyama, {sampler.steps} steps{', --pflow' if sampler.pflow else ''}"
    return (
        f"exact flow, {f'DPM-Solver++ in {sampler.steps} steps' if sampler.kind == 'flow' else 'Dormand-Prince'} from t = {sampler.start:g}"
    )


def _print(report: dict[str, Any]) -> None:
    table = Table("score", "value", title=f"{report['task']}, {report['data']}, {report['sampler']}, {report['seconds']:.0f} s")
    for name, value in report["scores"].items():
        table.add_row(name, ", ".join(f"{v:.4g}" for v in np.atleast_1d(list(value.values()) if isinstance(value, dict) else value)))
    Console().print(table)


def _write(args: argparse.Namespace, data: TaskData, poses: np.ndarray, trajectory: np.ndarray | None, report: dict[str, Any]) -> None:
    from .pictures import draw_hypotheses, write_rerun

    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    if args.csv is not None:
        flat = {k: v for k, v in report["scores"].items() if np.ndim(v) == 0 and not isinstance(v, dict)}
        with args.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("task", "sampler", *flat))
            writer.writerow((report["task"], report["sampler"], *flat.values()))
    if args.out is not None:  # as published: [t, n, hypothesis, 17, 3] and [1, n, 1, 17, 3]
        pred = poses[None] if trajectory is None else trajectory
        np.savez_compressed(args.out, pred3d=pred.astype(np.float32), gt3d=data.target[None, :, None].astype(np.float32))
    if args.picture is not None:
        draw_hypotheses(args.picture, poses, data.target, per_line=args.per_line, people=args.people)
    if args.rerun is not None:
        states = poses[None] if trajectory is None else trajectory
        write_rerun(args.rerun, states[:, : args.people], data.target[: args.people], per_line=args.per_line)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.gfpose.evaluate", description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--checkpoint", type=Path, required=True, help="of training.gfpose, or the published best_model.pth")
    add_data_options(parser)
    parser.add_argument("--count", type=int, default=1000, help="cmu17: poses of the test clips")
    parser.add_argument("--hypo", type=int, default=1, help="hypotheses for each pose")
    parser.add_argument("--steps", type=int, default=1000, help="of the published sampler")
    parser.add_argument("--pflow", action="store_true", help="the published sampler without its noise")
    parser.add_argument("--flow", type=int, metavar="STEPS", help="the exact flow in so many steps")
    parser.add_argument("--ode", action="store_true", help="the exact flow by an adaptive solver")
    parser.add_argument("--start", type=float, default=1.0, help="with --flow and --ode: time at which it starts from noise")
    parser.add_argument("--randj", type=int, metavar="K", help="so many joints missing, drawn for each pose")
    parser.add_argument("--jlist", choices=JLISTS, help="these joints missing")
    parser.add_argument("--std", type=float, help="den: strength of the noise, pixels of the crop (2 mm at the root's depth)")
    parser.add_argument("--t", type=float, help="den: time from which the published sampler runs")
    parser.add_argument("--noise-type", choices=("gaussian", "uniform"), default="gaussian")
    parser.add_argument("--reference", action="store_true", help="the published scores: Procrustes may mirror, absent actions give NaN")
    parser.add_argument("--batch", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--accelerator", default="cpu", choices=("cpu", "cuda", "auto"))
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--out", type=Path, metavar="FILE.npz", help="the poses, in the published layout")
    parser.add_argument(
        "--save", choices=("results", "trajs"), default="results", help="what --out and --rerun hold: the end, or every step"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE.png")
    parser.add_argument("--rerun", type=Path, metavar="FILE.rrd", help="persons, hypotheses and the diffusion over time")
    parser.add_argument("--people", type=int, default=10, help="persons in pictures")
    parser.add_argument("--per-line", type=int, default=5, help="persons in a line of a picture")
    return parser


if __name__ == "__main__":
    sys.exit(main())
