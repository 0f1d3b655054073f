"""A source that may lose its device: newest pictures with honest time stamps, a state, and a new connection after a loss."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np

from ...core.types import Frame
from ...errors import InputError, PoseRtError
from ...stream.protocols import SourceInfo

NS = 1_000_000_000
BACK_OFF_S = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Waits before the attempts to connect again; the last one repeats."""
_STALL_S, _STALL_FRAMES = 1.0, 5
_DRAIN_S = 3.0
_FRESH_NS = 2_000_000
_DRIFT_NS = NS


class Grab(NamedTuple):
    """A picture as a device gave it: (h, w, 3) uint8 BGR, the monotonic clock straight after the grab, and the device's own stamp."""

    bgr: np.ndarray
    captured_ns: int
    stamp_ns: int | None


class DeviceLost(Exception):
    """An open device gives nothing any more; the text says why."""


class Device(Protocol):
    """An open camera or connection. `read` waits a bounded time and raises DeviceLost; `close` frees the device and is safe twice."""

    fps: Fraction
    notes: list[str]

    def read(self) -> Grab: ...

    def close(self) -> None: ...


class MediaClock:
    """Media time in ns from the stamps of a device that may restart, jump or have none; strictly increasing.

    Stamps are believed as long as they stay within a second of the clock of this machine: they are free of the jitter of a
    network, and the clock is free of their jumps.
    """

    def __init__(self) -> None:
        self._origin: int | None = None
        self._offset: int | None = None
        self._last = -1

    def restart(self) -> None:
        """The device was opened anew: its stamps have another origin."""
        self._offset = None

    def __call__(self, stamp_ns: int | None, captured_ns: int) -> int:
        """Media time of a frame; that of the first is 0."""
        if self._origin is None:
            self._origin = captured_ns
        wall = captured_ns - self._origin
        media = wall
        if stamp_ns is not None:
            if self._offset is None or abs(stamp_ns + self._offset - wall) > _DRIFT_NS:
                self._offset = wall - stamp_ns
            media = stamp_ns + self._offset
        self._last = max(media, self._last + 1)
        return self._last


class LiveSource:
    """Frames of a device, opened again after each loss.

    The device is opened, and one picture read, on construction, so that what cannot work is refused before any output exists.
    Pictures that piled up between then and the first iteration are old and are thrown away. The first frame after a loss, or after a
    silence as long as one, says in `gap_ns` how long nothing was seen; it may have another size.

    Args:
        connect: opens the device.
        name: for messages and file headers; must hold no credentials.
        exit_on_loss: a loss ends the iteration with an error instead of a new attempt.

    Attributes:
        losses: how often the device was lost so far.

    Raises:
        PoseRtError: what `connect` raises, and InputError where the device opens and gives no picture.
    """

    def __init__(self, connect: Callable[[], Device], name: str, *, exit_on_loss: bool = False) -> None:
        self.notes: list[str] = []
        self.losses = 0
        self._connect, self._name, self._exit_on_loss = connect, name, exit_on_loss
        self._closed = threading.Event()
        self._guard = threading.Lock()
        self._lost = False
        self._device: Device | None = connect()
        try:
            first = self._device.read()
        except DeviceLost as loss:
            self._device.close()
            raise InputError(
                f"{name} opens but gives no picture ({loss})", "check that it is switched on and nobody else uses it"
            ) from None
        except BaseException:
            self._device.close()
            raise
        self._notes_of(self._device)
        self._heard_ns = first.captured_ns
        height, width = first.bgr.shape[:2]
        self.info = SourceInfo(width, height, self._device.fps, live=True, length=None, duration_s=None, name=name)

    @property
    def state(self) -> str:
        """ "open", "stalled" (no frame for a second, or for five frame times where those are longer) or "lost"."""
        if self._lost:
            return "lost"
        return "stalled" if time.monotonic_ns() - self._heard_ns > self._stall_ns else "open"

    @property
    def _stall_ns(self) -> int:
        return round(max(_STALL_S, float(_STALL_FRAMES / self.info.fps)) * NS)

    def __iter__(self) -> Iterator[Frame]:
        clock = MediaClock()
        last: int | None = None  # capture of the frame before
        index = 0
        drain_until = self._drain()
        while not self._closed.is_set() and (device := self._device) is not None:
            asked = time.monotonic_ns()
            try:
                grab = device.read()
            except DeviceLost as loss:
                if not self._closed.is_set():
                    self._reconnect(device, loss)
                    clock.restart()
                    drain_until = self._drain()
                continue
            self._heard_ns = grab.captured_ns
            if grab.captured_ns < drain_until and grab.captured_ns - asked < _FRESH_NS:
                continue  # it was there before it was asked for, for nobody knows how long
            drain_until = 0
            silence = 0 if last is None else grab.captured_ns - last
            gap = silence if self._lost or silence > self._stall_ns else 0
            self._lost, last = False, grab.captured_ns
            yield Frame(grab.bgr, index, clock(grab.stamp_ns, grab.captured_ns), grab.captured_ns, gap)
            index += 1

    def close(self) -> None:
        """End the iteration; from another thread too, and safe twice."""
        self._closed.set()
        with self._guard:
            device, self._device = self._device, None
        if device is not None:
            device.close()

    def _drain(self) -> int:
        return time.monotonic_ns() + round(_DRAIN_S * NS)

    def _reconnect(self, device: Device, loss: DeviceLost) -> None:
        """Open the device again, however long that takes.

        Raises:
            InputError: `exit_on_loss` is set.
        """
        device.close()
        self._lost = True
        self.losses += 1
        if self._exit_on_loss:
            raise InputError(f"{self._name} was lost ({loss})", "without --exit-on-loss it is waited for")
        since = time.monotonic()
        for attempt in range(1 << 30):
            if self._closed.wait(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)]):
                return
            try:
                fresh = self._connect()
            except PoseRtError:
                continue
            with self._guard:
                if self._closed.is_set():
                    fresh.close()
                    return
                self._device = fresh
            self.notes.append(f"{self._name} was lost ({loss}) and came back after {time.monotonic() - since:.1f} s")
            self._notes_of(fresh)
            return

    def _notes_of(self, device: Device) -> None:
        self.notes.extend(note for note in device.notes if note not in self.notes)
