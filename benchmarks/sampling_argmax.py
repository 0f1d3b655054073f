"""What sampling-argmax is for, on drawn people: ``python benchmarks/sampling_argmax.py [--motion DIR_OF_CMU17]``.

The same small network learns from the same pictures in the same order by heatmap regression, by soft-argmax, and by sampling with each
of the three kernels. Measured on pictures that none has seen: how far the keypoints are off, and whether the spread that a method
predicts is the error it makes. Writes sampling_argmax.json, .md and .png beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn

from pose_rt.bench import machine
from pose_rt.models.sampling_argmax import Decoded, HeadConfig, Heat, Sampled, SamplingArgmax
from training.data.motion import load_clips
from training.sampling_argmax.calibration import Calibration, calibrate, spread_of
from training.sampling_argmax.figures import draw_picture, draw_poses
from training.sampling_argmax.objective import loss_of
from training.sampling_argmax.preprocess import IMAGENET

SIDE, CELLS = 64, 32
AWAY = np.deg2rad(60)
"""How far people turn away from the camera at most: left and right of a back or a profile cannot be told at this size."""
RATE = 5e-3
METHODS = {
    "heatmap regression": {"norm": "heatmap"},
    "soft-argmax": {"norm": "soft-argmax"},
    "sampling, uniform": {"basis": "uniform"},
    "sampling, triangular": {"basis": "triangular"},
    "sampling, gaussian": {"basis": "gaussian"},
}
HERE = Path(__file__).parent


def _layer(channels: int, width: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


class SmallNetwork(nn.Module):
    """Pictures (B, 3, 64, 64) -> heatmaps of half the size -> joints: three strides down, two up with shortcuts, 0.13 M weights.

    The published design (`SimplePose`) has no shortcuts; from 64 px it would leave four cells to hold a whole pose.
    """

    def __init__(self, head: HeadConfig) -> None:
        super().__init__()
        self.config = head
        self.enter_fine = nn.Sequential(_layer(3, 16, 2), _layer(16, 16))
        self.enter_half = nn.Sequential(_layer(16, 32, 2), _layer(32, 32))
        self.enter_quarter = nn.Sequential(_layer(32, 64, 2), _layer(64, 64), _layer(64, 64))
        self.to_half, self.at_half = _layer(64, 32, size=1), _layer(32, 32)
        self.to_fine, self.at_fine = _layer(32, 16, size=1), _layer(16, 32)
        self.final = nn.Conv2d(32, head.joints, 1)
        self.head = SamplingArgmax(head)

    def forward(self, images: Tensor, epoch: int | None = None) -> Sampled | Decoded | Heat:
        fine = self.enter_fine(images)
        half = self.enter_half(fine)
        half = self.at_half(half + nn.functional.interpolate(self.to_half(self.enter_quarter(half)), scale_factor=2.0))
        fine = self.at_fine(fine + nn.functional.interpolate(self.to_fine(half), scale_factor=2.0))
        result: Sampled | Decoded | Heat = self.head(self.final(fine), epoch=epoch)
        return result


def pictures(seed: int, count: int, motion: Path | None, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 3, S, S) uint8 RGB, (N, 17, 2) px, (N, 17) flags."""
    rng = np.random.default_rng(seed)
    clips = None if motion is None else load_clips(motion, split)
    poses = draw_poses(rng, count, clips, away=AWAY)
    drawn = [draw_picture(rng, pose, SIDE, SIDE, share=(0.75, 0.95)) for pose in track(poses, f"drawing {count} people")]
    images = np.stack([d.image[..., ::-1].transpose(2, 0, 1) for d in drawn])
    return images, np.stack([d.xy for d in drawn]), np.stack([d.visible for d in drawn])


def tensors(images: np.ndarray, xy: np.ndarray, visible: np.ndarray, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Network input, target (B, 34) in [-1/2, 1/2] and weight (B, 34) of some rows."""
    pixels = torch.from_numpy(IMAGENET.apply(images[rows]))
    target = torch.from_numpy(xy[rows] / np.float32(SIDE) - np.float32(0.5)).flatten(1)
    weight = torch.from_numpy(np.repeat(visible[rows] > 0, 2, -1).astype(np.float32))
    return pixels, target, weight


def train(
    method: dict[str, str], data: tuple[np.ndarray, np.ndarray, np.ndarray], steps: int, batch: int, seed: int, title: str
) -> tuple[SmallNetwork, float]:
    """The trained network and the CPU seconds it took."""
    torch.manual_seed(seed)
    # The published 2D head: sign gradient, annealed temperature; the plan of 140 epochs is run through in `steps`.
    head = HeadConfig(17, (CELLS, CELLS), samples=4, sign_gradient=True, anneal=True, **method)  # type: ignore[arg-type]
    network = SmallNetwork(head).train()
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    order = np.random.default_rng(seed)
    started = time.process_time()
    for step in track(range(steps), title):
        pixels, target, weight = tensors(*data, rows=order.integers(0, len(data[0]), batch))
        loss = loss_of(network(pixels, epoch=50 * step // steps), target, weight, network.config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval(), time.process_time() - started


@torch.no_grad()
def predict(network: SmallNetwork, data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, 17, 2) and their spread (N, 17), px of the input."""
    points, spreads = [], []
    for rows in np.array_split(np.arange(len(data[0])), max(1, len(data[0]) // 64)):
        decoded = network(tensors(*data, rows=rows)[0])
        assert isinstance(decoded, Decoded)
        points.append((decoded.pred_jts.numpy() + 0.5) * SIDE)
        spreads.append(spread_of(decoded, network.config).numpy() * (SIDE / CELLS))
    return np.concatenate(points), np.concatenate(spreads)


def measure(points: np.ndarray, spread: np.ndarray, xy: np.ndarray, visible: np.ndarray) -> dict[str, Any]:
    """Errors in px of the 64 px input over labelled joints, and the calibration of the spread."""
    error = np.linalg.norm(points - xy, axis=-1)
    free, hidden = error[visible == 2], error[visible == 1]
    torso = np.linalg.norm(xy[:, 5:7].mean(1) - xy[:, 11:13].mean(1), axis=-1)[:, None]
    labelled = visible > 0
    found: Calibration = calibrate((points - xy)[labelled], spread[labelled])
    return {
        "error_px": {"mean": float(error[labelled].mean()), "median": float(np.median(error[labelled])), "free": float(free.mean()),
                     "hidden": float(hidden.mean())},
        "pck_0.2": float(100 * (error / np.maximum(torso, 1e-6) < 0.2)[labelled].mean()),
        "calibration": found.to_dict(),
    }  # fmt: skip


def plot(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Error by method, and error made against spread predicted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    names = list(results)
    places = np.arange(len(names))
    for i, kind in enumerate(("free", "hidden")):
        values = [results[n]["error_px"][kind] for n in names]
        deviation = [results[n]["error_px"].get(f"{kind}_deviation", 0.0) for n in names]
        left.bar(places + 0.38 * (i - 0.5), values, 0.36, yerr=deviation, label=f"{kind} keypoints")
    left.set_xticks(places, [n.replace(", ", ",\n").replace(" regression", "\nregression") for n in names], fontsize=8)
    left.set_ylabel("mean error, px of the 64 px input")
    left.legend()
    ends: list[float] = []
    for name in names:
        bins = results[name]["calibration"]["bins"]
        x, y = [b["spread"] for b in bins], [b["error"] for b in bins]
        right.plot(x, y, marker="o", markersize=3, label=name)
        ends += [*x, *y]
    right.plot([min(ends), max(ends)], [min(ends), max(ends)], color="0.6", linewidth=1, linestyle="--", label="error = spread")
    left.set_title("localisation", fontsize=10)
    right.set_title("is the predicted spread the error that is made?", fontsize=10)
    right.grid(alpha=0.3, which="both", linewidth=0.5)
    right.set(xscale="log", yscale="log", xlabel="predicted spread, px a coordinate", ylabel="root mean square error, px a coordinate")
    right.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def average(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean over seeds; errors with their standard deviation over seeds."""
    first = runs[0]
    errors = {k: float(np.mean([r["error_px"][k] for r in runs])) for k in first["error_px"]}
    errors |= {f"{k}_deviation": float(np.std([r["error_px"][k] for r in runs])) for k in first["error_px"]}
    calibration = {k: float(np.mean([r["calibration"][k] for r in runs])) for k in first["calibration"] if k != "bins"}
    bins = [
        {k: float(np.mean([r["calibration"]["bins"][i][k] for r in runs])) for k in ("spread", "error")}
        for i in range(len(first["calibration"]["bins"]))
    ]
    return {
        "error_px": errors, "pck_0.2": float(np.mean([r["pck_0.2"] for r in runs])),
        "seconds": float(np.mean([r["seconds"] for r in runs])),
        "calibration": {**calibration, "bins": bins},
    }  # fmt: skip


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown; the deviations over seeds where there are several."""
    columns = ("method", "error px", "free", "hidden", "PCK 0.2 %", "rank correlation", "within 1 spread", "error / spread", "CPU s")
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for name, r in results.items():
        e, c = r["error_px"], r["calibration"]
        mean = f"{e['mean']:.2f}" + (f" ± {e['mean_deviation']:.2f}" if e["mean_deviation"] else "")
        cells = (
            name, mean, f"{e['free']:.2f}", f"{e['hidden']:.2f}", f"{r['pck_0.2']:.1f}", f"{c['rank_correlation']:.2f}",
            f"{c['within_1']:.2f}", f"{c['factor']:.2f}", f"{r['seconds']:.0f}",
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python benchmarks/sampling_argmax.py", description=__doc__)
    parser.add_argument("--motion", type=Path, help="folder of cmu17 (train.npz, test.npz); default: poses of the procedural generator")
    parser.add_argument("--train", type=int, default=4096, help="training pictures")
    parser.add_argument("--test", type=int, default=768)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "sampling_argmax.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    material = pictures(1, options.train, options.motion, "train")
    unseen = pictures(2, options.test, options.motion, "test")
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in METHODS}
    for seed in range(options.seeds):
        for name, method in METHODS.items():
            network, seconds = train(method, material, options.steps, options.batch, seed, f"{name}, seed {seed}")
            runs[name].append({**measure(*predict(network, unseen), *unseen[1:]), "seconds": seconds})
            print(f"{name}, seed {seed}: {runs[name][-1]['error_px']['mean']:.2f} px in {seconds:.0f} s of CPU time", flush=True)
    results = {name: average(found) for name, found in runs.items()}
    given = "" if options.motion is None else f" --motion {options.motion.name}"
    given += "".join(
        f" --{key} {value}"
        for key in ("train", "test", "steps", "batch", "seeds")
        if (value := vars(options)[key]) != parser.get_default(key)
    )
    report = {
        "what": "keypoints of drawn people, one small network (0.13 M weights, 32 x 32 cells) trained five ways",
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items() if k not in ("out", "motion")}
        | {"poses": "procedural" if options.motion is None else "cmu17"},
        "machine": {**machine.facts(), "command": "python benchmarks/sampling_argmax.py" + given}, "results": results,
    }  # fmt: skip
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    plot(results, options.out.with_suffix(".png"))
    options.out.with_suffix(".md").write_text(table(results))
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
