"""The One-Euro filter on the 3D joints: people, gaps, rest and motion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pose_rt.core.skeleton import H36M17
from pose_rt.core.types import Frame, Packet, Pose3D
from pose_rt.stages.smooth import Smooth3D


def packet(time_ns: int, people: dict[int, np.ndarray]) -> Packet:
    joints = np.stack(list(people.values())).astype(np.float32)
    pose = Pose3D(
        joints_m=joints,
        hypotheses_m=joints[:, None],
        sigma_m=np.zeros(joints.shape[:2], np.float32),
        root_m=None,
        provenance=np.zeros(joints.shape[:2], np.uint8),
        track=np.array(list(people), np.int64),
        skeleton=H36M17,
    )
    return Packet(Frame(np.zeros((2, 2, 3), np.uint8), 0, time_ns, 0), pose=pose)


def test_noise_at_rest_shrinks_and_steady_motion_is_followed() -> None:
    rng, stage = np.random.default_rng(0), Smooth3D()
    rest, moving = [], []
    for i in range(200):
        still = rng.normal(0, 0.01, (17, 3))
        walk = np.full((17, 3), 1.0 * i / 30)
        out = stage(packet(i * 33_333_333, {0: still, 9: walk})).pose
        rest.append(out.joints_m[0])
        moving.append(out.joints_m[1] - walk)
        np.testing.assert_array_equal(out.hypotheses_m[0, 0], still.astype(np.float32))
    assert np.std(rest[50:]) < 0.006
    assert np.abs(moving[-1]).max() < 0.06, "1 m/s is followed less than 0.06 s late"


def test_a_gap_a_jump_back_and_a_new_person_start_anew() -> None:
    stage = Smooth3D()
    first, other = np.zeros((17, 3)), np.ones((17, 3))
    stage(packet(0, {0: first}))
    for time_ns, track in ((300_000_000, 0), (290_000_000, 0), (310_000_000, 1)):
        out = stage(packet(time_ns, {track: other})).pose
        np.testing.assert_array_equal(out.joints_m[0], other)
    assert not np.array_equal(stage(packet(330_000_000, {1: first})).pose.joints_m[0], first)


def test_nobody_is_fine() -> None:
    empty = packet(0, {0: np.zeros((17, 3))})
    pose = empty.pose
    nobody = Pose3D(
        pose.joints_m[:0], pose.hypotheses_m[:0], pose.sigma_m[:0], None, pose.provenance[:0], pose.track[:0], H36M17
    )  # fmt: skip
    assert Smooth3D()(replace(empty, pose=nobody)).pose.joints_m.shape == (0, 17, 3)
