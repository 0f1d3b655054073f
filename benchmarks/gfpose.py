"""Cost of sampling poses: ``python benchmarks/gfpose.py --data PATH --checkpoint FILE --json benchmarks/gfpose.json``.

1. 200 hypotheses for one pose, CPU seconds of one thread, interleaved: published sampler (Euler-Maruyama, 1000 steps) and the exact flow
   by DPM-Solver++ in few steps, at the published size of the network (formula weights: the cost does not depend on them) and, with the
   error of both, with the bundled network.
2. The completion of a live frame with the bundled network: one person, one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporters.gfpose import read_checkpoint
from pose_rt import zoo
from pose_rt.backends import open_backend
from pose_rt.bench import machine
from pose_rt.diffusion.sde import SubVpSde
from pose_rt.models.gfpose import ScoreNetwork
from pose_rt.stages.complete import Complete
from pose_rt.stages.prior import Prior
from training.gfpose.config import TrainConfig, published
from training.gfpose.metrics import hypothesis_errors
from training.gfpose.sampling import Sampler, sample

HYPOTHESES, PUBLISHED_STEPS, FLOW_STEPS = 200, 1000, (5, 10, 20)


def cpu_seconds(run: Callable[[], Any]) -> float:
    """CPU time of a call: others on the machine make it wait, not work."""
    started = time.process_time()
    run()
    return time.process_time() - started


def sampler_costs(network: torch.nn.Module, config: TrainConfig, rounds: int, published_steps: int) -> dict[str, float]:
    """Median CPU seconds of 200 hypotheses for one pose, the samplers in turn; the published one is run for a part of its steps and
    multiplied, every step being the same."""
    condition = torch.randn(1, 17, 3).repeat(HYPOTHESES, 1, 1)
    condition[..., 2] = 0
    samplers = {f"published, {PUBLISHED_STEPS} steps": (Sampler(steps=published_steps), PUBLISHED_STEPS / published_steps)}
    samplers |= {f"flow, {n} steps": (Sampler("flow", n, start=0.9), 1.0) for n in FLOW_STEPS}
    taken: dict[str, list[float]] = {name: [] for name in samplers}
    for _ in range(rounds):
        for name, (sampler, factor) in samplers.items():
            generator = torch.Generator().manual_seed(0)
            seconds = cpu_seconds(lambda s=sampler, g=generator: sample(network, config, "est", condition, s, g))
            taken[name].append(factor * seconds)
    return {name: round(statistics.median(values), 3) for name, values in taken.items()}


def sampler_errors(network: torch.nn.Module, config: TrainConfig, folder: Path, poses: int, hypotheses: int) -> dict[str, dict[str, float]]:
    """Best and mean MPJPE of hypotheses of test poses given their 2D, mm, for each sampler."""
    from training.gfpose.task_data import load_task

    args = argparse.Namespace(
        dataset="cmu17", folder=folder, task="est", seed=0, count=poses, std=None, jlist=None, randj=None, noise_type="gaussian"
    )
    data = load_task(args, config)
    samplers = {f"published, {PUBLISHED_STEPS} steps": Sampler(), "published --pflow, 1000 steps": Sampler(pflow=True)}
    samplers |= {f"flow, {n} steps": Sampler("flow", n, start=0.9) for n in FLOW_STEPS}
    result = {}
    for name, sampler in samplers.items():
        condition = torch.from_numpy(np.repeat(data.condition, hypotheses, 0))
        drawn = sample(network, config, "est", condition, sampler, torch.Generator().manual_seed(1)).numpy()
        predicted, target = data.to_mm(drawn.reshape(poses, hypotheses, 17, 3))
        errors = hypothesis_errors(predicted, target)
        average = hypothesis_errors(predicted.mean(1, keepdims=True), target)[:, 0]
        result[name] = {
            "best_mm": round(float(errors.min(1).mean()), 1), "mean_mm": round(float(errors.mean()), 1),
            "of_the_mean_mm": round(float(average.mean()), 1),
        }  # fmt: skip
    return result


def completion_ms(model: str, frames: int) -> dict[str, float]:
    """Time of the complete stage for a frame with a leg out of the picture, one person, one thread: CPU and wall, milliseconds."""
    from tests.io.packets import lost_leg_packet

    path = Path(model)
    stage = Complete(Prior(open_backend(path if path.suffix == ".onnx" else zoo.find(model), backend="onnxruntime", threads=1)))
    cpu, wall = [], []
    for index in range(frames):
        packet = lost_leg_packet(index)
        started, clock = time.process_time(), time.perf_counter()
        stage(packet)
        cpu.append(1000 * (time.process_time() - started))
        wall.append(1000 * (time.perf_counter() - clock))
    stage.close()
    warm = slice(5, None)
    return {
        "cpu_median_ms": round(statistics.median(cpu[warm]), 2), "cpu_p95_ms": round(float(np.percentile(cpu[warm], 95)), 2),
        "wall_median_ms": round(statistics.median(wall[warm]), 2),
    }  # fmt: skip


def main() -> int:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of cmu17")
    parser.add_argument("--checkpoint", type=Path, required=True, help="of the bundled network")
    parser.add_argument("--prior", default="prior_s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--poses", type=int, default=48)
    parser.add_argument("--hypotheses", type=int, default=20)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    large = ScoreNetwork().eval()
    network, config = read_checkpoint(args.checkpoint)
    assert isinstance(config.diffusion(), SubVpSde)
    report = {
        "cpu_seconds_200_hypotheses_published_size": sampler_costs(large, published(), args.rounds, 20),
        "cpu_seconds_200_hypotheses_bundled": sampler_costs(network, config, args.rounds, 200),
        "error_bundled": sampler_errors(network, config, args.data, args.poses, args.hypotheses),
        "complete_stage": completion_ms(args.prior, args.frames),
        "command": "python benchmarks/gfpose.py " + " ".join(sys.argv[1:]), "machine": machine.facts(),
    }  # fmt: skip
    args.json.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
