"""What a run is trained on and looked at with, for each data set: batches by number, and a quick measure of a network."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pose_rt.models.gfpose import Preconditioned, ScoreNetwork
from training.data.motion import PLAIN, load_clips
from training.data.store import sha256_file

from .cmu17 import PoseStream, draw_poses
from .config import TrainConfig
from .hidden import PATTERNS, completed, hidden_joints
from .trainer import Batch

QUICK_PATTERNS = ("2 joints", "one arm", "both legs", "below the thorax")


@dataclass(frozen=True)
class Material:
    """The data of a run: batches by step, steps an epoch, sha256 of files, measures (the smaller the first, the better), and poses
    (N, 17, 3) that a `Preconditioned` network takes its first guess from."""

    batches: Callable[[int], Batch]
    steps_per_epoch: int
    digests: dict[str, str]
    columns: tuple[str, ...]
    measure: Callable[[ScoreNetwork | Preconditioned, int], tuple[float, ...]]
    typical: Callable[[], np.ndarray]


def prepare(args: argparse.Namespace, config: TrainConfig) -> Material:
    """Load what the settings name."""
    if config.dataset == "h36m":
        from .h36m_run import material

        found: Material = material(args, config)
        return found
    return _cmu17(args.folder, config)


def _cmu17(folder: Path, config: TrainConfig) -> Material:
    stream, test = PoseStream(load_clips(folder, "train"), config), load_clips(folder, "test")
    digests = {f"{split}.npz": sha256_file(folder / f"{split}.npz") for split in ("train", "test")}
    rng = np.random.default_rng(20)
    poses = draw_poses(rng, test, 256, config, PLAIN).target
    shown = poses + rng.normal(0.0, 0.02, poses.shape).astype(np.float32)
    hidden = {name: hidden_joints(rng, PATTERNS[name], len(poses)) for name in QUICK_PATTERNS}

    def batches(step: int) -> Batch:
        drawn = stream(step)
        target, condition, gone = (torch.from_numpy(part) for part in drawn)
        return target, condition, gone

    def measure(network: ScoreNetwork | Preconditioned, step: int) -> tuple[float, ...]:
        """Millimetres on hidden joints of the test clips, of the mean of 4 hypotheses in 6 steps; first the mean over what is hidden."""
        errors = []
        for gone in hidden.values():
            guess = completed(network.cpu(), config.diffusion(), config.data_scale, shown, gone, hypotheses=4, steps=6).mean(0)
            errors.append(1000 * float(np.linalg.norm(guess - poses, axis=-1)[gone].mean()))
        return float(np.mean(errors)), *errors

    columns = ("hidden_mm", *(f"{name.replace(' ', '_')}_mm" for name in QUICK_PATTERNS))
    return Material(batches, 1000, digests, columns, measure, lambda: stream.typical(20_000))
