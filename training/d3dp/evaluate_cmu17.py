"""The small lifter on the test clips of cmu17, as the live pipeline uses it: single frames of a window, by look-ahead.

Fixed, seeded virtual cameras and detector errors; motion as captured. Every number is the mean over windows of the frame that
lies `lookahead` clip frames (50 Hz) before the newest one; between the network's frames the prediction is interpolated.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

from pose_rt.bench import machine
from pose_rt.core.aggregate import choose_by_reprojection, mean_pose, take_joints
from pose_rt.core.root import estimate_root
from pose_rt.metrics.pose3d import mpjpe, pa_mpjpe
from pose_rt.models.d3dp import MixSTE
from training.data.cmu17 import PairConfig, Pairs, make_pairs
from training.data.motion import CLIP_RATE_HZ, PLAIN, Clips, load_clips

from .calibrate import coverage, fit_sigma, spread_of
from .config import TrainConfig
from .sampling import Lifter

HYPOTHESES, STEPS, LOOKAHEADS = (1, 5, 20), (1, 2, 5), (0, 3, 9, 13)
SIGMA_HYPOTHESES = 3
_SIGMA_DRAWS = ((1, SIGMA_HYPOTHESES), (2, SIGMA_HYPOTHESES), (1, 1))
"""K and H of the fits."""
_SIGMA_WINDOWS = 4
"""Windows a fit is made on for each that it is tested on."""
_CAMERA = np.array([1.0, 1.0, 0.0, 0.0], np.float32)


def held_out_windows(clips: Clips, config: TrainConfig, count: int, seed: int) -> Pairs:
    """Windows of motion as captured, with the truth at every frame of the clip (50 Hz)."""
    dense = round(CLIP_RATE_HZ / config.rate_hz)
    pairs = PairConfig(frames=config.frames, rate_hz=config.rate_hz, dense=dense, mixture=PLAIN)
    return make_pairs(np.random.default_rng(seed), clips, count, pairs)


def aggregate(hypotheses: np.ndarray, windows: Pairs) -> dict[str, np.ndarray]:
    """P-Agg and J-Agg (B, F, J, 3) in the centred view; J-Agg needs no truth: root and focal length are the run time's estimates."""
    mean = mean_pose(hypotheses)
    camera = np.einsum("bhfjk,bkl->bhfjl", hypotheses, windows.rotation)
    root = estimate_root(windows.plane, camera.mean(1), 1.0, np.zeros(2))
    chosen = choose_by_reprojection(camera, windows.plane, root, _CAMERA, clamp=False)
    return {"P-Agg": mean, "J-Agg": take_joints(hypotheses, chosen)}


def at_lookahead(poses: np.ndarray, lookahead: int, dense: int, axis: int) -> np.ndarray:
    """The pose `lookahead` clip frames before the newest, linearly between the two network frames about it; `axis` is that of F."""
    place = (poses.shape[axis] - 1) - lookahead / dense
    low = int(place)
    high = min(low + 1, poses.shape[axis] - 1)
    a, b = np.take(poses, low, axis), np.take(poses, high, axis)
    return a + (b - a) * np.float32(place - low)


def errors_mm(poses: dict[str, np.ndarray], hypotheses: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """MPJPE and PA-MPJPE of single frames: poses (B, J, 3), hypotheses (B, H, J, 3), truth (B, J, 3)."""
    rows = {name: {"mpjpe": mpjpe(p, truth).mean(), "pa_mpjpe": pa_mpjpe(p, truth).mean()} for name, p in poses.items()}
    every = truth[:, None]
    pose, aligned = mpjpe(hypotheses, every), pa_mpjpe(hypotheses, every)
    rows["P-Best"] = {"mpjpe": pose.min(1).mean(), "pa_mpjpe": aligned.min(1).mean()}
    nearest = np.linalg.norm(hypotheses - every, axis=-1).argmin(1)
    best = np.take_along_axis(hypotheses, nearest[:, None, :, None], 1)[:, 0]
    rows["J-Best"] = {"mpjpe": mpjpe(best, truth).mean(), "pa_mpjpe": pa_mpjpe(best, truth).mean()}
    return {name: {k: round(1000 * float(v), 2) for k, v in row.items()} for name, row in rows.items()}


def accuracy(
    lifter: Lifter,
    config: TrainConfig,
    windows: Pairs,
    seed: int,
    *,
    flips: Iterable[bool] = (False,),
    counts: tuple[int, ...] = HYPOTHESES,
    steps: tuple[int, ...] = STEPS,
    lookaheads: tuple[int, ...] = LOOKAHEADS,
) -> list[dict[str, Any]]:
    """One row for each flip, K, H and look-ahead; of several H and K, those with flip go up to H = 5 and K = 2.

    Smaller H are the first of the largest set: hypotheses are independent draws.
    """
    dense = round(CLIP_RATE_HZ / config.rate_hz)
    rows = []
    for flip, k, count in draws(flips, counts, steps):
        drawn = lifter.hypotheses(windows.xy, count, k, np.random.default_rng((seed, k)), flip=flip)
        for h in (n for n in counts if n <= count):
            part = drawn[:, :h]
            whole = aggregate(part, windows)
            for lookahead in lookaheads:
                truth = windows.target_m[:, windows.target_m.shape[1] - 1 - lookahead]
                poses = {name: at_lookahead(p, lookahead, dense, 1) for name, p in whole.items()}
                errors = errors_mm(poses, at_lookahead(part, lookahead, dense, 2), truth)
                rows.append({"H": h, "K": k, "lookahead": lookahead, "flip": flip, **errors})
    return rows


def draws(flips: Iterable[bool], counts: tuple[int, ...], steps: tuple[int, ...]) -> list[tuple[bool, int, int]]:
    """Flip, K and the largest H of every draw of hypotheses that `accuracy` makes."""
    return [
        (flip, k, min(5, max(counts)) if flip and len(counts) > 1 else max(counts))
        for flip in flips
        for k in steps
        if k <= 2 or not flip or len(steps) == 1
    ]


def counted(lifter: Lifter, tick: Callable[[int], None]) -> Lifter:
    """The same lifter; `tick` hears how many rows each run of its network has."""
    denoise = lifter.network.denoise if isinstance(lifter.network, MixSTE) else lifter.network

    def network(xy: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
        tick(len(xy))
        return denoise(xy, noisy, step)

    return replace(lifter, network=network)


def calibration(lifter: Lifter, config: TrainConfig, clips: Clips, test: Pairs, count: int, seed: int) -> dict[str, Any]:
    """Sigma fitted on the training mixture at the newest frame, with its coverage of the test windows.

    For `SIGMA_HYPOTHESES` hypotheses in one and in two steps (their spreads differ), and for a single hypothesis, which has no spread.
    """
    pairs = PairConfig(frames=config.frames, rate_hz=config.rate_hz)
    train = make_pairs(np.random.default_rng((seed, 7)), clips, count, pairs)
    stride = round(CLIP_RATE_HZ / config.rate_hz)
    out: dict[str, Any] = {"hypotheses": SIGMA_HYPOTHESES, "by_steps": {}}
    for steps, hypotheses in _SIGMA_DRAWS:
        errors, spreads = [], []
        for windows, truth in ((train, train.target_m), (test, test.target_m[:, ::stride])):
            drawn = lifter.hypotheses(windows.xy, hypotheses, steps, np.random.default_rng((seed, steps, 3)))
            errors.append((drawn.mean(1) - truth)[:, -1])
            spreads.append(spread_of(drawn)[:, -1])
        sigma = fit_sigma(errors[0], spreads[0])
        covered = {
            "coverage_test": coverage(errors[1], sigma(spreads[1])), "coverage_train": coverage(errors[0], sigma(spreads[0])),
        }  # fmt: skip
        if hypotheses > 1:
            out["by_steps"][str(steps)] = {**sigma.to_dict(), **covered}
        else:
            out["alone"] = {"a_m": sigma.to_dict()["a_m"], **covered}
    return out


def evaluate(lifter: Lifter, config: TrainConfig, args: argparse.Namespace) -> dict[str, Any]:
    """Errors of every setting that is asked for, and (of all settings) the calibration of sigma; prints the tables."""
    started = time.monotonic()
    windows = held_out_windows(load_clips(args.data, "test"), config, args.windows, args.seed)
    counts = HYPOTHESES if args.hypotheses is None else (args.hypotheses,)
    steps = STEPS if args.steps is None else (args.steps,)
    flips = (False, True) if args.flip is None else (args.flip,)
    looks = LOOKAHEADS if args.lookaheads is None else args.lookaheads
    with_sigma = args.hypotheses is None and args.steps is None
    evaluations = sum(k * count * (1 + flip) for flip, k, count in draws(flips, counts, steps))
    calibrations = (1 + _SIGMA_WINDOWS) * sum(k * h for k, h in _SIGMA_DRAWS) if with_sigma else 0
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("lifting", total=args.windows * (evaluations + calibrations))
        lifter = counted(lifter, lambda rows: progress.advance(task, rows))
        rows = accuracy(lifter, config, windows, args.seed, flips=flips, counts=counts, steps=steps, lookaheads=looks)
        clips = load_clips(args.data, "train") if with_sigma else None
        sigma = None if clips is None else calibration(lifter, config, clips, windows, _SIGMA_WINDOWS * args.windows, args.seed)
    results: dict[str, Any] = {
        "machine": machine.facts(), "threads": args.threads, "windows": args.windows, "seed": args.seed, "config": config.to_dict(),
        "errors_mm": rows,
    }  # fmt: skip
    console = Console()
    console.print(table(rows))
    if sigma is not None:
        results["sigma"] = sigma
        console.print(_sigma_table(sigma))
    return {**results, "seconds": round(time.monotonic() - started, 1)}


def _sigma_table(sigma: dict[str, Any]) -> Table:
    shown = Table("hypotheses", "K", "test clips", "training mixture", title="errors within 1 / 1.96 sigma")
    fits = [(str(sigma["hypotheses"]), k, entry) for k, entry in sigma["by_steps"].items()]
    for hypotheses, k, entry in [*fits, ("1", "1", sigma["alone"])]:
        cells = (" / ".join(f"{share:.1%}" for share in entry[which].values()) for which in ("coverage_test", "coverage_train"))
        shown.add_row(hypotheses, k, *cells)
    return shown


def table(rows: list[dict[str, Any]]) -> Table:
    """MPJPE / PA-MPJPE in millimetres."""
    names = ("P-Agg", "J-Agg", "P-Best", "J-Best")
    out = Table("H", "K", "look-ahead", "flip", *names, title="MPJPE / PA-MPJPE, mm")
    for row in rows:
        cells = [f"{row[n]['mpjpe']:.1f} / {row[n]['pa_mpjpe']:.1f}" for n in names]
        out.add_row(str(row["H"]), str(row["K"]), str(row["lookahead"]), "yes" if row["flip"] else "no", *cells)
    return out
