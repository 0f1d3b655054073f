"""The whole chain, from a frame to a pose and its futures. The only place that knows all stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from . import zoo
from .backends import Backend, open_backend
from .config import Settings
from .core.camera import Camera
from .core.types import Packet
from .stages.detect import Detect
from .stages.forecast import Forecaster
from .stages.lift import Lift
from .stages.lifter import Lifter
from .stages.pose2d import Pose2D
from .stages.refine import Refine
from .stages.track import Track, Tracker


def camera_for(settings: Settings, width: int, height: int) -> Camera:
    """The camera that the settings say, or the assumed one, for a picture of this size."""
    if settings.focal_px is not None:
        return Camera.from_focal(width, height, settings.focal_px)
    if settings.fov_deg is not None:
        return Camera.from_fov(width, height, settings.fov_deg)
    return Camera.default(width, height)


class Pipeline:
    """A `stream.Processor`: packets in, finished packets out, in order; some are held back until their future is known.

    Args:
        settings: what to do.
        width, height: of the source's frames, px.

    Raises:
        ModelError, BackendError: a model or runtime that the settings name cannot be used.

    Attributes:
        camera: that the 3D stages assume.
        models: {stage: zoo entry} of what runs.
        choices: a sentence per backend about what was chosen and why.
    """

    def __init__(self, settings: Settings, width: int, height: int) -> None:
        self.settings = settings
        self.camera = camera_for(settings, width, height)
        self.models: dict[str, zoo.Entry] = {}
        self.choices: list[str] = []
        with ExitStack() as undo:  # a constructor that fails half-way closes what it opened
            tracker = Tracker(max_people=settings.max_people)
            detect = Detect(self._open("detect", "detector", undo), tracker, min_score=settings.conf)
            pose2d = Pose2D(self._open("pose2d", settings.model, undo))
            self._front: tuple[Callable[[Packet], Packet], ...] = (
                detect,
                pose2d,
                Refine(mode=settings.refine, seed=settings.seed),
                Track(tracker, min_presence=settings.conf, smooth=settings.smooth),
            )
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
                self._lift = Lift(lifter, self.camera, lookahead=settings.lookahead, aggregate=settings.aggregate)
                undo.callback(self._lift.close)
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

    def __call__(self, packet: Packet) -> Sequence[Packet]:
        for stage in self._front:
            packet = stage(packet)
        packet = replace(packet, heatmaps=None)  # they have served, and are heavier than the picture where packets wait
        if self._lift is None:
            return [packet]
        now = packet.frame.captured_ns  # the newest frame known to a pose; the older ones waited for it
        return self._forecast_all([replace(p, waited_ns=max(0, now - p.frame.captured_ns)) for p in self._lift.push(packet)])

    def flush(self) -> Sequence[Packet]:
        """The source has ended: everything that was held back."""
        return [] if self._lift is None else self._forecast_all(self._lift.flush())

    def close(self) -> None:
        """Release the models; safe to call twice."""
        self._close.close()

    def _forecast_all(self, packets: list[Packet]) -> list[Packet]:
        return packets if self._forecast is None else [self._forecast(p) for p in packets]

    def _open(self, stage: str, name: str, undo: ExitStack) -> Backend:
        entry = zoo.find(name)
        backend = open_backend(entry, backend=self.settings.backend, device=self.settings.device, threads=self.settings.threads)
        undo.callback(backend.close)
        self.models[stage] = entry
        if backend.choice not in self.choices:
            self.choices.append(backend.choice)
        return backend
