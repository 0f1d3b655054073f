"""CPU time of ten 3D motions at the published size: ``python benchmarks/mas.py [--json benchmarks/mas.json]`` (needs torch and onnx).

Published: 99 evaluations of the network (17.4 million weights, 8 layers, 16 joints) on 70 views of 180 frames, after each of them Adam on
the consistency loss until it falls no more, at most 1000 iterations. Ours: 36 evaluations by the exported network, and the consistency
solved in closed form. Of both procedures the parts are measured in turn (one evaluation, some iterations of Adam, one solution) and
multiplied by how often they are done; Adam's iterations are counted in a whole published run of the bundled model. Weights are random:
they do not matter for time. That fewer steps and the closed form lose nothing is measured by `training.mas.evaluate`.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose_rt import zoo
from pose_rt.backends import open_backend
from pose_rt.bench.machine import facts
from pose_rt.core.motion_sets import MOTION_SETS
from pose_rt.diffusion.mas import PUBLISHED, Observation, Scene, SeededDraws, generate3d
from pose_rt.diffusion.multiview import Views, circle, triangulate
from pose_rt.models.mas import MDM, MDMConfig
from pose_rt.stages.motion import DEFAULT_STEPS, MotionModel

SAMPLES, VIEWS, FRAMES, STEPS = 10, 7, 180, 100
ITERATIONS = 20
"""Of Adam in one measurement."""
_ROWS = 10
"""Views in one measured evaluation of the 70: its time is proportional to them."""


def published_adam(views: Views, seen: np.ndarray) -> Callable[[], None]:
    """Iterations of the published consistency block in torch: automatic gradients with detached depths, `torch.optim.Adam`."""
    rotation, target = torch.from_numpy(views.rotation), torch.from_numpy(seen)
    motion = torch.zeros(SAMPLES, FRAMES, seen.shape[2], 3, requires_grad=True)
    optimizer = torch.optim.Adam([motion], lr=0.01)

    def iterate() -> None:
        for _ in range(ITERATIONS):
            turned = motion[None] @ rotation[:, None, None]
            depth = turned[..., 2:].detach() + views.distance
            picture = (turned[..., :2] / depth * (views.distance / views.scale)).permute(0, 1, 3, 4, 2)
            loss = ((picture - target) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()  # the stopping rule looks at it

    return iterate


def exported(folder: Path, network: MDM) -> MotionModel:
    """The published network as `pose-rt generate` runs it."""
    from exporters.mas import job_of
    from exporters.torch_export import export
    from training.mas.batches import Normaliser
    from training.mas.load import Trained

    spec = MOTION_SETS["nba"]
    args = {"diffusion_steps": STEPS, "noise_schedule": "cosine_tau_2"}
    trained = Trained(network, spec, Normaliser(np.zeros((spec.joints, 2)), np.ones((spec.joints, 2))), args)
    export(job_of(trained), folder / "m.onnx", source="random weights", seeds=(1,))
    return MotionModel(open_backend(folder / "m.onnx", "onnxruntime", threads=1))


def adam_iterations() -> float:
    """Mean iterations of Adam per step in a published run of the bundled model, one motion of three seconds."""
    model = MotionModel(open_backend(zoo.find("motion2d_s"), "onnxruntime", threads=1))
    spec, counts = model.spec, []
    lengths = np.array([30])
    views = circle(VIEWS, float(np.mean(spec.vertical)), spec.distance, spec.scale)
    scene = Scene(model.denoiser(lengths), model.tables(None), views, model.mean, model.std, (1, 30, spec.joints, 3))

    def count(seen: Observation) -> None:
        counts.append(seen.inner)

    generate3d(scene, PUBLISHED, SeededDraws(0, range(1), 30, spec.joints, VIEWS), observe=count)
    model.close()
    return float(np.mean(counts))


def measure(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each call, in turns, after one that is not counted."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 1):
        for name, call in calls.items():
            began = time.process_time()
            call()
            if i:
                spent[name].append(time.process_time() - began)
    return {name: float(np.median(values)) for name, values in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = MOTION_SETS["nba"]
    network = MDM(MDMConfig(joints=spec.joints)).eval()
    views = circle(VIEWS, np.pi / 16, spec.distance, spec.scale)
    rng = np.random.default_rng(0)
    motion = rng.normal(0, 0.5, (SAMPLES, FRAMES, spec.joints, 3)).astype(np.float32)
    seen = views.perspective(motion)
    x = rng.standard_normal((_ROWS, spec.joints, 2, FRAMES), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        model = exported(Path(folder), network)
        denoise = model.denoiser(np.full(_ROWS, FRAMES))
        given, t, lengths = torch.from_numpy(x), torch.full((_ROWS,), 50), torch.full((_ROWS,), FRAMES)

        @torch.no_grad()
        def torch_network() -> None:
            network(given, t, lengths)

        parts = measure(
            {
                "published_network": torch_network, "our_network": lambda: denoise(x, 50), "published_adam": published_adam(views, seen),
                "our_solution": lambda: triangulate(views, seen, motion * 0.9),
            },
            options.rounds,
        )  # fmt: skip
        # One whole step at full size, for the memory.
        model.denoiser(np.full(SAMPLES, FRAMES))(np.repeat(x, VIEWS, 0), 50)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        model.close()
    inner, share = adam_iterations(), SAMPLES * VIEWS / _ROWS
    before = (STEPS - 1) * (share * parts["published_network"] + inner * parts["published_adam"] / ITERATIONS)
    after = DEFAULT_STEPS * (share * parts["our_network"] + parts["our_solution"])
    report = {
        "what": f"{SAMPLES} motions of {FRAMES} frames from {VIEWS} views, published size, one thread; parts measured, multiplied",
        "machine": facts(), "cpu_s_of_parts": {name: round(value, 4) for name, value in parts.items()},
        "rows_of_a_measured_evaluation": _ROWS, "adam_iterations_of_a_part": ITERATIONS, "adam_iterations_a_step": round(inner, 1),
        "published_cpu_s": round(before, 1), "our_steps": DEFAULT_STEPS, "our_cpu_s": round(after, 1), "share": round(after / before, 3),
        "peak_memory_mib": round(peak),
    }  # fmt: skip
    print(json.dumps(report, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
