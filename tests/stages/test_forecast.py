"""The forecast stage around a model that is known exactly: time, people, random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pose_rt.core.skeleton import H36M17
from pose_rt.core.types import Frame, Packet, Pose3D
from pose_rt.errors import ModelError, UsageError
from pose_rt.stages.forecast import Forecaster
from pose_rt.stages.window import MAX_GAP_NS

MS = 1_000_000
META = {"kind": "dhmp", "history": 25, "future": 100, "rate_hz": 50, "bases": 6, "z": 4, "temperature": 0.85, "skeleton": "h36m17"}


class Straight:
    """Stands in for the network only: every future goes on at the speed of the last two poses; draw k is k metres to the right."""

    name = "straight"
    metadata: dict[str, Any] = META

    def __init__(self) -> None:
        self.calls: list[dict[str, np.ndarray]] = []

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls.append(feeds)
        history, draws = feeds["history"], feeds["eps"].shape[1]
        speed = history[:, -1] - history[:, -2]
        ahead = np.arange(1, META["future"] + 1, dtype=np.float32)[None, :, None, None]
        one = history[:, -1][:, None] + ahead * speed[:, None]
        futures = np.repeat(one[:, None], draws, 1)
        futures[..., 0] += np.arange(draws, dtype=np.float32)[None, :, None, None]
        return {"futures": futures}

    def close(self) -> None:
        pass


def packet(index: int, time_ns: int, people: dict[int, float]) -> Packet:
    """Each track moves along y at 1 m/s from its own place."""
    n = len(people)
    joints = np.zeros((n, 17, 3), np.float32)
    for row, offset in enumerate(people.values()):
        joints[row, :, 1] = offset + time_ns / 1e9
    pose = Pose3D(
        joints, joints[:, None], np.zeros((n, 17), np.float32), None, np.zeros((n, 17), np.uint8), np.array(list(people), np.int64), H36M17
    )
    return Packet(Frame(np.zeros((2, 2, 3), np.uint8), index, time_ns, 0), pose=pose)


@pytest.mark.parametrize("fps", [24, 30, 60])
@pytest.mark.parametrize("every_s", [0.0, 0.2])
def test_futures_start_at_the_packets_own_time(fps: int, every_s: float) -> None:
    stage = Forecaster(Straight(), futures=3, horizon_s=1.0, every_s=every_s)
    for i in range(60):
        time_ns = round(i * 1e9 / fps)
        forecast = stage(packet(i, time_ns, {4: 0.0})).forecast
        assert forecast is not None and forecast.futures_m.shape == (1, 3, 50, 17, 3) and forecast.step_ns == 20 * MS
        if i > 15:
            ahead = (np.arange(50) + 1) * 0.02
            # Half a step of the 50 Hz grid: moved futures are cut at whole steps.
            np.testing.assert_allclose(forecast.futures_m[0, 0, :, 5, 1], time_ns / 1e9 + ahead, atol=0.0101)
            np.testing.assert_allclose(forecast.futures_m[0, 2, :, 5, 0], 2.0)


def test_computed_as_often_as_asked() -> None:
    often, seldom = Straight(), Straight()
    for backend, every in ((often, 0.0), (seldom, 0.5)):
        stage = Forecaster(backend, futures=2, horizon_s=1.0, every_s=every)
        for i in range(31):
            stage(packet(i, i * 33 * MS, {0: 0.0}))
    assert len(often.calls) == 31 and len(seldom.calls) == 2


def test_the_whole_horizon_is_computed_for_every_frame() -> None:
    """Two seconds are all the model has: nothing is left to move along, so no future may be shorter than asked."""
    stage = Forecaster(Straight(), futures=2, horizon_s=2.0, every_s=0.2)
    assert {stage(packet(i, i * 33 * MS, {0: 0.0})).forecast.futures_m.shape for i in range(20)} == {(1, 2, 100, 17, 3)}


def test_people_come_and_go() -> None:
    stage = Forecaster(Straight(), futures=2, horizon_s=1.0)
    for i in range(40):
        people = {t: o for t, o, first in ((1, 0.0, 0), (9, 50.0, 11)) if i >= first and not (t == 1 and i > 30)}
        out = stage(packet(i, i * 33 * MS, people))
        assert out.forecast.track.tolist() == list(people)
        for row, offset in enumerate(people.values()):
            if i in range(8) or i in range(11, 19):
                continue  # the first futures of a track know one pose only: it stands still
            assert abs(out.forecast.futures_m[row, 0, 0, 0, 1] - (offset + i * 0.033)) < 0.05
    assert stage(packet(41, 41 * 33 * MS, {})).forecast.futures_m.shape[0] == 0


def test_history_does_not_cross_a_gap() -> None:
    backend = Straight()
    stage = Forecaster(backend, futures=1, horizon_s=1.0, every_s=0.0)
    for i in range(30):
        stage(packet(i, i * 33 * MS, {0: 0.0}))
    stage(packet(31, 30 * 33 * MS + 2 * MAX_GAP_NS, {0: 7.0}))
    history = backend.calls[-1]["history"][0]
    np.testing.assert_allclose(history, np.broadcast_to(history[-1], history.shape))


def test_a_track_keeps_its_random_numbers_and_the_seed_changes_them() -> None:
    first, again, other = Straight(), Straight(), Straight()
    for backend, seed in ((first, 1), (again, 1), (other, 2)):
        stage = Forecaster(backend, futures=3, horizon_s=1.0, every_s=0.0, seed=seed)
        stage(packet(0, 0, {0: 0.0, 1: 0.0}))
        stage(packet(1, 33 * MS, {1: 0.0, 0: 0.0}))
    np.testing.assert_array_equal(first.calls[0]["eps"], again.calls[0]["eps"])
    np.testing.assert_array_equal(first.calls[0]["eps"], first.calls[1]["eps"][::-1])
    assert not np.array_equal(first.calls[0]["eps"], other.calls[0]["eps"])
    assert not np.array_equal(first.calls[0]["weights"][0], first.calls[0]["weights"][1])
    np.testing.assert_allclose(first.calls[0]["weights"].sum(-1), 1.0, rtol=1e-5)  # a softmax in float32


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="horizon"):
        Forecaster(Straight(), horizon_s=2.5)
    with pytest.raises(ValueError, match="futures"):
        Forecaster(Straight(), futures=0)
    wrong = Straight()
    wrong.metadata = {"kind": "d3dp"}
    with pytest.raises(ModelError, match="not a forecaster"):
        Forecaster(wrong)
