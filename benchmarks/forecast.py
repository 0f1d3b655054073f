"""Time of 50 futures on one CPU thread: ``python benchmarks/forecast.py [--json benchmarks/forecast.json]`` (needs torch and onnx).

Three models, one call each in turn, so that a busy machine disturbs all alike; CPU time, which waiting does not add to, besides wall
time. The published network (random weights: they do not matter for time) runs as ONNX in ONNX Runtime and as plain layers in PyTorch,
layer by layer as it was published.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose_rt import zoo
from pose_rt.backends import Backend, open_backend
from pose_rt.bench.machine import facts
from pose_rt.core.skeleton import H36M17
from pose_rt.models.dhmp import PUBLISHED, Forecaster, MotionDCT, build_cvae, build_sampler

Call = Callable[[], Any]


def feeds(history: int, k: int, bases: int, z: int) -> dict[str, np.ndarray]:
    """A person who hardly moves, and random draws."""
    rng = np.random.default_rng(0)
    pose = rng.normal(0, 0.3, (1, 1, 17, 3)) + rng.normal(0, 0.005, (1, history, 17, 3)).cumsum(1)
    pose -= pose[:, :, :1]
    weights = rng.dirichlet(np.ones(bases), (1, k))
    return {name: x.astype(np.float32) for name, x in (("history", pose), ("weights", weights), ("eps", rng.normal(size=(1, k, z))))}


def published(folder: Path, k: int) -> tuple[Backend, Call]:
    """The published size: exported, and in torch as published (condition repeated K times, every layer on K copies)."""
    from exporters.dhmp import export

    config = PUBLISHED["h36m"]
    torch.manual_seed(0)
    cvae, sampler = build_cvae(config).eval(), build_sampler(config).eval()
    path = folder / "published.onnx"
    export(Forecaster(config, H36M17.parents or (), cvae, sampler, None).eval(), path)
    dct = MotionDCT(config.frames, config.dct_n)
    given = {name: torch.from_numpy(x) for name, x in feeds(config.history, k, config.bases, config.z).items()}

    @torch.no_grad()
    def plain() -> torch.Tensor:
        channels = given["history"][0, :, 1:].reshape(1, config.history, -1).transpose(1, 2)
        condition = dct.condition(channels)
        z, _, _ = sampler(condition, given["weights"], given["eps"][0])
        return dct.decode(cvae.inference(condition.repeat_interleave(k, 0), z))[..., config.history :]

    return open_backend(path, "onnxruntime", threads=1), plain


def measure(calls: dict[str, Call], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each call, in turns."""
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 5):
        for name, call in calls.items():
            t, c = time.perf_counter(), time.process_time()
            call()
            if i >= 5:
                cpu[name].append(1000 * (time.process_time() - c))
                wall[name].append(1000 * (time.perf_counter() - t))
    return {
        name: {
            "wall_ms_min": round(min(wall[name]), 2), "wall_ms_p50": round(float(np.median(wall[name])), 2),
            "cpu_ms_min": round(min(cpu[name]), 2), "cpu_ms_p50": round(float(np.median(cpu[name])), 2),
        }
        for name in calls
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        full, plain = published(Path(name), a.k)
        bundled = open_backend(zoo.find("forecaster_s"), "onnxruntime", threads=1)
        small, large = (feeds(b.metadata["history"], a.k, b.metadata["bases"], b.metadata["z"]) for b in (bundled, full))
        calls: dict[str, Call] = {
            "bundled forecaster, ONNX Runtime": lambda: bundled.run(small),
            "published size, ONNX Runtime": lambda: full.run(large),
            "published size, PyTorch, as published": plain,
        }
        result = measure(calls, a.rounds)
        for backend in (bundled, full):
            backend.close()
    for model, row in result.items():
        print(f"{model:<40} " + "  ".join(f"{key} {value:7.2f}" for key, value in row.items()))
    if a.json is not None:
        a.json.write_text(json.dumps({"futures": a.k, "rounds": a.rounds, "models": result, "machine": facts()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
