"""What a DHMP training run is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pose_rt.models.dhmp import DHMPConfig


@dataclass(frozen=True)
class Stage1Weights:
    """Weights of the CVAE's loss terms.

    `history_added` names the published arithmetic: the term is added to its weight. `angle_every`: the angle term looks at every
    n-th future frame (neighbours tell the same; the published one looks at all).
    """

    recons: float = 1.0
    first_step: float = 100.0
    kl: float = 0.5
    history: float = 1.0
    limb: float = 1000.0
    angle: float = 100.0
    history_added: bool = False
    angle_every: int = 5


@dataclass(frozen=True)
class Stage2Weights:
    """Weights of the sampler's loss terms; `hinge_m` is the distance between whole futures below which a pair is pushed apart.

    `finished`: the losses see the futures after `FinishStep` (continuity, bone lengths), as they are used; the published ones see
    the decoder's output. `angle` keeps the joints of the pushed-apart futures within their limits (on every `angle_every`-th frame).
    Both are off in the published arithmetic.
    """

    kl: float = 2.0
    best: float = 40.0
    hinge: float = 50.0
    hinge_m: float = 7.0
    hinge_group: int | None = None
    angle: float = 200.0
    angle_every: int = 20
    finished: bool = True


REFERENCE_STAGE1 = {
    "h36m": Stage1Weights(1.0, 1000.0, 0.5, 100.0, 1000.0, 100.0, history_added=True, angle_every=1),
    "humaneva": Stage1Weights(1.0, 1000.0, 0.05, 100.0, 1000.0, 100.0, history_added=True, angle_every=1),
}
REFERENCE_STAGE2 = {
    "h36m": Stage2Weights(0.5, 40.0, 20.0, 25.0, hinge_group=25, angle=0.0, finished=False),
    "humaneva": Stage2Weights(0.1, 25.0, 100.0, 20.0, hinge_group=25, angle=0.0, finished=False),
}
"""The published weights and arithmetic, by data set."""


@dataclass(frozen=True)
class Schedule:
    """How long a stage is trained: epochs, batch, windows an epoch, epochs at the full learning rate, limit of the gradient norm."""

    epochs: int
    batch: int
    samples: int
    fixed: int
    clip: float | None
    k: int = 50


SCHEDULES = {
    ("h36m", 1): Schedule(2000, 64, 5000, 100, 100.0),
    ("h36m", 2): Schedule(1500, 16, 5000, 100, None),
    ("humaneva", 1): Schedule(2000, 32, 2000, 150, 100.0),
    ("humaneva", 2): Schedule(1500, 16, 2000, 100, None),
    ("cmu17", 1): Schedule(2000, 64, 5000, 600, 100.0),
    ("cmu17", 2): Schedule(1500, 16, 5000, 450, None, k=25),
}
"""By data set and stage; those of h36m and humaneva are the published ones."""


@dataclass(frozen=True)
class TrainConfig:
    """A run. With `minutes` the learning-rate schedule is a function of the time spent, otherwise of the epoch.

    Attributes:
        fixed: epochs (or, with `minutes`, the same part of the time) at the full learning rate before its linear decay.
        clip: limit of the global gradient norm, None for no limit.
        k: futures an observation in stage 2.
    """

    stage: int
    data: Path
    out: Path
    dataset: str = "cmu17"
    model: DHMPConfig = field(default_factory=DHMPConfig)
    batch: int = 64
    samples_per_epoch: int = 5000
    epochs: int = 2000
    minutes: float | None = None
    fixed: int = 100
    learning_rate: float = 1e-3
    clip: float | None = 100.0
    k: int = 25
    seed: int = 0
    stage1: Stage1Weights = field(default_factory=Stage1Weights)
    stage2: Stage2Weights = field(default_factory=Stage2Weights)

    @property
    def iterations(self) -> int:
        """Optimiser steps an epoch."""
        return self.samples_per_epoch // self.batch


def published_factor(epoch: int, fixed: int, epochs: int) -> float:
    """Learning-rate factor ``1 - max(0, e - fixed) / (epochs - fixed + 1)`` of epoch e = 0, 1, ..."""
    return 1.0 - max(0, epoch - fixed) / float(epochs - fixed + 1)


def timed_factor(fraction: float, fixed: float) -> float:
    """The same shape over a time budget: 1 until `fixed` of it is spent, then linear to 0.01."""
    return max(0.01, 1.0 - max(0.0, fraction - fixed) / (1.0 - fixed))
