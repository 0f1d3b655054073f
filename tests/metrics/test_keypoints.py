"""2D errors are measured in torsos."""

from __future__ import annotations

import numpy as np
import pytest

from pose_rt.core.skeleton import BLAZEPOSE33, COCO17, H36M17, SKELETONS, Skeleton
from pose_rt.metrics.keypoints import normalised_errors, pck, torso_px


def person(skeleton: Skeleton) -> np.ndarray:
    xy = np.random.default_rng(0).uniform(0, 500, (2, skeleton.num_joints, 2))
    for name, place in {"left_shoulder": (220, 100), "right_shoulder": (180, 100)}.items():
        xy[:, skeleton.joints.index(name)] = place
    hips = {"left_hip": (230, 300), "right_hip": (170, 300)}
    if all(name in skeleton.joints for name in hips):
        for name, place in hips.items():
            xy[:, skeleton.joints.index(name)] = place
    return xy


@pytest.mark.parametrize("skeleton", [BLAZEPOSE33, COCO17, H36M17], ids=lambda s: s.name)
def test_the_torso_goes_from_shoulders_to_hips(skeleton: Skeleton) -> None:
    np.testing.assert_allclose(torso_px(person(skeleton), skeleton), 200)


def test_every_joint_set_has_a_torso_and_others_are_refused() -> None:
    for skeleton in SKELETONS.values():
        assert torso_px(np.zeros((skeleton.num_joints, 2)), skeleton) == 0
    with pytest.raises(ValueError, match="left_hip"):
        torso_px(np.zeros((1, 2)), Skeleton("nose", ("nose",), (), (), ()))


def test_errors_scale_with_the_person_and_ignore_unseen_joints() -> None:
    target = person(COCO17)
    predicted = target + np.array([30, 40])
    np.testing.assert_allclose(normalised_errors(predicted, target, COCO17), 0.25)
    np.testing.assert_allclose(normalised_errors(predicted * 3, target * 3, COCO17), 0.25)
    predicted[0, 2] = np.nan
    errors = normalised_errors(predicted, target, COCO17)
    assert np.isnan(errors[0, 2]) and np.isnan(errors).sum() == 1
    assert np.isnan(normalised_errors(predicted, np.zeros_like(target), COCO17)).all()


def test_pck_is_strict_and_counts_missing_joints_as_wrong() -> None:
    assert pck(np.array([0.1, 0.2, 0.3, np.nan]), 0.2) == 25
    assert pck(np.array([0.1, 0.2]), 0.21) == 100
    assert np.isnan(pck(np.zeros(0)))
