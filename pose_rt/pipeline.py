"""The whole chain, from a frame to a pose and its futures. The only place that knows all stages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from . import zoo
from .backends import Backend, open_backend
from .config import Settings
from .core.camera import Camera
from .core.skeleton import BLAZEPOSE33, TO_H36M17, Skeleton
from .core.types import Frame, Packet
from .errors import UsageError
from .stages.base import Stage
from .stages.complete import Complete
from .stages.detect import Detect
from .stages.forecast import Forecaster
from .stages.heatmap_model import HeatmapPose2D
from .stages.identity import Tracker
from .stages.lift import Lift
from .stages.lifter import Lifter
from .stages.pose2d import Pose2D, open_pose2d
from .stages.prior import Prior
from .stages.refine import Refine
from .stages.smooth import Smooth3D
from .stages.swaps import SWAPPABLE, Swaps
from .stages.track import Track


def camera_for(settings: Settings, width: int, height: int) -> Camera:
    """The camera that the settings say, or the assumed one, for a picture of this size."""
    if settings.focal_px is not None:
        return Camera.from_focal(width, height, settings.focal_px)
    if settings.fov_deg is not None:
        return Camera.from_fov(width, height, settings.fov_deg)
    return Camera.default(width, height)


def skeleton_of(pose2d: Pose2D | HeatmapPose2D, settings: Settings) -> Skeleton:
    """The joints that a 2D stage gives.

    Raises:
        UsageError: they cannot be lifted, repaired or refined as the settings want.
    """
    if isinstance(pose2d, Pose2D):
        return BLAZEPOSE33
    skeleton = pose2d.model.skeleton
    if settings.refine == "mediapipe":
        raise UsageError("--refine mediapipe is for BlazePose's models", "leave it out, or give --refine none for the highest cell")
    if settings.lift and skeleton.name not in TO_H36M17:
        raise UsageError(f"the 2D model gives {skeleton.name} joints, which cannot be lifted to 3D", "add --no-3d")
    if settings.repair_swaps and skeleton.name not in SWAPPABLE:
        raise UsageError(f"left and right of {skeleton.name} joints cannot be repaired", "leave --repair-swaps out")
    return skeleton


class Pipeline:
    """A `stream.Processor`: packets in, finished packets out, in order; some are held back until their future is known.

    Frames of another size than those before, as after a camera came back, are taken with the camera that the settings say for them.

    Args:
        settings: what to do.
        width, height: of the source's frames, px.

    Raises:
        ModelError, BackendError: a model or runtime that the settings name cannot be used.

    Attributes:
        camera: that the 3D stages assume; another one once frames of another size come.
        models: {stage: zoo entry} of what runs.
        skeleton2d: joints of the 2D keypoints.
        choices: a sentence per backend about what was chosen and why.
    """

    def __init__(self, settings: Settings, width: int, height: int) -> None:
        self.settings = settings
        self.camera = camera_for(settings, width, height)
        self._size = width, height
        self._backends: list[tuple[str, Backend]] = []
        self.models: dict[str, zoo.Entry] = {}
        self.choices: list[str] = []
        with ExitStack() as undo:  # a constructor that fails half-way closes what it opened
            tracker = Tracker(max_people=settings.max_people)
            detect = Detect(self._open("detect", "detector", undo), tracker, min_score=settings.conf)
            pose2d = open_pose2d(self._open("pose2d", settings.model, undo))
            self.skeleton2d = skeleton_of(pose2d, settings)
            refine = Refine(mode=settings.refine, seed=settings.seed)
            track = Track(tracker, min_presence=settings.conf, smooth=settings.smooth)
            self._swaps = Swaps() if settings.repair_swaps else None
            self._front: tuple[Stage, ...] = (detect, pose2d, refine, *filter(None, [self._swaps]), track)
            self._smooth = Smooth3D() if settings.smooth_3d else None
            self._lift: Lift | None = None
            self._forecast: Forecaster | None = None
            if settings.lift:
                lifter = Lifter(
                    self._open("lift", settings.lifter, undo),
                    hypotheses=settings.hypotheses,
                    steps=settings.steps,
                    flip=settings.flip,
                    seed=settings.seed,
                )
                self._lift = Lift(
                    lifter,
                    self.camera,
                    lookahead=settings.lookahead,
                    aggregate=settings.aggregate,
                    warm_start=settings.warm_start,
                )
                undo.callback(self._lift.close)
            self._complete: Complete | None = None
            if settings.lift and settings.complete:
                prior = Prior(self._open("complete", settings.prior, undo), hypotheses=settings.completions, seed=settings.seed)
                self._complete = Complete(prior, budget_ms=None if settings.lookahead is None else settings.complete_budget_ms)
            if settings.lift and settings.forecast:
                self._forecast = Forecaster(
                    self._open("forecast", settings.forecaster, undo),
                    futures=settings.futures,
                    horizon_s=settings.horizon_s,
                    every_s=settings.forecast_every_s,
                    seed=settings.seed,
                )
            self._close = undo.pop_all()

    @property
    def future_step_s(self) -> float | None:
        """Time between two frames of a future, None without futures."""
        return None if self._forecast is None else self._forecast.step_ns / 1e9

    @property
    def repairs(self) -> int:
        """How often left and right of somebody's legs or arms were put right so far."""
        return 0 if self._swaps is None else self._swaps.repairs

    def warm_up(self) -> None:
        """Run everything once on zeros, and forget it: first runs load and allocate, which a live frame should not wait for."""
        for stage, backend in self._backends:
            count = self.settings.hypotheses if stage == "lift" else 1
            backend.run({t.name: np.zeros([count if isinstance(n, str) else n for n in t.shape], t.dtype) for t in backend.inputs})
        self(Packet(Frame(np.zeros((self._size[1], self._size[0], 3), np.uint8), 0, 0, 0)))
        self.reset()

    def reset(self) -> None:
        """Forget all people and packets: the next frame is the first one."""
        for stage in (*self._front, self._lift, self._smooth, self._forecast):
            if stage is not None:
                stage.reset()

    def __call__(self, packet: Packet) -> Sequence[Packet]:
        size = packet.frame.width, packet.frame.height
        if self._lift is not None and size != self._size:
            before = self.flush()
            self.camera = self._lift.camera = camera_for(self.settings, *size)
            self._size = size
            return [*before, *self(packet)]
        for stage in self._front:
            packet = stage(packet)
        packet = replace(packet, heatmaps=None)  # they have served, and are heavier than the picture where packets wait
        if self._lift is None:
            return [packet]
        now = packet.frame.captured_ns  # the newest frame known to a pose; the older ones waited for it
        return self._finish([replace(p, waited_ns=max(0, now - p.frame.captured_ns)) for p in self._lift.push(packet)])

    def flush(self) -> Sequence[Packet]:
        """The source has ended: everything that was held back."""
        return [] if self._lift is None else self._finish(self._lift.flush())

    def close(self) -> None:
        """Release the models; safe to call twice."""
        self._close.close()

    def _finish(self, packets: list[Packet]) -> list[Packet]:
        if self._complete is not None:
            packets = [self._complete(p) for p in packets]
        if self._smooth is not None:
            packets = [self._smooth(p) for p in packets]
        return packets if self._forecast is None else [self._forecast(p) for p in packets]

    def _open(self, stage: str, name: str, undo: ExitStack) -> Backend:
        entry = zoo.find(name)
        backend = open_backend(entry, backend=self.settings.backend, device=self.settings.device, threads=self.settings.threads)
        undo.callback(backend.close)
        self._backends.append((stage, backend))
        self.models[stage] = entry
        if backend.choice not in self.choices:
            self.choices.append(backend.choice)
        return backend
