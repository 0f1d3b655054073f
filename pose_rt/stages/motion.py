"""Generated motion: a 2D motion model, an ONNX file or a network, and the motions that sampling makes of it.

The model is trained on 2D alone; `motions3d` makes 3D of it by MAS (`pose_rt.diffusion.mas`). NumPy and the backend are all it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pose_rt.core.motion_sets import MOTION_SETS, MotionSet
from pose_rt.diffusion.gaussian import Tables, make_tables
from pose_rt.diffusion.mas import PUBLISHED, Method, Scene, SeededDraws, Settings, generate2d, generate3d
from pose_rt.diffusion.multiview import circle
from pose_rt.errors import ModelError, UsageError

OnStep = Callable[[int, int], None]
DEFAULT_STEPS = 36
"""Denoising steps of the 100 that the model knows, for 3D: what all of them gain over these is within the spread of the metrics
(training/mas/README.md)."""


class Network(Protocol):
    """One denoising step: ``run({"x", "t", "lengths"}) -> {"prediction"}``; every backend is one."""

    metadata: dict[str, Any]
    name: str

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Motions:
    """What was generated.

    Attributes:
        values: (B, T, J, 3) joints, x right, y up, z away; or (B, J, 2, T) for 2D.
        lengths: (B,) frames that count.
        spec: the data set of the model.
    """

    values: np.ndarray
    lengths: np.ndarray
    spec: MotionSet


class MotionModel:
    """A 2D motion model, ready to be sampled.

    Raises:
        ModelError: the file is none.
    """

    def __init__(self, network: Network) -> None:
        about = network.metadata
        if about.get("kind") != "mas" or about.get("dataset") not in MOTION_SETS:
            raise ModelError(
                f"{network.name} is not a 2D motion model (kind {about.get('kind')!r})", "export one with: python -m exporters mas"
            )
        self._network = network
        self.spec = MOTION_SETS[about["dataset"]]
        self.longest: int = about["longest"]
        self.mean_type = about["mean_type"]
        self.mean, self.std = (np.asarray(about[key], np.float32)[..., None] for key in ("mean", "std"))
        self._schedule: tuple[str, int] = (about["schedule"], about["steps"])

    def close(self) -> None:
        """Free the network."""
        self._network.close()

    def tables(self, steps: int | None) -> Tables:
        """Of the schedule, with `steps` of its steps (None: all).

        Raises:
            UsageError: more steps than there are, or none.
        """
        name, every = self._schedule
        if steps is not None and not 1 < steps <= every:
            raise UsageError(f"--steps is {steps}, wanted 2 to {every}")
        return make_tables(name, every, None if steps in (None, every) else str(steps))

    def frames(self, seconds: float) -> int:
        """Whole frames of a length in seconds.

        Raises:
            UsageError: shorter than two frames or longer than the model knows.
        """
        count = round(seconds * self.spec.fps)
        if not 2 <= count <= self.longest:
            longest = self.longest / self.spec.fps
            raise UsageError(
                f"--motion-length is {seconds:g} s, wanted {2 / self.spec.fps:g} to {longest:g}, which the model was trained for"
            )
        return count

    def denoiser(self, lengths: np.ndarray, batch: int = 64) -> Callable[[np.ndarray, int], np.ndarray]:
        """The network as sampling wants it; samples come view by view, at most `batch` go through at once."""

        def denoise(x: np.ndarray, t: int) -> np.ndarray:
            repeated = np.tile(lengths, len(x) // len(lengths)).astype(np.int64)
            parts = []
            for start in range(0, len(x), batch):
                part = slice(start, start + batch)
                rows = np.ascontiguousarray(x[part], np.float32)
                feeds: dict[str, np.ndarray] = {"x": rows, "t": np.full(len(rows), t, np.int64), "lengths": repeated[part]}
                parts.append(self._network.run(feeds)["prediction"].copy())
            return np.concatenate(parts)

        return denoise

    def motions2d(
        self, lengths: np.ndarray, seed: int, *, first: int = 0, steps: int | None = None, on_step: OnStep | None = None
    ) -> Motions:
        """Sample 2D motions (B, J, 2, T); `first` is the number of the first sample, which decides its random numbers."""
        frames, joints, count = int(lengths.max()), self.spec.joints, len(lengths)
        draws = SeededDraws(seed, range(first, first + count), self.longest, joints, 1)
        scene = Scene(self.denoiser(lengths), self.tables(steps), circle(1, 0.0, 1.0), self.mean, self.std, (count, frames, joints, 3))

        def draw() -> np.ndarray:
            return draws.pictures()[0, ..., :frames]

        settings = Settings(mean_type=self.mean_type)
        rows = generate2d(scene, settings, draw(), draw, on_step)
        joints2d = self.spec.joints_of(rows.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
        return Motions(np.ascontiguousarray(joints2d), lengths, self.spec)

    def motions3d(
        self,
        lengths: np.ndarray,
        seed: int,
        *,
        first: int = 0,
        views: int = 7,
        steps: int | None = DEFAULT_STEPS,
        method: Method = "mas",
        published: bool = False,
        iterations: int = 1000,
        on_step: OnStep | None = None,
    ) -> Motions:
        """Sample 3D motions (B, T, J, 3).

        Args:
            lengths: (B,) frames.
            first: number of the first sample, which decides its random numbers.
            published: the published formula, all steps of it.

        Raises:
            UsageError: one view.
        """
        if views < 2 and not method.startswith("dreamfusion"):
            raise UsageError(f"--num-views is {views}, wanted at least 2: one view does not tell the depth")
        frames, joints, count = int(lengths.max()), self.spec.joints, len(lengths)
        draws = _Cut(SeededDraws(seed, range(first, first + count), self.longest, joints, views), frames)
        vertical = np.random.default_rng(seed).uniform(*self.spec.vertical, views)
        scene = Scene(
            self.denoiser(lengths), self.tables(None if published else steps), circle(views, vertical, self.spec.distance, self.spec.scale),
            self.mean, self.std, (count, frames, joints, 3),
        )  # fmt: skip
        base = PUBLISHED if published else Settings()
        settings = Settings(method, self.mean_type, base.solver, published=base.published, iterations=iterations)
        rows = generate3d(scene, settings, draws, on_step)
        return Motions(self.spec.joints_of(rows), lengths, self.spec)


class _Cut:
    """Draws of the longest motion, cut: a sample is the same whatever lengths are beside it."""

    def __init__(self, draws: SeededDraws, frames: int) -> None:
        self._draws, self._frames = draws, frames
        self.uniform, self.integer = draws.uniform, draws.integer

    def volume(self) -> np.ndarray:
        return self._draws.volume()[:, : self._frames]

    def pictures(self) -> np.ndarray:
        return self._draws.pictures()[..., : self._frames]
