"""Where training batches come from: one small interface for cmu17's projections and for folders of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from pose_rt.core.motion_sets import MOTION_SETS, MotionSet
from pose_rt.errors import InputError, UsageError

from .batches import Batch, Normaliser, joined, measure
from .clips import FolderSource, open_folder
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


@dataclass
class Mixture:
    """Batches of which a share comes from tracks and the rest from cmu17's projections, normalised alike."""

    tracks: FolderSource
    projections: ProjectionSource
    share: float
    spec: MotionSet
    normaliser: Normaliser

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        own = round(self.share * count)
        parts = [self.tracks.batch(rng, own)] * (own > 0) + [self.projections.batch(rng, count - own)] * (own < count)
        return joined(parts)


def mixture(tracks: FolderSource, folder: Path, share: float) -> Mixture:
    """Tracks together with cmu17's projections, by whose mean and standard deviation both are normalised.

    Raises:
        InputError: cmu17 is not there.
        UsageError: no share.
    """
    if not 0 < share < 1:
        raise UsageError(f"--tracks_share is {share}, wanted a number between 0 and 1")
    projections = cmu17(folder)
    return Mixture(tracks.normalised(projections.normaliser), projections, share, tracks.spec, projections.normaliser)


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
