"""Resampling by media time: the one place that knows that cameras and models run at different rates.

A track's measurements arrive at whatever times the frames have; models want a fixed rate (50 Hz and its whole fractions). Times
are nanoseconds of the medium, so a variable frame rate or a dropped frame moves nothing.
"""

from __future__ import annotations

import numpy as np

GRID_HZ = 50
GRID_NS = 1_000_000_000 // GRID_HZ
MAX_GAP_NS = 250_000_000
"""A track that is unseen for longer than this starts anew: nothing is interpolated across the gap."""


class Series:
    """Time-stamped arrays of one track, in order of time: linear interpolation inside, held at both ends."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._values: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._times)

    @property
    def first_ns(self) -> int:
        return self._times[0]

    @property
    def last_ns(self) -> int:
        return self._times[-1]

    @property
    def last(self) -> np.ndarray:
        return self._values[-1]

    def append(self, time_ns: int, value: np.ndarray) -> None:
        """Add a measurement; one that is not newer than the last replaces it (time never runs backwards)."""
        if self._times and time_ns <= self._times[-1]:
            self._values[-1] = value
        else:
            self._times.append(time_ns)
            self._values.append(value)

    def sample(self, times_ns: np.ndarray) -> np.ndarray:
        """Values at the given times, (n, ...) float32. A value next to a NaN in time is the finite neighbour's.

        Raises:
            ValueError: nothing has been appended yet.
        """
        if not self._times:
            raise ValueError("sample: the series is empty; append a measurement first")
        times = np.asarray(self._times, np.int64)
        query = np.clip(times_ns, times[0], times[-1])
        after = np.clip(np.searchsorted(times, query, side="right"), 1, max(len(times) - 1, 1))
        before = after - 1
        after = np.minimum(after, len(times) - 1)
        step = np.maximum(times[after] - times[before], 1)
        fraction = np.clip((query - times[before]) / step, 0.0, 1.0).astype(np.float32)
        low_index, high_index = int(before.min()), int(after.max())
        values = np.stack(self._values[low_index : high_index + 1])
        low, high = values[before - low_index], values[after - low_index]
        low, high = np.where(np.isfinite(low), low, high), np.where(np.isfinite(high), high, low)
        fraction = fraction.reshape(-1, *([1] * (values.ndim - 1)))
        return (low + (high - low) * fraction).astype(np.float32)

    def drop_before(self, time_ns: int) -> None:
        """Forget what is older, but keep the last measurement at or before `time_ns` (interpolation needs it)."""
        keep = int(np.searchsorted(self._times, time_ns, side="right")) - 1
        if keep > 0:
            del self._times[:keep], self._values[:keep]


def causal_times(target_ns: int, newest_ns: int, frames: int, step_ns: int) -> np.ndarray:
    """Window times (frames,) int64 that end with the newest measurement, so that all look-ahead is used, but still hold `target_ns`:
    it is the last of them without look-ahead, and lies between two where the look-ahead is no multiple of `step_ns`."""
    ahead = min(max(newest_ns - target_ns, 0), (frames - 1) * step_ns)
    return target_ns + ahead + (np.arange(frames, dtype=np.int64) - (frames - 1)) * step_ns


def between(values: np.ndarray, places: float | np.ndarray, axis: int) -> np.ndarray:
    """Values at fractional places of an axis, linear between its entries and held at both ends; the axis goes for one place."""
    last = values.shape[axis] - 1
    at = np.clip(np.asarray(places, np.float64), 0, last)
    low = np.minimum(at.astype(np.int64), max(last - 1, 0))
    a, b = np.take(values, low, axis), np.take(values, np.minimum(low + 1, last), axis)
    fraction = (at - low).astype(np.float32)
    return a + (b - a) * fraction.reshape(fraction.shape + (1,) * (values.ndim - axis - 1) * (fraction.ndim > 0))
