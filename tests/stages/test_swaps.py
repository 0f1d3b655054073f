"""Sides that the detector exchanges, on a walker whose legs and arms swing past each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pose_rt.core.skeleton import BLAZEPOSE33, H36M17, MPI17, Skeleton
from pose_rt.core.types import Frame, Keypoints2D, Packet
from pose_rt.stages.swaps import MAX_HOLD_NS, Swaps, exchanged

LEGS, ARMS = np.array([True, False]), np.array([False, True])


def walker(seconds: float) -> np.ndarray:
    """(17, 2) px: seen from the side, torso 100 px, a stride a second; knees and ankles of both sides cross twice a stride."""
    xy = np.zeros((17, 2), np.float32)
    swing = np.sin(2 * np.pi * seconds)
    for joint, x, y in ((0, 0, 0), (7, 0, -50), (8, 0, -100), (9, 10, -120), (10, 5, -140)):
        xy[joint] = x, y
    for side, sign in ((0, 1), (3, -1)):
        xy[1 + side], xy[2 + side], xy[3 + side] = (5 * sign, 0), (sign * 25 * swing, 80), (sign * 60 * swing, 160)
    for first, sign in ((11, 1), (14, -1)):
        xy[first], xy[first + 1], xy[first + 2] = (5 * sign, -100), (sign * 20 * swing, -50), (sign * 45 * swing, 0)
    return xy + np.array([400 + 120 * seconds, 300], np.float32)


def packet(index: int, seconds: float, xy: np.ndarray, skeleton: Skeleton = H36M17, track: int = 3) -> Packet:
    joints = skeleton.num_joints
    order = np.arange(joints, dtype=np.float32)
    keypoints = Keypoints2D(
        xy_px=xy[None].astype(np.float32),
        score=order[None] / 100,
        spread_px=order[None] + 1,
        box_px=np.zeros((1, 4), np.float32),
        track=np.array([track], np.int64),
        skeleton=skeleton,
        second_px=np.repeat(order[None, :, None], 2, -1),
    )
    return Packet(Frame(np.zeros((2, 2, 3), np.uint8), index, round(seconds * 1e9), 0), keypoints=keypoints)


def stream(
    rate: float, frames: int, wrong: dict[int, np.ndarray], noise: float = 1.5, seed: int = 0
) -> tuple[list[Keypoints2D], np.ndarray]:
    """What the stage makes of a walk whose sides are exchanged in the frames of `wrong`, and the true points (N, 17, 2)."""
    rng, stage = np.random.default_rng(seed), Swaps()
    out, truth = [], []
    for i in range(frames):
        clean = walker(i / rate) + rng.normal(0, noise, (17, 2)).astype(np.float32)
        each = packet(i, i / rate, clean)
        assert each.keypoints is not None
        seen = replace(exchanged(each.keypoints, wrong[i][None]), swapped=None) if i in wrong else each.keypoints
        done = stage(replace(each, keypoints=seen)).keypoints
        assert done is not None
        out.append(done)
        truth.append(clean)
    return out, np.stack(truth)


@pytest.mark.parametrize("rate", [15.0, 30.0, 60.0])
def test_a_motion_without_exchanges_is_left_alone(rate: float) -> None:
    out, truth = stream(rate, round(6 * rate), {})
    assert not any(k.swapped.any() for k in out)
    np.testing.assert_array_equal(np.stack([k.xy_px[0] for k in out]), truth)


@pytest.mark.parametrize("parts", [LEGS, ARMS, LEGS | ARMS])
@pytest.mark.parametrize("start", [32, 38, 43, 52])
@pytest.mark.parametrize("length", [1, 4, 15])
def test_an_exchange_is_undone_in_the_frames_where_it_can_be_seen(parts: np.ndarray, start: int, length: int) -> None:
    wrong = dict.fromkeys(range(start, start + length), parts)
    out, truth = stream(30.0, 120, wrong)
    repaired, error_before, error_after = 0.0, 0.0, 0.0
    mirrored = np.where(parts[0], H36M17.mirror, np.arange(17))
    for i in wrong:
        error_after += float(np.linalg.norm(out[i].xy_px[0] - truth[i], axis=-1).mean())
        error_before += float(np.linalg.norm(truth[i][H36M17.mirror if parts.all() else mirrored] - truth[i], axis=-1).mean())
        repaired += float((out[i].swapped[0] == parts).all())
    if not parts[0]:
        assert repaired >= 0.7 * length
    else:
        assert repaired >= 0.7 * length and error_after <= 0.3 * error_before
    after = [i for i in range(120) if i >= start + length + 3]
    np.testing.assert_array_equal([out[i].swapped[0] for i in after], np.zeros((len(after), 2)))


def test_what_the_detector_keeps_saying_is_believed_in_the_end() -> None:
    """From frame 38 on the sides are the others for good: the stage gives in, and follows the new sides from then on."""
    out, _ = stream(30.0, 150, dict.fromkeys(range(38, 150), LEGS))
    said = np.array([k.swapped[0, 0] for k in out])
    held = np.flatnonzero(said)
    assert held[0] == 38 and (np.diff(held) == 1).all()
    assert MAX_HOLD_NS / 1e9 * 30 - 2 <= len(held) <= MAX_HOLD_NS / 1e9 * 30 + 3


def test_a_person_met_with_exchanged_sides_is_not_held_wrong_for_longer_than_they_were_seen_so() -> None:
    """The first 8 frames are wrong; the step to the right sides looks like an exchange, and must not last beyond 8 frames more."""
    out, _ = stream(30.0, 60, dict.fromkeys(range(0, 8), LEGS))
    held = np.flatnonzero([k.swapped[0, 0] for k in out])
    assert len(held) <= 10 and (len(held) == 0 or held[-1] <= 18)


def test_all_that_belongs_to_a_point_goes_with_it() -> None:
    keypoints = packet(0, 0.0, walker(0.2)).keypoints
    assert keypoints is not None
    other = exchanged(keypoints, np.array([[True, False]]))
    order = np.arange(17)
    order[1:7] = [4, 5, 6, 1, 2, 3]
    np.testing.assert_array_equal(other.xy_px[0], keypoints.xy_px[0, order])
    np.testing.assert_array_equal(other.score[0], keypoints.score[0, order])
    np.testing.assert_array_equal(other.spread_px[0], keypoints.spread_px[0, order])
    np.testing.assert_array_equal(other.second_px[0], keypoints.second_px[0, order])
    np.testing.assert_array_equal(exchanged(other, np.array([[True, False]])).xy_px, keypoints.xy_px)


def test_the_face_goes_with_the_whole_body() -> None:
    xy = np.arange(66, dtype=np.float32).reshape(33, 2)
    keypoints = packet(0, 0.0, xy, BLAZEPOSE33).keypoints
    assert keypoints is not None
    whole = exchanged(keypoints, np.array([[True, True]]))
    np.testing.assert_array_equal(whole.xy_px[0], xy[BLAZEPOSE33.mirror])
    legs = exchanged(keypoints, np.array([[True, False]]))
    np.testing.assert_array_equal(legs.xy_px[0, :23], xy[:23])


def test_gaps_jumps_and_lost_points_start_anew_and_stay_finite() -> None:
    stage = Swaps()
    for i in range(10):
        stage(packet(i, i / 30, walker(i / 30)))
    late = packet(11, 2.0, exchanged(packet(0, 0, walker(2.2)).keypoints, LEGS[None]).xy_px[0])
    assert not stage(late).keypoints.swapped.any(), "after a gap nothing is known"
    gone = np.full((17, 2), np.nan, np.float32)
    assert not stage(packet(12, 2.03, gone)).keypoints.swapped.any()
    assert not stage(packet(13, 2.06, walker(2.2) + 5000)).keypoints.swapped.any(), "somebody else"
    assert stage.repairs == 0


def test_a_skeleton_without_known_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="got keypoints of skeleton mpi17"):
        Swaps()(packet(0, 0.0, np.zeros((17, 2)), MPI17))
