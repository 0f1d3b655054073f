"""Measure a forecaster on cmu17/test: ``python -m training.dhmp.evaluate --model forecaster.onnx --data FOLDER [--json out.json]``.

Windows, camera headings, history noise and random draws are fixed by the seed. Distances of ADE, FDE and APD are L2 norms over the
whole pose vector (metres), as in the literature; errors at a horizon are mean distances per joint (millimetres), the root left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pose_rt.core import rng as philox
from pose_rt.core.skeleton import H36M17
from pose_rt.metrics import diversity

from .angles import LIMITS, Limits, load_limits, violation_share
from .data import Windows, test_windows

HORIZONS_MS = (80, 160, 320, 400, 560, 1000, 2000)
BEST_OF = (1, 5, 10, 50)
_PARENTS = H36M17.parents or ()

Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(history (N, T_his, 17, 3), coefficients (N, K, M), eps (N, K, z)) -> futures (N, K, T_pred, 17, 3)."""


def coefficients(window: int, k: int, bases: int, temperature: float, seed: int) -> np.ndarray:
    """(K, M) Gumbel-softmax coefficients, the draws addressed by (seed, window)."""
    g = philox.gumbel((k, bases), seed=seed, frame=window, stream=philox.STREAM_FORECAST_GUMBEL) / np.float32(temperature)
    e = np.exp(g - g.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


def joint_error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean distance per joint without the root, millimetres: (..., T, 17, 3) twice -> (..., T)."""
    return 1000.0 * np.linalg.norm(a[..., 1:, :] - b[..., 1:, :], axis=-1).mean(-1)


def limit_violations(joints: np.ndarray, limits: Limits) -> float:
    """Percent of joint-limit checks that fail over the poses (..., 17, 3), every 10th frame."""
    poses = np.ascontiguousarray(joints[..., 9::10, 1:, :]).reshape(-1, 48)
    return 100 * violation_share(torch.from_numpy(poses), limits)


def baselines(history: np.ndarray, frames: int) -> dict[str, np.ndarray]:
    """Futures (T_pred, 17, 3) that need no model: stand still, or go on with the last frame's velocity."""
    steps = np.arange(1, frames + 1, dtype=np.float32)[:, None, None]
    still = np.repeat(history[-1:], frames, 0)
    return {"zero velocity": still, "constant velocity": still + steps * (history[-1] - history[-2])}


def measure(predict: Predict, windows: Windows, meta: dict[str, Any], k: int = 50, seed: int = 0, quiet: bool = False) -> dict[str, Any]:
    """Every figure of the report, averaged over the windows of one data set."""
    rate, frames = meta["rate_hz"], windows.truth.shape[1]
    columns = {ms: min(round(ms * rate / 1000), frames) - 1 for ms in HORIZONS_MS}
    best_of = [n for n in BEST_OF if n <= k]
    names = ("ade", "fde", "apd", "apd10", "bone_mm", "bone_percent", "outside", "outside_true", "jump")
    sums: dict[str, list[Any]] = {name: [] for name in names}
    at: dict[str, list[np.ndarray]] = {}
    limits = load_limits(LIMITS)
    for i in track(range(len(windows.history)), "evaluating", console=Console(stderr=True), disable=quiet):
        history, truth = windows.history[i], windows.truth[i]
        weights = coefficients(i, k, meta["bases"], meta["temperature"], seed)
        eps = philox.normal((k, meta["z"]), seed=seed, frame=i, stream=philox.STREAM_FORECAST_EPS)
        futures = predict(history[None], weights[None], eps[None])[0]
        error = diversity.errors(futures[:, :, 1:], truth[:, 1:])
        sums["ade"].append([error[:n].mean(-1).min() for n in best_of])
        sums["fde"].append([error[:n, -1].min() for n in best_of])
        sums["apd"].append(diversity.apd(futures))
        sums["apd10"].append(diversity.apd(futures[:10]))
        lengths, wanted = diversity.bone_lengths(futures, _PARENTS), diversity.bone_lengths(truth, _PARENTS)
        sums["bone_mm"].append(1000 * np.abs(lengths - wanted).mean())
        sums["bone_percent"].append(100 * diversity.bone_percent_error(futures, truth, _PARENTS).mean())
        sums["outside"].append(limit_violations(futures, limits))
        sums["outside_true"].append(limit_violations(truth, limits))
        sums["jump"].append(joint_error(futures[:, :1], history[-1:]).mean())
        joint = joint_error(futures, truth)
        rows = {
            "best of 50 (one future, least ADE)": joint[error.mean(-1).argmin()],
            "best of 50 (at each horizon)": joint.min(0),
            "mean of all futures": joint_error(futures.mean(0), truth),
            "first sample": joint[0],
        }
        rows |= {name: joint_error(future, truth) for name, future in baselines(history, frames).items()}
        for name, row in rows.items():
            at.setdefault(name, []).append(row[list(columns.values())])
    return {
        "windows": len(windows.history), "k": k, "seed": seed,
        "ade_m": dict(zip(map(str, best_of), np.mean(sums["ade"], 0).round(4).tolist(), strict=True)),
        "fde_m": dict(zip(map(str, best_of), np.mean(sums["fde"], 0).round(4).tolist(), strict=True)),
        "apd_m": round(float(np.mean(sums["apd"])), 3), "apd_of_10_m": round(float(np.mean(sums["apd10"])), 3),
        "bone_length_error_mm": round(float(np.mean(sums["bone_mm"])), 2),
        "bone_length_error_percent": round(float(np.mean(sums["bone_percent"])), 2),
        "joint_limits_violated_percent": round(float(np.mean(sums["outside"])), 2),
        "joint_limits_violated_by_truth_percent": round(float(np.mean(sums["outside_true"])), 2),
        "first_frame_jump_mm": round(float(np.mean(sums["jump"])), 2),
        "error_mm": {
            name: dict(zip(map(str, columns), np.stack(rows).astype(np.float64).mean(0).round(1).tolist(), strict=True))
            for name, rows in at.items()
        },
    }  # fmt: skip


def load_onnx(path: Path) -> tuple[Predict, dict[str, Any]]:
    """An exported forecaster and what its metadata says."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    meta: dict[str, Any] = json.loads(session.get_modelmeta().custom_metadata_map["pose_rt"])

    def predict(history: np.ndarray, weights: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(["futures"], {"history": history, "weights": weights, "eps": eps})[0])

    return predict, meta


def load_checkpoint(path: Path) -> tuple[Predict, dict[str, Any]]:
    """A training checkpoint; after stage 1 the latent codes are drawn from the prior (`eps` itself)."""
    from pose_rt.models.dhmp import Forecaster, build_sampler

    from .networks import load_networks

    torch.set_num_threads(1)
    trained = load_networks(path)
    config = trained.config
    network = Forecaster(config, _PARENTS, trained.cvae, trained.sampler or build_sampler(config), trained.basis).eval()

    @torch.no_grad()
    def predict(history: np.ndarray, weights: np.ndarray, eps: np.ndarray) -> np.ndarray:
        inputs = [torch.from_numpy(x) for x in (history, weights, eps)]
        if trained.sampler is None:
            return network.decode(inputs[0], inputs[2]).numpy()
        return network(*inputs).numpy()

    return predict, config.to_dict()


def show(report: dict[str, Any], title: str) -> None:
    """Print one report as tables."""
    console = Console()
    scores = Table("", *report["ade_m"], title=f"{title}: best-of-K over {report['windows']} windows (m)")
    scores.add_row("ADE", *map(str, report["ade_m"].values()))
    scores.add_row("FDE", *map(str, report["fde_m"].values()))
    console.print(scores)
    horizons = Table("mm per joint at ms", *map(str, HORIZONS_MS))
    for name, row in report["error_mm"].items():
        horizons.add_row(name, *(f"{value:.1f}" for value in row.values()))
    console.print(horizons)
    console.print(
        f"APD {report['apd_m']} m (of 10: {report['apd_of_10_m']}), bone length error {report['bone_length_error_mm']} mm "
        f"({report['bone_length_error_percent']} %), joint limits violated {report['joint_limits_violated_percent']} % "
        f"(truth: {report['joint_limits_violated_by_truth_percent']} %), jump to the first frame {report['first_frame_jump_mm']} mm"
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.dhmp.evaluate", description="Measure a forecaster on cmu17/test.")
    parser.add_argument("--model", type=Path, required=True, help="an exported .onnx or a checkpoint .pt")
    parser.add_argument("--data", type=Path, required=True, help="folder with test.npz of cmu17")
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--stride", type=int, default=25, help="frames between window starts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    a = parser.parse_args(argv)
    predict, meta = load_onnx(a.model) if a.model.suffix == ".onnx" else load_checkpoint(a.model)
    report = {}
    for name, noise_m in (("clean history", 0.0), ("noisy history (10 mm)", 0.01)):
        windows = test_windows(a.data, meta["history"], meta["future"], a.stride, a.seed, noise_m)
        report[name] = measure(predict, windows, meta, a.k, a.seed, quiet=not sys.stderr.isatty())
        show(report[name], name)
    if a.json:
        a.json.parent.mkdir(parents=True, exist_ok=True)
        a.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
