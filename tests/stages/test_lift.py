"""The lift stage around a model that is known exactly: order, time, look-ahead, gaps, several people."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from pose_rt.core.camera import Camera
from pose_rt.core.skeleton import H36M17
from pose_rt.core.types import Frame, Keypoints2D, Packet
from pose_rt.stages.lift import Lift
from pose_rt.stages.window import MAX_GAP_NS

CAMERA = Camera.from_focal(640, 480, 600.0)
MS = 1_000_000


class EchoLifter:
    """Stands in for the network only: hypothesis h of a joint is its pixel position in thousandths, h metres deep."""

    skeleton_in = H36M17

    def __init__(self, frames: int = 9, step_ns: int = 80 * MS, hypotheses: int = 3) -> None:
        self.frames, self.step_ns, self.hypotheses = frames, step_ns, hypotheses
        self.windows = 0

    def __call__(self, xy_px: np.ndarray, camera: Camera, tracks: Sequence[int], previous: np.ndarray | None = None) -> np.ndarray:
        assert xy_px.shape[1:] == (self.frames, 17, 2) and len(tracks) == len(xy_px)
        self.windows += len(xy_px)
        out = np.zeros((len(xy_px), self.hypotheses, self.frames, 17, 3), np.float32)
        out[..., :2] = xy_px[:, None] / 1000
        out[..., 2] = np.arange(self.hypotheses)[None, :, None, None]
        return out

    def sigma(self, spread_m: np.ndarray) -> np.ndarray:
        return spread_m

    def close(self) -> None:
        pass


def packet(index: int, time_ns: int, people: dict[int, float]) -> Packet:
    """A frame in which each track's joints lie at (offset + time, joint) px: motion that is linear in time."""
    n = len(people)
    xy = np.zeros((n, 17, 2), np.float32)
    for row, offset in enumerate(people.values()):
        xy[row, :, 0] = offset + time_ns / 1e7
        xy[row, :, 1] = np.arange(17) * 10
    keypoints = Keypoints2D(
        xy_px=xy,
        score=np.ones((n, 17), np.float32),
        spread_px=None,
        box_px=np.zeros((n, 4), np.float32),
        track=np.array(list(people), np.int64),
        skeleton=H36M17,
    )
    return Packet(Frame(np.zeros((4, 4, 3), np.uint8), index, time_ns, 0), keypoints=keypoints)


def run(stage: Lift, packets: list[Packet]) -> list[Packet]:
    out = [p for each in packets for p in stage.push(each)]
    return out + stage.flush()


def times(kind: str, n: int) -> list[int]:
    if kind == "variable":
        return np.cumsum(np.random.default_rng(0).integers(5, 60, n) * MS).tolist()
    return [round(i * 1e9 / float(kind)) for i in range(n)]


@pytest.mark.parametrize("lookahead", [None, 0, 3, 30])
@pytest.mark.parametrize("rate", ["10", "29.97", "50", "60", "variable"])
@pytest.mark.parametrize(("frames", "step_ms"), [(9, 80), (27, 20)])
def test_every_frame_comes_back_in_order_lifted_at_its_own_time(lookahead: int | None, rate: str, frames: int, step_ms: int) -> None:
    packets = [packet(i, t, {7: 100.0}) for i, t in enumerate(times(rate, 120))]
    out = run(Lift(EchoLifter(frames, step_ms * MS), CAMERA, lookahead=lookahead, aggregate="mean"), packets)
    assert [p.frame.index for p in out] == list(range(120))
    for p in out:
        assert p.pose is not None
        expected = (100.0 + p.frame.media_ns / 1e7) / 1000
        np.testing.assert_allclose(p.pose.joints_m[0, :, 0], expected, atol=2e-6)  # float32 interpolation of pixels
        assert p.pose.track.tolist() == [7]


@pytest.mark.parametrize("length", [1, 2, 3, 17])
def test_a_clip_shorter_than_a_window_is_lifted_whole(length: int) -> None:
    packets = [packet(i, t, {0: 0.0}) for i, t in enumerate(times("30", length))]
    out = run(Lift(EchoLifter(), CAMERA, aggregate="mean"), packets)
    assert len(out) == length
    for p in out:
        np.testing.assert_allclose(p.pose.joints_m[0, :, 0], p.frame.media_ns / 1e10, atol=2e-6)  # float32


def test_look_ahead_is_exactly_what_was_asked() -> None:
    stage = Lift(EchoLifter(), CAMERA, lookahead=4)
    counts = [len(stage.push(packet(i, t, {0: 0.0}))) for i, t in enumerate(times("30", 10))]
    assert counts == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert len(stage.flush()) == 4


def test_without_look_ahead_nothing_waits() -> None:
    stage = Lift(EchoLifter(), CAMERA, lookahead=0)
    assert all(len(stage.push(packet(i, t, {0: 0.0}))) == 1 for i, t in enumerate(times("30", 5)))
    assert stage.flush() == []


def test_centred_windows_hold_back_little() -> None:
    stage = Lift(EchoLifter(), CAMERA)
    waiting = most = 0
    for i, t in enumerate(times("30", 300)):
        waiting += 1 - len(stage.push(packet(i, t, {0: 0.0})))
        most = max(most, waiting)
    # A block of 36 frames at 50 Hz is 22 frames at 30 Hz; one more step of 22 (13 at 30 Hz) may pass before its worker is done.
    assert most <= 22 + 13 + 1


def test_nobody_in_view_is_zero_people_and_does_not_wait() -> None:
    stage = Lift(EchoLifter(), CAMERA)
    out = stage.push(packet(0, 0, {}))
    assert len(out) == 1 and out[0].pose is not None and out[0].pose.joints_m.shape == (0, 17, 3)


def test_nothing_is_interpolated_across_a_gap() -> None:
    before = [packet(i, i * 33 * MS, {3: 0.0}) for i in range(20)]
    resume = 20 * 33 * MS + 4 * MAX_GAP_NS
    empty = [packet(20 + i, 20 * 33 * MS + i * MAX_GAP_NS // 2, {}) for i in range(8)]
    after = [packet(28 + i, resume + i * 33 * MS, {3: 5000.0}) for i in range(20)]
    out = run(Lift(EchoLifter(), CAMERA, aggregate="mean"), before + empty + after)
    assert [p.frame.index for p in out] == list(range(48))
    for p in out:
        if p.pose.track.size:
            offset = 0.0 if p.frame.index < 20 else 5000.0
            np.testing.assert_allclose(p.pose.joints_m[0, :, 0], (offset + p.frame.media_ns / 1e7) / 1000, atol=2e-5)  # float32 at 5


@pytest.mark.parametrize("lookahead", [None, 2])
def test_people_who_come_and_go_keep_their_own_motion(lookahead: int | None) -> None:
    def people(i: int) -> dict[int, float]:
        return {t: o for t, o, first, last in ((1, 0.0, 0, 50), (2, 1000.0, 13, 80), (5, 3000.0, 60, 61)) if first <= i < last}

    out = run(Lift(EchoLifter(), CAMERA, lookahead=lookahead, aggregate="mean"), [packet(i, i * 33 * MS, people(i)) for i in range(100)])
    assert [p.frame.index for p in out] == list(range(100))
    for p in out:
        assert p.pose.track.tolist() == list(people(p.frame.index))
        for row, offset in enumerate(people(p.frame.index).values()):
            np.testing.assert_allclose(p.pose.joints_m[row, :, 0], (offset + p.frame.media_ns / 1e7) / 1000, atol=2e-6)  # float32


def test_jpma_takes_the_hypothesis_that_reprojects_nearest() -> None:
    """One window frame, hand-made hypotheses: joint by joint the choice must be the one that the 2D was made from."""
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 0.3, (17, 3)).astype(np.float32)
    truth[0] = 0
    root = np.array([0.2, -0.1, 4.0], np.float32)
    hypotheses = truth + rng.normal(0, 0.1, (5, 17, 3)).astype(np.float32)
    hypotheses[:, 0] = 0
    best = rng.integers(0, 5, 17)
    hypotheses[best, np.arange(17)] = truth

    class Fixed(EchoLifter):
        def __call__(self, xy_px: np.ndarray, camera: Camera, tracks: Sequence[int], previous: np.ndarray | None = None) -> np.ndarray:
            return np.repeat(hypotheses[None, :, None], self.frames, 2)

    placed = truth + root
    xy = placed[:, :2] / placed[:, 2:] * CAMERA.focal_px + CAMERA.center
    base = packet(0, 0, {0: 0.0})
    keypoints = Keypoints2D(
        xy[None].astype(np.float32), np.ones((1, 17), np.float32), None, np.zeros((1, 4), np.float32), np.zeros(1, np.int64), H36M17
    )
    stage = Lift(Fixed(hypotheses=5), CAMERA, lookahead=0, aggregate="jpma")
    (out,) = stage.push(Packet(base.frame, keypoints=keypoints))
    assert out.pose is not None and out.pose.chosen is not None and out.pose.root_m is not None
    # The root is estimated from the mean hypothesis, so it is near, not exact; the choice must survive that.
    np.testing.assert_allclose(out.pose.root_m[0], root, atol=0.35)
    assert (out.pose.chosen[0] == best)[1:].mean() > 0.6
    chosen = np.linalg.norm(out.pose.joints_m[0] - truth, axis=-1).mean()
    assert chosen < 0.7 * np.linalg.norm(hypotheses.mean(0) - truth, axis=-1).mean()


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="lookahead"):
        Lift(EchoLifter(), CAMERA, lookahead=-1)
    with pytest.raises(ValueError, match="aggregate"):
        Lift(EchoLifter(), CAMERA, aggregate="median")


def test_an_error_of_the_lifter_reaches_the_caller_and_the_worker_ends() -> None:
    class Broken(EchoLifter):
        def __call__(self, xy_px: np.ndarray, camera: Camera, tracks: Sequence[int], previous: np.ndarray | None = None) -> np.ndarray:
            raise RuntimeError("the network failed")

    stage = Lift(Broken(), CAMERA)
    with pytest.raises(RuntimeError, match="the network failed"):
        run(stage, [packet(i, t, {0: 0.0}) for i, t in enumerate(times("30", 100))])
    stage.close()
    stage.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pose-rt-lift")]


class Remembering(EchoLifter):
    """Notes which tracks came with an earlier estimate, and how far it lies from what is measured where both are known (metres)."""

    def __init__(self) -> None:
        super().__init__(frames=5, step_ns=80 * MS)
        self.warm: list[tuple[int, ...]] = []
        self.cold: list[tuple[int, ...]] = []
        self.off: list[float] = []

    def __call__(self, xy_px: np.ndarray, camera: Camera, tracks: Sequence[int], previous: np.ndarray | None = None) -> np.ndarray:
        out = super().__call__(xy_px, camera, tracks)
        (self.cold if previous is None else self.warm).append(tuple(tracks))
        if previous is not None:
            self.off.append(float(np.abs(previous - out)[:, :, :4].max()))  # the newest frame was not known before
        return out


def test_a_warm_start_hands_each_window_the_one_before_moved_along_in_time() -> None:
    lifter = Remembering()
    stage = Lift(lifter, CAMERA, lookahead=0, warm_start=True)
    instants = np.cumsum(np.random.default_rng(2).integers(10, 80, 60)) * MS
    for i, now in enumerate(instants.tolist()):
        stage.push(packet(i, now, {7: 100.0} if i < 30 else {7: 100.0, 8: 900.0}))
    assert lifter.cold == [(7,), (8,)], "each track starts once from pure noise"
    assert lifter.warm[-1] == (7, 8)
    full = np.flatnonzero(instants > 500 * MS)
    settled = [off for i, off in enumerate(lifter.off) if full[0] <= i < 28]
    assert len(settled) > 10 and max(settled) < 3e-6  # motion linear in time; float32 interpolation of pixels


@pytest.mark.parametrize("break_ns", [MAX_GAP_NS + 1, -200 * MS])
def test_a_gap_or_a_jump_back_starts_from_pure_noise_again(break_ns: int) -> None:
    lifter = Remembering()
    stage = Lift(lifter, CAMERA, lookahead=0, warm_start=True)
    for i in range(10):
        stage.push(packet(i, i * 33 * MS, {7: 100.0}))
    stage.push(packet(10, 9 * 33 * MS + break_ns, {7: 100.0}))
    assert lifter.cold == [(7,), (7,)]


@pytest.mark.parametrize("lookahead", [None, 0])
def test_somebody_else_under_the_same_number_does_not_mix_with_the_one_before(lookahead: int | None) -> None:
    """From frame 20 on the track stands 3000 px away: its poses hold nothing of the place before."""
    packets = [packet(i, i * 33 * MS, {7: 0.0 if i < 20 else 3000.0}) for i in range(50)]
    for p in run(Lift(EchoLifter(), CAMERA, lookahead=lookahead), packets):
        expected = ((0.0 if p.frame.index < 20 else 3000.0) + p.frame.media_ns / 1e7) / 1000
        np.testing.assert_allclose(p.pose.joints_m[0, :, 0], expected, atol=1e-5)  # float32 at 3
