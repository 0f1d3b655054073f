"""The past half second of 3D poses -> K possible next seconds: the DHMP stage.

Futures are computed every `every_s` of media time and, in between, moved along: what has become the past is cut off the front, so
that a packet's futures always start at its own time. A track keeps its random numbers, so the k-th future changes smoothly.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from pose_rt import ops
from pose_rt.backends import Backend
from pose_rt.core.rng import STREAM_FORECAST_EPS, normal
from pose_rt.core.skeleton import H36M17
from pose_rt.core.types import Forecast, Packet, Span
from pose_rt.errors import ModelError, UsageError

from .window import MAX_GAP_NS, Series


class _Track:
    """Poses of one track and its last futures."""

    def __init__(self) -> None:
        self.poses = Series()
        self.start_ns: int | None = None
        self.futures = np.zeros((0, 0, H36M17.num_joints, 3), np.float32)


class Forecaster:
    """Packets with `pose` in, the same with `forecast` out, one for one.

    Args:
        backend: ``history`` (N, history, J, 3), ``weights`` (N, K, M), ``eps`` (N, K, z) -> ``futures`` (N, K, T, J, 3).
        futures: K.
        horizon_s: how far ahead; at most what the model knows.
        every_s: media time between two computations.
        seed: of the Gumbel coefficients and the latent noise.

    Raises:
        ModelError: the model is no forecaster.
        UsageError: a horizon beyond the model's.
    """

    name = "forecast"

    def __init__(self, backend: Backend, *, futures: int = 10, horizon_s: float = 1.5, every_s: float = 0.2, seed: int = 0) -> None:
        meta = backend.metadata
        if meta.get("kind") != "dhmp":
            raise ModelError(f"{backend.name} is not a forecaster (kind {meta.get('kind')!r})", "export one with: python -m exporters dhmp")
        self._rate_hz, self._history, longest = meta["rate_hz"], meta["history"], meta["future"] / meta["rate_hz"]
        if not 0 < horizon_s <= longest:
            raise UsageError(
                f"horizon is {horizon_s:g} s, wanted more than 0 and at most {longest:g} s, which {backend.name} was trained for"
            )
        if futures < 1:
            raise ValueError(f"futures: got {futures}, wanted at least 1")
        self.futures, self.step_ns = futures, round(1e9 / self._rate_hz)
        self.steps = max(round(horizon_s * self._rate_hz), 1)
        self._longest = meta["future"]
        self._every_ns = min(round(every_s * 1e9), (self._longest - self.steps) * self.step_ns) if every_s > 0 else 0
        self._bases, self._z, self._temperature = meta["bases"], meta["z"], meta["temperature"]
        self._backend, self._seed = backend, seed
        self._draws = lru_cache(maxsize=64)(self._draw)
        self.reset()

    def reset(self) -> None:
        self._tracks: dict[int, _Track] = {}

    def close(self) -> None:
        self._backend.close()

    def __call__(self, packet: Packet) -> Packet:
        pose = packet.pose
        if pose is None:
            raise ValueError("forecast: the packet has no pose; run the lift stage first")
        start = time.monotonic_ns()
        now = packet.frame.media_ns
        tracks = pose.track.tolist()
        self._tracks = {t: s for t, s in self._tracks.items() if t in tracks or now - s.poses.last_ns <= MAX_GAP_NS}
        due = []
        for person, track in enumerate(tracks):
            state = self._tracks.get(track)
            if state is None or now - state.poses.last_ns > MAX_GAP_NS:
                state = self._tracks[track] = _Track()
            state.poses.append(now, pose.joints_m[person])
            state.poses.drop_before(now - self._history * self.step_ns)
            if state.start_ns is None or now - state.start_ns > self._every_ns:
                due.append((track, state))
        if due:
            self._compute(due, now)
        futures = np.stack([self._moved(self._tracks[t], now) for t in tracks]) if tracks else self._nobody()
        forecast = Forecast(futures, self.step_ns, pose.track, H36M17)
        return replace(packet, forecast=forecast, spans=(*packet.spans, Span(self.name, start, time.monotonic_ns())))

    @property
    def history(self) -> int:
        """Frames that the model looks back on, at `rate_hz`."""
        return self._history

    @property
    def rate_hz(self) -> float:
        """Of histories and futures."""
        return self._rate_hz

    def predict(self, histories: np.ndarray, tracks: Sequence[int]) -> np.ndarray:
        """Whole futures (P, K, T, J, 3) of histories (P, `history`, J, 3) float32 metres, relative to the root, camera axes.

        Args:
            tracks: the people's ids, which address their random numbers.
        """
        draws = [self._draws(track) for track in tracks]
        feeds = {"history": histories, "weights": np.stack([w for w, _ in draws]), "eps": np.stack([e for _, e in draws])}
        return self._backend.run(feeds)["futures"].copy()

    def _compute(self, due: list[tuple[int, _Track]], now: int) -> None:
        times = now - np.arange(self._history - 1, -1, -1, dtype=np.int64) * self.step_ns
        histories = np.stack([state.poses.sample(times) for _, state in due])
        for (_, state), futures in zip(due, self.predict(histories, [track for track, _ in due]), strict=True):
            state.start_ns, state.futures = now, futures

    def _moved(self, state: _Track, now: int) -> np.ndarray:
        assert state.start_ns is not None
        passed = round((now - state.start_ns) / self.step_ns)
        return state.futures[:, passed : passed + self.steps]

    def _nobody(self) -> np.ndarray:
        return np.zeros((0, self.futures, self.steps, H36M17.num_joints, 3), np.float32)

    def _draw(self, track: int) -> tuple[np.ndarray, np.ndarray]:
        """Gumbel coefficients (K, M) and latent noise (K, z) of a track."""
        weights = ops.gumbel_weights(1, self.futures, self._bases, temperature=self._temperature, seed=self._seed, track=track)
        return weights[0], normal((self.futures, self._z), seed=self._seed, track=track, stream=STREAM_FORECAST_EPS)
