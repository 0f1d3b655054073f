"""What is compared in the evaluation: clips of a data set, samples of the 2D model, projections of 3D motions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np

from pose_rt.core.motion_sets import MotionSet
from pose_rt.diffusion.mas import METHODS, Method
from pose_rt.diffusion.multiview import perspective_each
from pose_rt.errors import InputError, UsageError
from pose_rt.stages.motion import MotionModel

from .batches import Batch, Normaliser, pad

ANGLE_MODES = ("uniform", "side", "hybrid")
DATA, FILES = ("train_data", "test_data"), ("motionBert", "ElePose")
SUBJECTS = (*DATA, "model", *METHODS, *FILES)

LIFTER_TO_NBA = (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16)
"""Rows of MotionBert's and ElePose's 17 joints (H36M-17) that are NBA's 16: all but the spine."""
_MOTIONBERT_SIZE = 1.7

OnSample = Callable[[int, int], None]


def horizontal_angles(mode: str, rng: np.random.Generator, count: int) -> np.ndarray:
    """(B,) radians: anywhere (uniform), from the side, or from the side give or take 45 degrees (hybrid).

    Raises:
        ValueError: another mode.
    """
    if mode == "side":
        return np.full(count, np.pi / 2)
    if mode not in ANGLE_MODES:
        raise ValueError(f"angle mode: got {mode!r}, wanted one of {', '.join(ANGLE_MODES)}")
    low, high = (-np.pi, np.pi) if mode == "uniform" else (np.pi / 4, 3 * np.pi / 4)
    return rng.uniform(low, high, count)


def seen_once(rows: list[np.ndarray], spec: MotionSet, mode: str, rng: np.random.Generator, *, shared: bool = False) -> list[np.ndarray]:
    """3D motions (T, J, 3), each seen by one camera: clips (T, J, 2) in the data's unit.

    Args:
        shared: one angle for all of them, as published for motions from files.
    """
    angles = horizontal_angles(mode, rng, 1 if shared else len(rows)).repeat(len(rows) if shared else 1)
    tilts = rng.uniform(*spec.vertical, len(rows))
    return [
        perspective_each(motion[None], angles[i : i + 1], tilts[i : i + 1], spec.distance, spec.scale)[0].transpose(2, 0, 1)
        for i, motion in enumerate(rows)
    ]


def sample3d(
    model: MotionModel,
    lengths: np.ndarray,
    method: str,
    *,
    seed: int,
    views: int,
    steps: int | None,
    published: bool,
    iterations: int,
    batch: int,
    on_sample: OnSample,
) -> list[np.ndarray]:
    """3D motions of the lengths as the data set's rows (T, J, 3); in order of length, so that batches hold little padding.

    The dreamfusion methods use one view, as published.
    """
    order = np.argsort(lengths, kind="stable")
    out: dict[int, np.ndarray] = {}
    for first in range(0, len(order), batch):
        part = order[first : first + batch]
        made = model.motions3d(
            lengths[part], seed, first=first, views=1 if method.startswith("dreamfusion") else views, steps=steps,
            method=cast(Method, method), published=published, iterations=iterations,
        )  # fmt: skip
        rows = model.spec.rows_of(made.values)
        out |= {int(i): rows[k, : lengths[i]] for k, i in enumerate(part)}
        on_sample(len(out), len(order))
    return [out[i] for i in range(len(order))]


def sample2d(model: MotionModel, lengths: np.ndarray, *, seed: int, batch: int, on_sample: OnSample) -> list[np.ndarray]:
    """2D motions of the lengths as the data set's rows (T, J, 2)."""
    order = np.argsort(lengths, kind="stable")
    out: dict[int, np.ndarray] = {}
    for first in range(0, len(order), batch):
        part = order[first : first + batch]
        made = model.motions2d(lengths[part], seed, first=first)
        rows = model.spec.rows_of(made.values.transpose(0, 3, 1, 2))
        out |= {int(i): rows[k, : lengths[i]] for k, i in enumerate(part)}
        on_sample(len(out), len(order))
    return [out[i] for i in range(len(order))]


def from_files(name: str, datapath: Path, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """3D motions (T, 16, 3) of NBA clips that a lifter made: ``<datapath>/<name>_predictions/*.npy`` (T, 17, 3), every second frame.

    Raises:
        InputError: too few files, or one of another shape.
    """
    folder = datapath / f"{name}_predictions"
    paths = sorted(folder.glob("*.npy"))
    if len(paths) < count:
        raise InputError(f"{folder}: holds {len(paths)} motions, wanted {count}", "lower --eval_num_samples or leave the subject out")
    motions = []
    for i in rng.permutation(len(paths))[:count]:
        values = np.load(paths[i], allow_pickle=False)
        if values.ndim != 3 or values.shape[1:] != (17, 3):
            raise InputError(f"{paths[i]}: has shape {values.shape}, wanted (T, 17, 3)")
        motion = values[::2, list(LIFTER_TO_NBA)].astype(np.float32)
        motions.append(motion * np.array([1, -1, 1], np.float32) * np.float32(_MOTIONBERT_SIZE) if name == "motionBert" else motion)
    return motions


def check_subjects(names: list[str], spec: MotionSet) -> None:
    """Refuse unknown names, and lifters' files with another data set than NBA.

    Raises:
        UsageError.
    """
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        raise UsageError(f"--subjects: {unknown[0]!r} is none, wanted some of {', '.join(SUBJECTS)}")
    if spec.name != "nba" and (lifted := [name for name in names if name in FILES]):
        raise UsageError(f"--subjects: {lifted[0]} is of the nba data set, the model is of {spec.name}", "leave it out")


def normalised(clips: list[np.ndarray], normaliser: Normaliser) -> Batch:
    """Clips (T, J, 2) in the data's unit as one batch."""
    return pad([normaliser(clip).astype(np.float32) for clip in clips])
