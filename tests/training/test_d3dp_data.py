"""Training pairs of the lifter: bodies keep their bones, poses their limits, cameras their geometry, detectors their manners."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pose_rt.core.skeleton import BLAZEPOSE_TO_H36M, H36M17
from pose_rt.core.viewpoint import fill_missing
from pose_rt.errors import InputError
from training.d3dp.config import TrainConfig
from training.data.bodies import facing, from_bones, length_factors, rot_x, rot_y, rot_z, to_bones, trunk_frame
from training.data.cmu17 import CameraRange, PairConfig, camera_space, make_pairs
from training.data.detector import DetectorNoise, detect, shift_definitions
from training.data.motion import PLAIN, Clips, Mixture, load_clips, motion_windows
from training.data.procedural import LENGTHS, procedural_bones

UNIT_M = TrainConfig().unit_m
QUIET = DetectorNoise(noise=(1e-6, 2e-6), outlier=0, swap=0, occluded=0, lost=0, lost_legs=0)


@pytest.fixture(scope="module")
def clips() -> Clips:
    """Three made clips in the format of cmu17: procedural poses strung together at 50 Hz, walking away."""
    rng = np.random.default_rng(0)
    lengths = np.array([120, 60, 45])
    joints = [from_bones(procedural_bones(rng, 1, n)[0]) for n in lengths]
    for clip in joints:
        clip += np.linspace(0, 1, len(clip))[:, None, None] * np.array([0.3, 1.0, 0.0], np.float32)
    names = np.array(["a", "b", "c"])
    return Clips(np.concatenate(joints).astype(np.float32), np.array([0, 120, 180]), lengths, names, names)


def test_bones_and_joints_are_inverse() -> None:
    joints = np.random.default_rng(0).normal(size=(4, 3, 17, 3)).astype(np.float32)
    back = from_bones(to_bones(joints))
    np.testing.assert_allclose(back, joints - joints[..., :1, :], atol=1e-5)  # float32 sums along the chain


def test_length_factors_are_symmetric() -> None:
    factors = length_factors(np.random.default_rng(0), 200)
    np.testing.assert_array_equal(factors, factors[:, H36M17.mirror])
    assert 0.6 < factors.min() < 0.9
    assert 1.1 < factors.max() < 1.4


@pytest.mark.parametrize(("make", "start", "end"), [(rot_x, 1, 2), (rot_y, 2, 0), (rot_z, 0, 1)])
def test_a_right_angle_takes_one_axis_to_the_next(make, start: int, end: int) -> None:  # type: ignore[no-untyped-def]
    np.testing.assert_allclose(make(np.array(np.pi / 2)) @ np.eye(3)[start], np.eye(3)[end], atol=1e-6)


def test_procedural_poses_keep_bones_and_joint_limits() -> None:
    bones = procedural_bones(np.random.default_rng(1), 400, 9)
    length = np.linalg.norm(bones, axis=-1)
    np.testing.assert_allclose(length / np.maximum(LENGTHS, 1e-9), np.broadcast_to(LENGTHS > 0, length.shape), atol=0.01)
    for thigh, shank in ((2, 3), (5, 6)):
        cosine = (bones[..., thigh, :] * bones[..., shank, :]).sum(-1) / (LENGTHS[thigh] * LENGTHS[shank])
        assert np.rad2deg(np.arccos(cosine.clip(-1, 1))).max() < 153
    for upper, fore in ((12, 13), (15, 16)):
        cosine = (bones[..., upper, :] * bones[..., fore, :]).sum(-1) / (LENGTHS[upper] * LENGTHS[fore])
        assert np.rad2deg(np.arccos(cosine.clip(-1, 1))).max() < 149


def test_procedural_knees_and_elbows_bend_the_human_way() -> None:
    """A knee turns the shank back about the hip's own axis whatever the hip does; a forearm of a hanging arm points forward."""
    bones = procedural_bones(np.random.default_rng(2), 600, 1)[:, 0]
    frame = trunk_frame(from_bones(bones))
    for thigh, shank in ((2, 3), (5, 6)):
        assert np.cross(bones[:, thigh], bones[:, shank])[:, 0].max() < 1e-5
    hanging = (np.einsum("nk,nk->n", bones[:, 15], frame[:, 2]) < -0.26) & (bones[:, 16] @ np.array([0, 0, 1.0]) > -0.2)
    assert hanging.sum() > 20
    assert (np.einsum("nk,nk->n", bones[hanging, 16], frame[hanging, 1]) > -0.05).mean() > 0.9


def test_plain_windows_are_the_clips_turned_and_moved(clips: Clips) -> None:
    windows = motion_windows(np.random.default_rng(0), clips, 50, 9, 12.5, PLAIN)
    lengths = np.linalg.norm(to_bones(windows), axis=-1)[..., 1:]
    np.testing.assert_allclose(lengths, np.broadcast_to(LENGTHS[1:], lengths.shape), rtol=0.03)  # between frames bones shorten a little
    np.testing.assert_allclose(windows[:, 4, 0], 0.0, atol=1e-6)
    assert np.abs(np.diff(np.sort(facing(windows[:, 4])))).max() < 1.0  # every heading occurs


@pytest.mark.parametrize("mixture", [PLAIN, Mixture(), Mixture(0.5, 0.2, 0.2, 0.5)])
def test_pairs_are_finite_repeatable_and_of_human_size(clips: Clips, mixture: Mixture) -> None:
    config = PairConfig(mixture=mixture)
    first, again = (make_pairs(np.random.default_rng(3), clips, 200, config) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(a).all()
    assert first.xy.shape == (200, 9, 17, 2)
    assert first.xy.dtype == first.target_m.dtype == np.float32
    np.testing.assert_array_equal(first.target_m[:, :, 0], 0.0)
    assert np.abs(first.target_m).max() < 1.1 * UNIT_M  # the network's clamp never cuts a limb


def test_cameras_keep_shape_and_stand_where_they_should(clips: Clips) -> None:
    world = motion_windows(np.random.default_rng(0), clips, 300, 9, 12.5, PLAIN)
    cameras = CameraRange()
    seen = camera_space(np.random.default_rng(1), world, cameras)
    np.testing.assert_allclose(np.linalg.norm(to_bones(seen), axis=-1), np.linalg.norm(to_bones(world), axis=-1), atol=1e-5)
    distance = np.linalg.norm(seen[:, 4, 0], axis=-1)
    assert cameras.distance_m[0] * 0.999 < distance.min()
    assert distance.max() < cameras.distance_m[1] * 1.001


def test_people_who_stand_are_upright_in_the_picture() -> None:
    bones = np.zeros((200, 1, 17, 3), np.float32)
    bones[..., [7, 8, 9, 10], 2] = LENGTHS[[7, 8, 9, 10]]
    bones[..., [2, 3, 5, 6], 2] = -LENGTHS[[2, 3, 5, 6]]
    seen = camera_space(np.random.default_rng(1), from_bones(bones), CameraRange())
    plane = seen[..., :2] / seen[..., 2:]
    assert (plane[:, 0, 10, 1] < plane[:, 0, 0, 1]).all()  # y points down
    assert (plane[:, 0, 0, 1] < plane[:, 0, 3, 1]).all()


def test_a_quiet_detector_sees_the_target_where_it_is(clips: Clips) -> None:
    """Without noise, definitions or focal error the target, put at its root and projected, lands on the network's input."""
    config = PairConfig(mixture=PLAIN, noise=QUIET, cameras=CameraRange(focal_error=1.0001, distance_m=(5.0, 9.0)))
    pairs = make_pairs(np.random.default_rng(4), clips, 100, config)
    camera = np.einsum("bfjk,bkl->bfjl", pairs.target_m, pairs.rotation)
    limb = [2, 3, 5, 6, 12, 13, 15, 16]
    relative = pairs.plane[:, :, limb] - pairs.plane[:, :, :1]
    # weak perspective: the picture's and the pose's x and y agree up to a scale for people 5 m away
    flat = camera[:, :, limb, :2]
    cosine = (relative * flat).sum((1, 2, 3)) / np.sqrt((relative**2).sum((1, 2, 3)) * (flat**2).sum((1, 2, 3)))
    assert np.median(cosine) > 0.98


def test_trunk_midpoints_follow_the_run_time_mapping(clips: Clips) -> None:
    pairs = make_pairs(np.random.default_rng(5), clips, 100, PairConfig(noise=DetectorNoise(lost=0, lost_legs=0)))
    blaze = np.zeros((*pairs.plane.shape[:2], 33, 2), np.float32)
    for blaze_joint, joint in ((23, 4), (24, 1), (11, 11), (12, 14)):
        blaze[:, :, blaze_joint] = pairs.plane[:, :, joint]
    mapped = np.einsum("jk,bfkd->bfjd", BLAZEPOSE_TO_H36M, blaze)
    np.testing.assert_allclose(pairs.plane[:, :, [0, 7, 8]], mapped[:, :, [0, 7, 8]], atol=1e-6)


def test_definitions_move_joints_by_centimetres_and_constantly(clips: Clips) -> None:
    windows = motion_windows(np.random.default_rng(0), clips, 200, 9, 12.5, PLAIN)
    moved = shift_definitions(np.random.default_rng(1), windows, DetectorNoise())
    offset = np.einsum("bfjk,bfik->bfji", moved - windows, trunk_frame(windows))
    np.testing.assert_allclose(offset, np.broadcast_to(offset[:, :1], offset.shape), atol=1e-4)
    size = np.linalg.norm(offset[:, 0, 1:7], axis=-1)
    assert 0.01 < np.median(size) < 0.05


def test_swaps_exchange_sides_only() -> None:
    xy = np.random.default_rng(0).normal(size=(300, 9, 17, 2)).astype(np.float32)
    noise = DetectorNoise(noise=(1e-9, 2e-9), outlier=0, occluded=0, lost=0, lost_legs=0, swap=1.0)
    out = detect(np.random.default_rng(1), xy, np.ones(300), noise)
    limbs = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]
    same = np.abs(out - xy).max(-1)[..., limbs] < 1e-4
    swapped = np.abs(out - xy[:, :, H36M17.mirror]).max(-1)[..., limbs] < 1e-4
    assert (same | swapped).all()
    assert 0.05 < swapped.mean() < 0.7


def test_lost_joints_are_filled_like_at_run_time() -> None:
    xy = np.random.default_rng(0).normal(size=(200, 9, 17, 2)).astype(np.float32)
    noise = DetectorNoise(noise=(1e-9, 2e-9), outlier=0, occluded=0, lost=0, lost_legs=1.0, swap=0)
    out = detect(np.random.default_rng(1), xy, np.ones(200), noise)
    np.testing.assert_array_equal(out[:, :, 3], out[:, :, 2])  # an ankle that is never seen stands at its knee ...
    both = (out[:, :, 2] == out[:, :, 1]).all((1, 2))  # ... and with the knee gone too, at the hip
    assert 0.4 < both.mean() < 0.8


def test_fill_missing_interpolates_holds_and_falls_back_on_the_parent() -> None:
    xy = np.arange(9, dtype=np.float32)[:, None, None] * np.ones((9, 17, 2), np.float32) + np.arange(17)[None, :, None]
    holes = xy.copy()
    holes[3:6, 2] = np.nan
    holes[7:, 13] = np.nan
    holes[:, 6] = np.nan
    filled = fill_missing(holes)
    np.testing.assert_allclose(filled[:, 2], xy[:, 2], atol=1e-5)
    np.testing.assert_array_equal(filled[7:, 13], np.broadcast_to(xy[6, 13], (2, 2)))
    np.testing.assert_array_equal(filled[:, 6], xy[:, 5])
    assert np.isnan(holes[3, 2]).all()  # the argument is left alone
    assert np.isnan(fill_missing(np.full((2, 17, 2), np.nan, np.float32))).all()


def test_dense_truth_meets_the_network_frames(clips: Clips) -> None:
    sparse = make_pairs(np.random.default_rng(6), clips, 20, PairConfig(dense=4, mixture=PLAIN))
    assert sparse.target_m.shape == (20, 33, 17, 3)
    assert sparse.xy.shape == (20, 9, 17, 2)


def test_a_missing_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.npz: no such file"):
        load_clips(tmp_path, "train")
