"""What each data set gives to a training run: joint limits, the fitted basis, batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from pose_rt.core.skeleton import H36M17
from pose_rt.models.dhmp import Basis
from training.data.motion import load_clips

from .angles import LIMITS, Limits, load_limits
from .basis import fit_basis, prepare
from .config import TrainConfig
from .data import Augmentation, WindowSampler, root_relative
from .networks import load_networks
from .published import PUBLISHED_SETS, PublishedSet
from .published_train import PublishedWindows, load_training
from .trainer import Batch, Batches

DATASETS = ("cmu17", *PUBLISHED_SETS)


class Source(Protocol):
    """A data set, opened for a run."""

    parents: Sequence[int]

    def limits(self) -> Limits: ...

    def basis(self, checkpoint: Path | None) -> Basis | None:
        """What stage 1 starts from; that of a checkpoint which is resumed."""
        ...

    def batches(self) -> Batches: ...


class _Cmu17:
    """Augmented windows with noisy histories."""

    parents: Sequence[int] = H36M17.parents or ()

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        model = config.model
        clips = root_relative(load_clips(config.data, "train"))
        self.windows = WindowSampler(clips, model.history, model.future, Augmentation(), config.seed + 10 * config.stage)

    def limits(self) -> Limits:
        return load_limits(LIMITS)

    def basis(self, checkpoint: Path | None) -> Basis | None:
        if checkpoint is not None:
            return load_networks(checkpoint).basis
        return fit_basis(self.windows, self.config.model, min(3000, self.config.samples_per_epoch))

    def batches(self) -> Batches:
        return self

    def epoch(self, number: int, step: int) -> Iterator[Batch]:
        """`Batches`: each a function of the seed and of its step."""
        for i in range(self.config.iterations):
            yield prepare(*self.windows.batch(self.config.batch, step + i), self.config.model.canonical)


class _Published:
    """The published files: windows drawn as the published code draws them, histories as they were recorded."""

    def __init__(self, config: TrainConfig, about: PublishedSet) -> None:
        self.config, self.about = config, about
        self.parents: Sequence[int] = about.parents
        self.windows: PublishedWindows = load_training(about, config.data, config.model.history, config.model.future, config.stage == 1)

    def limits(self) -> Mapping[str, tuple[float, float]]:
        return self.about.limits(self.config.data)

    def basis(self, checkpoint: Path | None) -> Basis | None:
        return None

    def batches(self) -> Batches:
        return self

    def epoch(self, number: int, step: int) -> Iterator[Batch]:
        """`Batches`: one stream of random numbers an epoch."""
        c = self.config
        random = np.random.RandomState((c.seed * 1_000_003 + 7919 * c.stage + number) % 2**32)
        draw = self.windows.stage1_batches if c.stage == 1 else self.windows.stage2_motions
        for motions in draw(random, c.samples_per_epoch, c.batch):
            gt = torch.from_numpy(motions)
            yield gt, gt[..., : c.model.history]


def open_source(config: TrainConfig) -> Source:
    """The data set of a run.

    Raises:
        InputError: a file is missing, or not what its name says.
    """
    if config.dataset == "cmu17":
        return _Cmu17(config)
    return _Published(config, PUBLISHED_SETS[config.dataset])
