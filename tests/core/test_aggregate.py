"""P-Agg and JPMA: the choice is the nearest reprojection, ties go to the lowest index, NaN falls back to the mean."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_rt.core.aggregate import choose_by_reprojection, mean_pose, nearest_to_target, take_joints
from pose_rt.core.camera import project

CAMERA = np.array([1100, 1100, 640, 360], np.float32)


def scene(seed: int, h: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hypotheses = rng.normal(0, 0.3, (2, h, 3, 17, 3)).astype(np.float32)
    root = rng.normal([0, 0, 5], 0.3, (2, 3, 3)).astype(np.float32)
    truth = rng.normal(0, 0.3, (2, 3, 17, 3)).astype(np.float32)
    return hypotheses, root, project(truth + root[:, :, None], CAMERA)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_choice_is_never_farther_than_any_hypothesis(seed: int) -> None:
    hypotheses, root, xy = scene(seed)
    chosen = choose_by_reprojection(hypotheses, xy, root, CAMERA)
    pose = take_joints(hypotheses, chosen)
    distance = np.linalg.norm(project(pose + root[:, :, None], CAMERA) - xy, axis=-1)
    every = np.linalg.norm(project(hypotheses + root[:, None, :, None], CAMERA) - xy[:, None], axis=-1)
    np.testing.assert_allclose(distance, every.min(1), rtol=1e-5)  # float32 distances in px


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(5)))
def test_the_pose_does_not_depend_on_the_order_of_hypotheses(seed: int, order: list[int]) -> None:
    hypotheses, root, xy = scene(seed)
    pose = take_joints(hypotheses, choose_by_reprojection(hypotheses, xy, root, CAMERA))
    shuffled = hypotheses[:, order]
    np.testing.assert_array_equal(take_joints(shuffled, choose_by_reprojection(shuffled, xy, root, CAMERA)), pose)


def test_a_hypothesis_that_is_seen_at_the_target_wins_everywhere() -> None:
    hypotheses, root, _ = scene(1)
    xy = project(hypotheses[:, 3] + root[:, :, None], CAMERA)
    assert (choose_by_reprojection(hypotheses, xy, root, CAMERA) == 3).all()


def test_ties_go_to_the_lowest_index() -> None:
    reprojection = np.array([[3, 0], [1, 0], [-1, 0], [0, 1]], np.float32).reshape(4, 1, 1, 2)
    assert nearest_to_target(reprojection, np.zeros((1, 1, 2), np.float32)).item() == 1


def test_an_unseen_joint_takes_the_mean_and_a_nan_hypothesis_is_passed_over() -> None:
    hypotheses, root, xy = scene(2)
    xy[0, 1, 4] = np.nan
    hypotheses[1, 0, 2, 5] = np.nan
    chosen = choose_by_reprojection(hypotheses, xy, root, CAMERA)
    assert (chosen == -1).sum() == 1 and chosen[0, 1, 4] == -1
    assert chosen[1, 2, 5] > 0
    np.testing.assert_array_equal(take_joints(hypotheses, chosen)[0, 1, 4], mean_pose(hypotheses)[0, 1, 4])


def test_one_hypothesis_is_its_own_aggregate() -> None:
    hypotheses, root, xy = scene(3, h=1)
    np.testing.assert_array_equal(take_joints(hypotheses, choose_by_reprojection(hypotheses, xy, root, CAMERA)), hypotheses[:, 0])
    np.testing.assert_array_equal(mean_pose(hypotheses), hypotheses[:, 0])
