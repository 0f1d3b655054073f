"""The complete stage: what is filled in, marked and faded; what is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from pose_rt.core.types import COMPLETED, MEASURED, Packet
from pose_rt.stages.complete import FADE_S, Complete
from pose_rt.stages.lost import DRIFT_M, LAST_SEEN_M, between_seen, drift_noise, one_pose
from pose_rt.stages.prior import Prior
from tests.io.packets import BODY_M, lost_leg_packet, make_packet
from tests.stages.prior_network import GaussianPrior

KNEE, ANKLE = 5, 6


def stage(**options: float) -> Complete:
    return Complete(Prior(GaussianPrior()), **options)  # type: ignore[arg-type]


def whole(index: int) -> Packet:
    packet = make_packet()
    return replace(packet, frame=replace(packet.frame, index=index, media_ns=index * 40_000_000))


def test_a_lost_leg_is_completed_and_marked() -> None:
    packet = lost_leg_packet(0)
    assert packet.pose is not None
    wrong = packet.pose.joints_m.copy()
    wrong[0, [KNEE, ANKLE]] += 1.0  # what a lifter makes of a leg it was not shown
    done = stage()(replace(packet, pose=replace(packet.pose, joints_m=wrong)))
    assert done.pose is not None
    lost = done.pose.provenance[0] == COMPLETED
    assert lost[[4, KNEE, ANKLE]].all() and not lost[[1, 2, 3, 9, 10, 11, 12, 13, 14, 15, 16]].any()
    assert np.linalg.norm(done.pose.joints_m[0] - BODY_M, axis=-1)[[KNEE, ANKLE]].max() < 0.15
    seen = ~lost
    shift = done.pose.joints_m[0, 1] - BODY_M[1]  # the pelvis comes from the hips, of which one is lost
    np.testing.assert_allclose(done.pose.joints_m[0][seen], BODY_M[seen] + shift, atol=1e-5)
    assert (done.pose.sigma_m[0, [KNEE, ANKLE]] > 0).all() and done.spans[-1][0] == "complete"
    assert done.pose.root_m is not None and packet.pose.root_m is not None
    np.testing.assert_allclose(done.pose.root_m[0] + done.pose.joints_m[0, 1], packet.pose.root_m[0] + BODY_M[1], atol=1e-5)


def test_nothing_lost_nothing_done() -> None:
    packet = whole(0)
    one = stage()
    done = one(packet)
    assert done.pose is packet.pose and one.completed == 0


def test_uncertainty_grows_while_a_joint_stays_lost() -> None:
    one, sigma = stage(), []
    one(whole(0))
    for index in range(1, 30):
        packet = lost_leg_packet(index)
        assert packet.pose is not None
        done = one(replace(packet, pose=replace(packet.pose, sigma_m=np.zeros((1, 17), np.float32))))
        assert done.pose is not None
        sigma.append(done.pose.sigma_m[0, ANKLE])
    assert sigma[-1] > 1.1 * sigma[0] and min(np.diff(sigma)) > -1e-3


def test_completed_joints_neither_jump_nor_flicker_and_fade_out() -> None:
    one, path, marks = stage(), [], []
    for index in range(24):
        packet = lost_leg_packet(index) if 4 <= index < 14 else whole(index)
        done = one(packet)
        assert done.pose is not None
        path.append(done.pose.joints_m[0] - done.pose.joints_m[0, 1])
        marks.append(done.pose.provenance[0, ANKLE])
    steps = np.linalg.norm(np.diff(np.array(path), axis=0), axis=-1)[:, ANKLE]
    assert steps[5:13].max() < 0.02, "a person who stands still has no wandering leg"
    assert steps.max() < 0.08
    assert marks[4:14] == [COMPLETED] * 10 and marks[:4] + marks[14:] == [MEASURED] * 14
    assert FADE_S > 0.04 and np.abs(path[14] - path[-1])[ANKLE].max() < np.abs(path[13] - path[-1])[ANKLE].max() + 1e-6


def test_runs_repeat_exactly_and_a_gap_forgets() -> None:
    def run(one: Complete) -> np.ndarray:
        poses = [one(lost_leg_packet(i)).pose for i in range(5)]
        return np.array([p.joints_m for p in poses if p is not None])

    one = stage()
    first = run(one)
    one.reset()
    np.testing.assert_array_equal(run(one), first)
    np.testing.assert_array_equal(run(stage()), first)
    late = one(lost_leg_packet(200)).pose
    assert late is not None
    np.testing.assert_array_equal(late.joints_m, first[0])


def test_people_of_whom_nearly_nothing_is_seen_are_left_alone() -> None:
    packet = whole(0)
    assert packet.keypoints is not None
    score = np.zeros_like(packet.keypoints.score)
    done = stage()(replace(packet, keypoints=replace(packet.keypoints, score=score)))
    assert done.pose is packet.pose


def test_nobody_in_view() -> None:
    done = stage()(make_packet(people=0))
    assert done.pose is not None and len(done.pose.joints_m) == 0


def test_a_budget_makes_fewer_steps_and_never_none() -> None:
    one = stage(budget_ms=1e-6)
    runs = []
    for index in range(4):
        before = one.prior._backend.runs  # type: ignore[attr-defined]
        one(lost_leg_packet(index))
        runs.append(one.prior._backend.runs - before)  # type: ignore[attr-defined]
    assert runs == [one.prior.steps + 1, 2, 2, 2], "the samples, and the mean in one more"
    roomy = stage(budget_ms=1e6)
    roomy._steps = 1
    for index in range(20):
        roomy(lost_leg_packet(index))
    assert roomy._steps == roomy.prior.steps


def test_settings_and_order_of_stages_are_checked() -> None:
    with pytest.raises(ValueError, match="budget_ms: got 0"):
        stage(budget_ms=0)
    with pytest.raises(ValueError, match="min_score: got 2"):
        stage(min_score=2)
    with pytest.raises(ValueError, match="run the lift stage first"):
        stage()(replace(whole(0), pose=None))
    one = stage()
    one.close()
    one.close()
    assert one.prior._backend.closed == 2  # type: ignore[attr-defined]


def test_where_a_joint_may_be_is_less_certain_with_time_and_unknown_where_never_seen() -> None:
    noise = drift_noise(np.stack([np.zeros(17), np.full(17, 0.2), np.full(17, 10.0), np.full(17, np.inf)]))
    np.testing.assert_allclose(noise[0], LAST_SEEN_M)
    assert (np.diff(noise, axis=0) > 0).all() and np.isinf(noise[3]).all()
    np.testing.assert_allclose(noise[2], np.hypot(LAST_SEEN_M, DRIFT_M), rtol=1e-5)


def test_lost_joints_of_a_recording_lie_between_those_seen() -> None:
    time = np.arange(5) / 10
    joints = np.repeat(BODY_M[None], 5, 0) + time[:, None, None].astype(np.float32)
    gone = np.zeros((5, 17), bool)
    gone[1:3, 13] = gone[3:, 16] = gone[:, 2] = True
    broken = np.where(gone[..., None], np.nan, joints)
    place, away = between_seen(broken, gone, time)
    np.testing.assert_allclose(place[:, 13], joints[:, 13], atol=1e-6)
    np.testing.assert_allclose(place[3:, 16], np.repeat(joints[2:3, 16], 2, 0), atol=1e-6)
    np.testing.assert_allclose(away[:, 13], [0, 0.1, 0.1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(away[:, 16], [0, 0, 0, 0.1, 0.2], atol=1e-9)
    assert np.isinf(away[:, 2]).all() and not away[:, 0].any()


def test_a_pose_of_many_has_bones_of_their_length() -> None:
    rng = np.random.default_rng(0)
    samples = np.repeat(BODY_M[None, None], 50, 1).astype(np.float64)
    angle = rng.normal(0, 0.5, 50)
    shin = BODY_M[ANKLE] - BODY_M[KNEE]
    samples[0, :, ANKLE] = BODY_M[KNEE] + np.linalg.norm(shin) * np.stack([np.sin(angle), np.cos(angle), 0 * angle], -1)
    known = np.ones((1, 17), bool)
    known[0, ANKLE] = False
    out = one_pose(samples.mean(1), samples, known)
    assert np.linalg.norm(samples.mean(1)[0, ANKLE] - BODY_M[KNEE]) < 0.95 * np.linalg.norm(shin)
    assert np.linalg.norm(out[0, ANKLE] - BODY_M[KNEE]) == pytest.approx(np.linalg.norm(shin), rel=1e-6)
    np.testing.assert_array_equal(out[0, :ANKLE], BODY_M[:ANKLE])
