"""Measure a lifter on the test clips: ``python -m training.d3dp.evaluate CHECKPOINT --data PATH --json results.json``.

Fixed, seeded virtual cameras and detector errors; motion as captured. Every number is the mean over windows of the frame that
lies `lookahead` clip frames (50 Hz) before the newest one; between the network's frames the prediction is interpolated.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from pose_rt.bench import machine
from pose_rt.core.aggregate import choose_by_reprojection, mean_pose, take_joints
from pose_rt.core.root import estimate_root
from pose_rt.metrics.pose3d import mpjpe, pa_mpjpe
from pose_rt.models.d3dp import MixSTE
from training.common import checkpoint
from training.data.cmu17 import PairConfig, Pairs, make_pairs
from training.data.motion import CLIP_RATE_HZ, PLAIN, Clips, load_clips

from .calibrate import coverage, fit_sigma, spread_of
from .config import TrainConfig
from .sampling import Lifter

HYPOTHESES, STEPS, LOOKAHEADS = (1, 5, 20), (1, 2, 5), (0, 3, 9, 13)
SIGMA_HYPOTHESES = 3
_CAMERA = np.array([1.0, 1.0, 0.0, 0.0], np.float32)


def load_lifter(path: Path) -> tuple[Lifter, TrainConfig]:
    """The averaged network of a checkpoint of `training.d3dp.train`."""
    values = checkpoint.load(path, ("weights", "config"))
    config = TrainConfig.from_dict(values["config"])
    network = MixSTE(config.model())
    network.load_state_dict(values["weights"])
    return Lifter(network.eval(), config.unit_m, config.timesteps, config.scale), config


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


def accuracy(lifter: Lifter, config: TrainConfig, windows: Pairs, seed: int, *, flips: Iterable[bool] = (False,)) -> list[dict[str, Any]]:
    """One row for each flip, K, H and look-ahead; with flip up to H = 5 and K = 2.

    Smaller H are the first of the largest set: hypotheses are independent draws.
    """
    dense = round(CLIP_RATE_HZ / config.rate_hz)
    rows = []
    for flip in flips:
        for steps in (k for k in STEPS if k <= 2 or not flip):
            count = 5 if flip else max(HYPOTHESES)
            drawn = lifter.hypotheses(windows.xy, count, steps, np.random.default_rng((seed, steps)), flip=flip)
            for h in (n for n in HYPOTHESES if n <= count):
                part = drawn[:, :h]
                whole = aggregate(part, windows)
                for lookahead in LOOKAHEADS:
                    truth = windows.target_m[:, windows.target_m.shape[1] - 1 - lookahead]
                    poses = {name: at_lookahead(p, lookahead, dense, 1) for name, p in whole.items()}
                    errors = errors_mm(poses, at_lookahead(part, lookahead, dense, 2), truth)
                    rows.append({"H": h, "K": steps, "lookahead": lookahead, "flip": flip, **errors})
    return rows


def calibration(lifter: Lifter, config: TrainConfig, clips: Clips, test: Pairs, count: int, seed: int) -> dict[str, Any]:
    """Sigma fitted on the training mixture at the newest frame, with its coverage of the test windows.

    For `SIGMA_HYPOTHESES` hypotheses in one and in two steps (their spreads differ), and for a single hypothesis, which has no spread.
    """
    pairs = PairConfig(frames=config.frames, rate_hz=config.rate_hz)
    train = make_pairs(np.random.default_rng((seed, 7)), clips, count, pairs)
    stride = round(CLIP_RATE_HZ / config.rate_hz)
    out: dict[str, Any] = {"hypotheses": SIGMA_HYPOTHESES, "by_steps": {}}
    for steps, hypotheses in ((1, SIGMA_HYPOTHESES), (2, SIGMA_HYPOTHESES), (1, 1)):
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


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.d3dp.evaluate", description="Measure a lifter on the test clips.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--windows", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    started = time.monotonic()
    lifter, config = load_lifter(args.checkpoint)
    windows = held_out_windows(load_clips(args.data, "test"), config, args.windows, args.seed)
    rows = accuracy(lifter, config, windows, args.seed, flips=(False, True))
    sigma = calibration(lifter, config, load_clips(args.data, "train"), windows, 4 * args.windows, args.seed)
    results = {
        "machine": machine.facts(), "threads": args.threads,
        "windows": args.windows, "seed": args.seed, "config": config.to_dict(), "errors_mm": rows,
        "sigma": sigma,
        "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    Console().print(table(rows))
    for name, entry in {**sigma["by_steps"], "alone": sigma["alone"]}.items():
        Console().print(f"sigma {name}: test {entry['coverage_test']}, training mixture {entry['coverage_train']}")


def table(rows: list[dict[str, Any]]) -> Table:
    """MPJPE / PA-MPJPE in millimetres."""
    names = ("P-Agg", "J-Agg", "P-Best", "J-Best")
    out = Table("H", "K", "look-ahead", "flip", *names, title="MPJPE / PA-MPJPE, mm")
    for row in rows:
        cells = [f"{row[n]['mpjpe']:.1f} / {row[n]['pa_mpjpe']:.1f}" for n in names]
        out.add_row(str(row["H"]), str(row["K"]), str(row["lookahead"]), "yes" if row["flip"] else "no", *cells)
    return out


if __name__ == "__main__":
    main()
