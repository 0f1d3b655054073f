"""Two speeds of the D3DP research code, interleaved: ``python benchmarks/d3dp.py [--device cuda] --json benchmarks/d3dp.json``.

The denoiser at the published size with the fused attention against the plain formula; and the pipeline of training batches against
one that works as the published generator does: per batch, per chunk, cut, pad, mirror, then convert to float32.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose_rt.bench import machine
from pose_rt.core.skeleton import H36M17
from pose_rt.models.d3dp import MixSTE, MixSTEConfig
from pose_rt.models.layers.transformer import Attention
from training.data.chunks import Chunks, ChunkStream
from training.data.recordings import DataSet, Recording

FRAMES, BATCH = 243, 4


def recordings(count: int, seed: int = 0) -> DataSet:
    """Clips as long as those of Human3.6M, of noise."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        n = int(rng.integers(1000, 6000))
        xy, pose = rng.standard_normal((n, 17, 2), dtype=np.float32), rng.standard_normal((n, 17, 3), dtype=np.float32)
        made.append(Recording("S1", f"Clip {i}", "", xy, pose, np.zeros(0, np.float32), (1000, 1000)))
    return DataSet("noise", made, H36M17, H36M17, 0, 50.0)


def plain_generator(data: DataSet, table: np.ndarray, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches one chunk at a time, as the published generator makes them: float64 buffers, edges padded, mirrored in place."""
    left, right = list(H36M17.left), list(H36M17.right)
    buffers = (np.empty((BATCH, FRAMES, 17, 2)), np.empty((BATCH, FRAMES, 17, 3)))
    for first in range(0, len(order) - BATCH + 1, BATCH):
        for place, row in enumerate(order[first : first + BATCH]):
            sequence, start, end, mirrored = table[row].tolist()
            recording = data.recordings[sequence]
            for buffer, source in zip(buffers, (recording.xy, recording.pose), strict=True):
                low, high = max(start, 0), min(end, len(source))
                before, after = low - start, end - high
                cut = source[low:high]
                buffer[place] = np.pad(cut, ((before, after), (0, 0), (0, 0)), "edge") if before or after else cut
                if mirrored:
                    buffer[place, :, :, 0] *= -1
                    buffer[place, :, left + right] = buffer[place, :, right + left]
        yield torch.from_numpy(buffers[0].astype(np.float32)), torch.from_numpy(buffers[1].astype(np.float32))


def batches_per_second(clips: int, rounds: int) -> dict[str, Any]:
    """Both pipelines over the same epochs, in turn; the best of the rounds."""
    data = recordings(clips)
    chunks = Chunks(data, FRAMES)
    stream = ChunkStream(chunks, BATCH)
    count = len(chunks) // BATCH
    best = {"plain": 0.0, "ours": 0.0}
    for epoch in range(rounds):
        order = np.random.RandomState(epoch).permutation(len(chunks))
        runs: dict[str, Callable[[], Any]] = {
            "plain": lambda order=order: sum(1 for _ in plain_generator(data, chunks.table, order)),
            "ours": lambda epoch=epoch: sum(1 for i in range(count) if stream(epoch * stream.steps_per_epoch + i)),
        }
        for name, run in runs.items():
            started = time.process_time()
            run()
            best[name] = max(best[name], count / (time.process_time() - started))
    return {
        "frames": FRAMES, "batch": BATCH, "chunks": len(chunks), "rounds": rounds,
        "batches_per_second": {name: round(value, 1) for name, value in best.items()}, "ratio": round(best["ours"] / best["plain"], 2),
    }  # fmt: skip


def denoiser_seconds(config: MixSTEConfig, windows: int, rounds: int, device: str, half: bool, steps: bool) -> dict[str, Any]:
    """Forward, and with `steps` also forward and backward, with the fused attention and without, in turn; the medians of the rounds."""
    torch.manual_seed(0)
    network = MixSTE(config).to(device)
    attentions = [m for m in network.modules() if isinstance(m, Attention)]
    xy = torch.randn(windows, config.frames, 17, 2, device=device)
    noisy = torch.randn(windows, config.frames, 17, 3, device=device)
    step = torch.full((windows,), 500, device=device)
    seconds: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for fused in (True, False) if turn % 2 else (False, True):
            for attention in attentions:
                attention.fused = fused
            for training in (False, True) if steps else (False,):
                with torch.set_grad_enabled(training), torch.autocast(device, torch.bfloat16, enabled=half):
                    started = _now(device)
                    clean = network(xy, noisy, step)
                    if training:
                        clean.square().mean().backward()
                        network.zero_grad(set_to_none=True)
                    spent = _now(device) - started
                if turn:  # the first turn warms up
                    seconds.setdefault(f"{'training step' if training else 'forward'}, {'fused' if fused else 'plain'}", []).append(spent)
    medians = {name: round(float(np.median(values)), 5) for name, values in seconds.items()}
    ratios = {kind: round(medians[f"{kind}, plain"] / medians[f"{kind}, fused"], 3) for kind in ("forward", "training step")[: 1 + steps]}
    return {
        "frames": config.frames, "width": config.width, "depth": config.depth, "windows": windows, "rounds": rounds, "device": device,
        "precision": "bf16" if half else "fp32", "seconds": medians, "plain_over_fused": ratios,
    }  # fmt: skip


def _now(device: str) -> float:
    """Seconds: of the wall clock on a GPU, of this process' CPU time otherwise, which other jobs on the machine disturb less."""
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = {"machine": machine.facts(), "threads": args.threads}
    if args.device == "cuda":
        results["gpu"] = torch.cuda.get_device_name()
    # A step of all eight levels takes minutes on a CPU core; two levels have the same ratio.
    levels = MixSTEConfig(depth=8 if args.device == "cuda" else 2)
    results["denoiser"] = denoiser_seconds(MixSTEConfig(), args.windows, args.rounds, args.device, args.bf16, False)
    print(results["denoiser"])
    results["training"] = denoiser_seconds(levels, args.windows, args.rounds, args.device, args.bf16, True)
    print(results["training"])
    results["batches"] = batches_per_second(args.clips, args.rounds)
    print(results["batches"])
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
