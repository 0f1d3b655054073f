"""Where training batches come from: one small interface for cmu17's projections and for folders of clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from pose_rt.core.motion_sets import MOTION_SETS, MotionSet
from pose_rt.errors import InputError

from .batches import Batch, Normaliser, measure
from .clips import open_folder
from .projections import Projections, open_projections

_MEASURED = 3000
"""Clips that cmu17's mean and standard deviation are measured on."""


class Source(Protocol):
    """A data set ready to be drawn from."""

    spec: MotionSet
    normaliser: Normaliser

    def batch(self, rng: np.random.Generator, count: int) -> Batch: ...


class ProjectionSource:
    """New cameras and windows for every batch."""

    def __init__(self, projections: Projections, normaliser: Normaliser) -> None:
        self.spec, self.normaliser, self.projections = projections.spec, normaliser, projections

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        return self.projections.batch(rng, count, self.normaliser)


def cmu17(folder: Path, split: str = "train", normaliser: Normaliser | None = None) -> ProjectionSource:
    """cmu17's projections; mean and std of a training run come from the training split, always by the same seed."""
    projections = open_projections(folder, split)
    if normaliser is None:
        fitted = projections if split == "train" else open_projections(folder, "train")
        normaliser = measure(fitted.clips2d(np.random.default_rng(0), _MEASURED))
    return ProjectionSource(projections, normaliser)


def open_source(
    name: str, datapath: str | None, split: str, size: int | None = None, augmentations: Sequence[str] | None = None, seed: int = 0
) -> Source:
    """The split of a data set; `datapath` defaults to ``dataset/NAME``.

    Raises:
        InputError: no such data, or none that is long enough.
    """
    folder = Path(datapath or f"dataset/{name}")
    if name == "cmu17":
        return cmu17(folder, split)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", "name the data set's folder with --datapath")
    return open_folder(MOTION_SETS[name], folder, split, size, augmentations, seed)
