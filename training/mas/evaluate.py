"""Compare what a model makes with real motion: ``python -m training.mas.evaluate --model_path C --evaluator_path E --subjects ...``.

FID, diversity, precision and recall of latent codes against the test split, with 95 % intervals over repetitions; for 3D motions of
metric data also bone lengths over time and foot sliding. Published: every repetition samples anew; with --pool N (ours) N motions are
sampled once and the repetitions differ in cameras, in the choice of motions and in the reference clips.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from pose_rt.backends import open_backend
from pose_rt.bench import machine
from pose_rt.diffusion.mas import METHODS
from pose_rt.errors import PoseRtError, UsageError
from pose_rt.io.generated_film import METRIC
from pose_rt.metrics.distribution import fid
from pose_rt.metrics.manifold import diversity, diversity_pairs, format_number, mean_and_interval, precision_recall
from pose_rt.metrics.motion_quality import bone_variation, foot_sliding
from pose_rt.stages.motion import DEFAULT_STEPS, MotionModel, Network
from training.common.run import git_state

from .batches import Batch, Normaliser
from .load import TorchNetwork, load_evaluator, load_motion_model
from .sources import ProjectionSource, Source, open_source
from .subjects import ANGLE_MODES, DATA, FILES, check_subjects, from_files, normalised, sample2d, sample3d, seen_once

METRICS = ("fid", "diversity", "precision", "recall")
_ENCODED = 256
_FEET = ("left_ankle", "right_ankle")


@dataclass
class Scores:
    """Values of a subject by metric, one a repetition; `quality` are figures of its 3D motions."""

    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})
    quality: dict[str, float] = field(default_factory=dict)

    def summary(self) -> dict[str, dict[str, float]]:
        out = {}
        for name, values in self.values.items():
            mean, interval = mean_and_interval(np.array(values))
            out[name] = {"mean": float(mean), "interval": float(interval)}
        return out


class Encoder:
    """Motions in the data's unit to latent codes: the mean of the evaluator's posterior."""

    def __init__(self, path: Path, fallback: Normaliser) -> None:
        self._network, _, normaliser = load_evaluator(path)
        self._normaliser = normaliser or fallback

    @torch.no_grad()
    def __call__(self, clips: list[np.ndarray]) -> np.ndarray:
        """Clips (T_i, J, 2) -> (N, D) float64."""
        codes = []
        for first in range(0, len(clips), _ENCODED):
            batch: Batch = normalised(clips[first : first + _ENCODED], self._normaliser)
            mean, _ = self._network.encode(torch.from_numpy(batch.motion), torch.from_numpy(batch.lengths))
            codes.append(mean.double().numpy())
        return np.concatenate(codes)


def draw_clips(source: Source, rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Clips (T, J, 2) of a data set in its unit."""
    batch = source.batch(rng, count)
    mean, std = source.normaliser.planes
    motion = batch.motion * std + mean
    return [clip[..., :length].transpose(2, 0, 1) for clip, length in zip(motion, batch.lengths, strict=True)]


def score(real: np.ndarray, generated: np.ndarray, rng: np.random.Generator, k: int = 3) -> dict[str, float]:
    """FID, diversity, precision and recall of latent codes (N, D) each."""
    shares = precision_recall(real, generated, k)
    first, second = diversity_pairs(rng, len(generated))
    return {"fid": fid(real, generated), "diversity": diversity(generated, first, second), **shares._asdict()}


def quality(motions: list[np.ndarray], model: MotionModel) -> dict[str, float]:
    """Bone-length variation (fraction) and foot sliding (m/s) of 3D motions given as rows (T, J, 3), mean over motions."""
    spec = model.spec
    feet = [spec.skeleton.joints.index(name) for name in _FEET]
    joints = [spec.joints_of(motion) for motion in motions]
    return {
        "bone_variation": float(np.mean([bone_variation(j, spec.skeleton.edges) for j in joints])),
        "foot_sliding_m_s": float(np.mean([foot_sliding(j, feet, spec.fps) for j in joints])),
    }


class Evaluation:
    """The state of a run: model, evaluator, data, and the pools of motions."""

    def __init__(self, options: argparse.Namespace, say: Callable[[str, int, int], None]) -> None:
        self.options, self._say = options, say
        self.model = open_model(options.model_path)
        check_subjects(options.subjects, self.model.spec)
        self.data = {
            name: open_source(self.model.spec.name, options.datapath, split, options.data_size, (), options.seed)
            for name, split in zip(DATA, ("train", "test"), strict=True)
        }
        self.encode = Encoder(options.evaluator_path, Normaliser(self.model.mean[..., 0], self.model.std[..., 0]))
        self._pools: dict[str, list[np.ndarray]] = {}

    def clips(self, subject: str, repetition: int, rng: np.random.Generator) -> list[np.ndarray]:
        """The 2D clips of a subject in one repetition."""
        o, count = self.options, self.options.eval_num_samples
        if subject in DATA:
            return draw_clips(self.data[subject], rng, count)
        if subject in FILES:
            motions = from_files(subject, Path(o.datapath or "dataset/nba"), count, rng)
            return seen_once(motions, self.model.spec, o.angle_mode, rng, shared=True)
        motions = self.motions(subject, 0 if o.pool else repetition)
        chosen = [motions[i] for i in rng.permutation(len(motions))[:count]]
        return chosen if subject == "model" else seen_once(chosen, self.model.spec, o.angle_mode, rng)

    def motions(self, subject: str, repetition: int) -> list[np.ndarray]:
        """Sampled motions as rows: the pool, or those of a repetition, with lengths of test clips."""
        key = f"{subject}/{repetition}"
        if key not in self._pools:
            o = self.options
            rng = np.random.default_rng((o.seed, repetition, 1))
            lengths = np.array([len(c) for c in draw_clips(self.data["test_data"], rng, o.pool or o.eval_num_samples)])
            lengths = np.minimum(lengths, self.model.longest)

            def on_sample(done: int, total: int) -> None:
                self._say(subject, done, total)

            seed = o.seed + 1000 * repetition
            if subject == "model":
                made = sample2d(self.model, lengths, seed=seed, batch=o.batch_size, on_sample=on_sample)
            else:
                made = sample3d(
                    self.model, lengths, subject, seed=seed, views=o.num_views, steps=o.steps, published=o.published,
                    iterations=o.iterations, batch=o.batch_size, on_sample=on_sample,
                )  # fmt: skip
            if o.pool == 0:
                self._pools.clear()  # a repetition's motions are used once
            self._pools[key] = made
        return self._pools[key]

    def quality(self, subject: str) -> dict[str, float]:
        """Figures of the 3D motions of a subject, where it has some whose unit is known; of cmu17 the true ones."""
        source = self.data.get(subject)
        if isinstance(source, ProjectionSource):
            return quality(source.projections.windows(np.random.default_rng(self.options.seed), self.options.eval_num_samples), self.model)
        if subject not in METHODS or self.model.spec.name not in METRIC:
            return {}
        return quality(self.motions(subject, 0 if self.options.pool else self.options.num_eval_iterations - 1), self.model)

    def run(self, save: Callable[[dict[str, Scores]], None]) -> dict[str, Scores]:
        """Score every subject; `save` is called after each, so that an interrupted run leaves what it has."""
        scores: dict[str, Scores] = {}
        for subject in self.options.subjects:
            made = Scores()
            for repetition in range(self.options.num_eval_iterations):
                draw, reference, pairs = (np.random.default_rng((self.options.seed, repetition, use)) for use in (0, 2, 3))
                clips = self.clips(subject, repetition, draw)
                real = self.encode(draw_clips(self.data["test_data"], reference, len(clips)))
                for name, value in score(real, self.encode(clips), pairs).items():
                    made.values[name].append(value)
                self._say(subject, repetition + 1, self.options.num_eval_iterations)
            made.quality = self.quality(subject)
            scores[subject] = made
            save(scores)
        return scores


def open_model(path: Path) -> MotionModel:
    """A torch checkpoint or an exported file."""
    if path.suffix == ".onnx":
        opened: Network = open_backend(path, backend="onnxruntime", threads=1)
        return MotionModel(opened)
    return MotionModel(TorchNetwork(load_motion_model(path)))


def table(scores: dict[str, Scores]) -> str:
    """The report as text: mean +- half the 95 % interval."""
    lines = [f"{'subject':30s}" + "".join(f"{name:>22s}" for name in METRICS) + f"{'bones %':>10s}{'sliding m/s':>13s}"]
    for subject, made in scores.items():
        cells = [f"{format_number(v['mean'])} +- {format_number(v['interval'])}" for v in made.summary().values()]
        extra = made.quality
        tail = f"{100 * extra['bone_variation']:10.2f}{extra['foot_sliding_m_s']:13.3f}" if extra else ""
        lines.append(f"{subject:30s}" + "".join(f"{cell:>22s}" for cell in cells) + tail)
    return "\n".join(lines)


def report(scores: dict[str, Scores], options: argparse.Namespace) -> dict[str, Any]:
    settings = {key: (str(value) if isinstance(value, Path) else value) for key, value in vars(options).items() if key != "datapath"}
    subjects = {name: {**made.summary(), **made.quality} for name, made in scores.items()}
    return {"settings": settings, "machine": machine.facts(), "git": git_state(), "subjects": subjects}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m training.mas.evaluate", description=(__doc__ or "").splitlines()[0])
    p.add_argument("--model_path", type=Path, required=True, help="checkpoint with its args.json, or exported .onnx")
    p.add_argument("--evaluator_path", type=Path, required=True)
    p.add_argument("--subjects", nargs="+", default=["train_data", "model", "mas", "dreamfusion", "no_3d_noise"])
    p.add_argument("--angle_mode", choices=ANGLE_MODES, default="uniform")
    p.add_argument("--datapath", help="folder of the data set")
    p.add_argument("--data_size", type=int)
    p.add_argument("--num_eval_iterations", type=int, default=10)
    p.add_argument("--eval_num_samples", type=int, default=1024)
    p.add_argument("--batch_size", type=int, default=32)
    p.add_argument("--num_views", type=int, default=7)
    p.add_argument("--steps", type=int, default=DEFAULT_STEPS, help="denoising steps of 3D sampling (published: all)")
    p.add_argument("--published", action="store_true", help="3D sampling by the published formula")
    p.add_argument("--iterations", type=int, default=1000, help="of the dreamfusion methods")
    p.add_argument("--pool", type=int, default=0, help="sample so many motions once instead of anew for every repetition")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", type=Path, help="JSON report; the table goes beside the model")
    return p


def check(options: argparse.Namespace) -> None:
    """Refuse what cannot work.

    Raises:
        UsageError.
    """
    if options.eval_num_samples < 5 or options.num_eval_iterations < 1 or options.batch_size < 1:
        raise UsageError("--eval_num_samples, --num_eval_iterations and --batch_size want at least 5, 1 and 1")
    if options.pool and options.pool < options.eval_num_samples:
        raise UsageError(f"--pool is {options.pool}, wanted at least --eval_num_samples, {options.eval_num_samples}")


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(sys.argv[1:] if argv is None else argv)
    console = Console(stderr=True, highlight=False)

    def save(scores: dict[str, Scores]) -> None:
        text = table(scores)
        options.model_path.with_name(f"{options.model_path.stem}_eval_{options.angle_mode}.txt").write_text(text + "\n")
        if options.out is not None:
            temporary = options.out.with_suffix(".part")
            temporary.write_text(json.dumps(report(scores, options), indent=1) + "\n")
            temporary.replace(options.out)

    try:
        check(options)
        with Progress(console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("")

            def say(what: str, done: int, total: int) -> None:
                progress.update(task, description=what, completed=done, total=total)

            scores = Evaluation(options, say).run(save)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the reports hold the subjects that were done", file=sys.stderr)
        return 130
    print(table(scores))
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
