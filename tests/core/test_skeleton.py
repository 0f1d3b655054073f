"""Joint sets are consistent, and BlazePose maps to Human3.6M by the rule that is written down."""

from __future__ import annotations

import numpy as np
import pytest

from pose_rt.core.skeleton import (
    BLAZEPOSE33,
    BLAZEPOSE_TO_H36M,
    H36M17,
    H36M32_TO_H36M17,
    SKELETONS,
    Skeleton,
    blazepose_to_h36m,
    mirror_points,
)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_joint_sets_are_consistent(skeleton: Skeleton) -> None:
    n = skeleton.num_joints
    assert len(set(skeleton.joints)) == n
    assert all(0 <= a < n and 0 <= b < n and a != b for a, b in skeleton.edges)
    assert len({frozenset(edge) for edge in skeleton.edges}) == len(skeleton.edges)
    assert len(skeleton.left) == len(skeleton.right) and not set(skeleton.left) & set(skeleton.right)
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        assert skeleton.joints[left].replace("left", "right") == skeleton.joints[right]
    named = {j for j, name in enumerate(skeleton.joints) if "left" in name or "right" in name}
    assert named == set(skeleton.left) | set(skeleton.right)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_mirroring_twice_is_nothing_and_keeps_the_bones(skeleton: Skeleton) -> None:
    points = np.random.default_rng(0).standard_normal((4, skeleton.num_joints, 3))
    before = points.copy()
    mirrored = mirror_points(points, skeleton)
    np.testing.assert_array_equal(points, before)
    np.testing.assert_array_equal(mirror_points(mirrored, skeleton), points)
    edges = {frozenset(edge) for edge in skeleton.edges}
    assert {frozenset(int(skeleton.mirror[j]) for j in edge) for edge in edges} == edges


def test_h36m_parents_are_a_tree_with_the_pelvis_as_root() -> None:
    assert H36M17.parents is not None
    assert H36M17.parents[0] == -1 and all(0 <= parent < j for j, parent in enumerate(H36M17.parents) if j)
    assert len(H36M17.edges) == 16
    assert len(H36M32_TO_H36M17) == 17 and list(H36M32_TO_H36M17) == sorted(set(H36M32_TO_H36M17))


def test_the_mapping_keeps_positions_and_sides() -> None:
    np.testing.assert_allclose(BLAZEPOSE_TO_H36M.sum(1), 1.0, atol=1e-6)
    points = np.random.default_rng(1).standard_normal((5, 33, 2)).astype(np.float32)
    mapped, score = blazepose_to_h36m(points)
    assert mapped.shape == (5, 17, 2) and mapped.dtype == np.float32 and score is None
    np.testing.assert_allclose(blazepose_to_h36m(points * 3 + 7)[0], mapped * 3 + 7, atol=1e-5)
    np.testing.assert_allclose(blazepose_to_h36m(mirror_points(points, BLAZEPOSE33))[0], mirror_points(mapped, H36M17), atol=1e-6)
    shared = set(H36M17.joints) & set(BLAZEPOSE33.joints)
    assert len(shared) == 13
    for name in shared:
        np.testing.assert_array_equal(mapped[:, H36M17.joints.index(name)], points[:, BLAZEPOSE33.joints.index(name)])


def test_midpoints_and_the_head() -> None:
    points = np.random.default_rng(2).standard_normal((33, 3)).astype(np.float32)
    mapped, _ = blazepose_to_h36m(points)
    pelvis, thorax, ears = (points[[a, b]].mean(0) for a, b in ((23, 24), (11, 12), (7, 8)))
    np.testing.assert_allclose(mapped[[0, 8]], [pelvis, thorax], atol=1e-6)
    np.testing.assert_allclose(mapped[7], (pelvis + thorax) / 2, atol=1e-6)
    np.testing.assert_allclose(mapped[10], ears + 0.45 * (ears - thorax), atol=1e-6)


def test_an_unseen_point_touches_only_the_joints_made_of_it() -> None:
    points = np.random.default_rng(3).standard_normal((2, 33, 2)).astype(np.float32)
    whole, _ = blazepose_to_h36m(points)
    points[0, 24] = np.nan  # right hip
    mapped, _ = blazepose_to_h36m(points)
    unseen = np.isnan(mapped).all(-1)
    assert [H36M17.joints[j] for j in np.flatnonzero(unseen[0])] == ["pelvis", "right_hip", "spine"]
    np.testing.assert_array_equal(mapped[~unseen], whole[~unseen])


def test_a_joint_is_as_sure_as_its_least_sure_point() -> None:
    score = np.linspace(0.1, 1, 33).astype(np.float32)
    _, mapped = blazepose_to_h36m(np.zeros((33, 2), np.float32), score)
    assert mapped is not None and mapped.dtype == np.float32
    assert mapped[0] == score[23] and mapped[7] == score[11] and mapped[10] == score[7] and mapped[16] == score[16]
