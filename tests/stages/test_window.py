"""Resampling by media time."""

from __future__ import annotations

import numpy as np
import pytest

from pose_rt.stages.window import Series, between, causal_times


def _series(times: list[int], values: list[float]) -> Series:
    series = Series()
    for time, value in zip(times, values, strict=True):
        series.append(time, np.array([value], np.float32))
    return series


def test_linear_motion_is_reproduced_at_any_time() -> None:
    series = _series([0, 30, 70, 100], [0.0, 3.0, 7.0, 10.0])
    query = np.array([0, 5, 30, 31, 69, 70, 99, 100])
    np.testing.assert_allclose(series.sample(query)[:, 0], query / 10, atol=1e-6)  # float32 interpolation


def test_values_are_held_at_both_ends() -> None:
    series = _series([10, 20], [1.0, 2.0])
    assert series.sample(np.array([-100, 10, 20, 1000]))[:, 0].tolist() == [1.0, 1.0, 2.0, 2.0]


def test_one_measurement_is_held_everywhere() -> None:
    assert _series([10], [4.0]).sample(np.array([0, 10, 20]))[:, 0].tolist() == [4.0] * 3


def test_an_empty_series_refuses() -> None:
    with pytest.raises(ValueError, match="empty"):
        Series().sample(np.array([0]))


def test_time_never_runs_backwards() -> None:
    series = _series([10, 20, 20, 15], [1.0, 2.0, 3.0, 4.0])
    assert len(series) == 2 and series.last_ns == 20
    assert series.sample(np.array([20]))[0, 0] == 4.0


def test_a_nan_neighbour_in_time_gives_way_to_the_finite_one() -> None:
    series = _series([0, 10, 20, 30], [1.0, np.nan, np.nan, 4.0])
    sampled = series.sample(np.array([5, 15, 25]))[:, 0]
    assert sampled[0] == 1.0 and np.isnan(sampled[1]) and sampled[2] == 4.0


def test_forgetting_the_past_changes_nothing_after_it() -> None:
    times = list(range(0, 1000, 33))
    full, short = _series(times, [t * 2.0 for t in times]), _series(times, [t * 2.0 for t in times])
    short.drop_before(500)
    assert len(short) < len(full)
    query = np.arange(500, 1100, 7)
    np.testing.assert_array_equal(short.sample(query), full.sample(query))


@pytest.mark.parametrize("ahead_ns", [0, 79, 80, 100, 160, 10_000])
def test_causal_window_holds_the_target_and_ends_with_the_newest(ahead_ns: int) -> None:
    times = causal_times(1000, 1000 + ahead_ns, frames=9, step_ns=80)
    assert len(times) == 9 and (np.diff(times) == 80).all()
    assert times[0] <= 1000 <= times[-1]
    assert times[-1] == min(1000 + ahead_ns, 1000 + 8 * 80)


def test_between_is_linear_between_entries_and_held_outside() -> None:
    values = np.array([[0.0, 10.0, 40.0], [1.0, 2.0, 3.0]], np.float32)
    np.testing.assert_array_equal(between(values, 1.5, 1), [25.0, 2.5])
    np.testing.assert_array_equal(between(values, np.array([-3.0, 0.5, 2.0, 9.0]), 1), [[0, 5, 40, 40], [1, 1.5, 3, 3]])
    np.testing.assert_array_equal(between(values, np.array([0.25]), 0), [[0.25, 8.0, 30.75]])
    np.testing.assert_array_equal(between(values[:, :1], 0.7, 1), [0.0, 1.0])
