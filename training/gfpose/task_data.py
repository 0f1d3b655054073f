"""What a task is evaluated on: conditions, truths, missing joints, noisy poses, and the way to millimetres."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pose_rt.errors import UsageError
from training.data.motion import PLAIN, load_clips

from . import h36m
from .cmu17 import draw_poses
from .config import TrainConfig
from .metrics import camera_poses
from .tasks import RANDOM_JOINTS


@dataclass(frozen=True)
class TaskData:
    """Arrays of N poses.

    Attributes:
        name: of the data.
        condition: (N, 17, 3) in the data's unit: 2D with z = 0 (est, comp2d), or the 3D pose (comp3d).
        target: (N, 17, 3).
        missing: joints of each pose, or empty.
        noisy: (N, 17, 3) for den, or None; `noise_level` is the deviation of its noise in the data's unit.
        action: (N,) for scores balanced over actions, or None.
        to_mm: hypotheses (N, H, 17, 3) -> themselves and the truth (N, 17, 3) in millimetres.
    """

    name: str
    condition: np.ndarray
    target: np.ndarray
    missing: list[list[int]]
    noisy: np.ndarray | None
    noise_level: float
    action: np.ndarray | None
    to_mm: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_task(args: argparse.Namespace, config: TrainConfig) -> TaskData:
    """The data that the command line names."""
    dataset = args.dataset or config.dataset
    if dataset != config.dataset:
        raise UsageError(f"the checkpoint was trained on {config.dataset}, --data is {dataset}")
    rng = np.random.default_rng(args.seed)
    split = None
    if dataset == "h36m":
        split = h36m.load(args.folder, "test", exact_2d=args.gt, sample=args.sample)
        flat, target = split.pairs(np.arange(len(split)))
        pixels: np.ndarray = split.image
    else:
        in_2d = replace(config, condition_3d=0.0, hide_below=0.0)
        poses = draw_poses(rng, load_clips(args.folder, "test"), args.count, in_2d, PLAIN, offset_m=0.0)
        flat, target = poses.condition, poses.target
        pixels = h36m.denormalise(target)
    noisy, level = None, 0.0
    if args.task == "den":
        draw = rng.standard_normal(pixels.shape) if args.noise_type == "gaussian" else rng.random(pixels.shape)
        noisy = h36m.normalise(h36m.with_noise(pixels, args.noise_type, args.std, draw))
        level = args.std / (h36m.CROP_PX / 2) * (1.0 if args.noise_type == "gaussian" else 12**-0.5)
    missing = missing_joints(args, len(target), rng)
    name = f"{dataset}/test, {len(target)} poses"

    def to_mm(hypotheses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if split is not None:
            return camera_poses(split, hypotheses), split.camera_mm
        # Metres at the depth of the root; no camera knows the depth of the root itself.
        return 1000.0 * (hypotheses - hypotheses[..., :1, :]).astype(np.float64), 1000.0 * (target - target[:, :1]).astype(np.float64)

    condition = target if args.task == "comp3d" else flat
    return TaskData(name, condition, target, missing, noisy, level, None if split is None else split.action, to_mm)


def missing_joints(args: argparse.Namespace, count: int, rng: np.random.Generator) -> list[list[int]]:
    """The missing joints of each pose: a list for all, or so many drawn for each from elbows, wrists, knees and ankles."""
    if args.jlist is not None:
        return [[int(j) for j in args.jlist.split(",")]] * count
    if args.randj is not None:
        return [rng.choice(RANDOM_JOINTS, args.randj, replace=False).tolist() for _ in range(count)]
    return []
