"""3D errors: invariances of the alignments, order of the selections, agreement with plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_rt.core.aggregate import take_joints
from pose_rt.metrics import pose3d

SEEDS = st.integers(0, 2**32 - 1)
ALIGNMENTS = [pose3d.identity_align, pose3d.scale_align, pose3d.procrustes_align]


def poses(seed: int, *lead: int, joints: int = 17) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.4, (*lead, joints, 3)), rng.normal(0, 0.4, (*lead, joints, 3))


def random_rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    return q * np.sign(np.linalg.det(q))


def test_mpjpe_of_a_shift_is_its_length() -> None:
    _, target = poses(0, 4)
    assert pose3d.mpjpe(target + np.array([0.03, 0.0, 0.04]), target) == pytest.approx(0.05)
    assert pose3d.velocity_error(target + np.array([1.0, 2.0, 3.0]), target) == pytest.approx(0)


@settings(deadline=None)
@given(SEEDS, st.floats(0.1, 10))
def test_pa_mpjpe_forgives_similarity_but_not_mirroring(seed: int, scale: float) -> None:
    _, target = poses(seed, 3)
    moved = target @ random_rotation(seed) * scale + [0.3, -2.0, 5.0]
    np.testing.assert_allclose(pose3d.pa_mpjpe(moved, target), 0, atol=1e-9)
    assert (pose3d.pa_mpjpe(target * [-1, 1, 1], target) > 0.05).all()


@settings(deadline=None)
@given(SEEDS)
def test_pa_mpjpe_does_not_change_under_similarity_of_the_prediction(seed: int) -> None:
    predicted, target = poses(seed, 3)
    moved = predicted @ random_rotation(seed) * 1.7 + [1.0, 2.0, 3.0]
    np.testing.assert_allclose(pose3d.pa_mpjpe(moved, target), pose3d.pa_mpjpe(predicted, target), atol=1e-9)


@settings(deadline=None)
@given(SEEDS)
def test_procrustes_is_the_best_similarity_nearby(seed: int) -> None:
    predicted, target = poses(seed, 1)
    aligned = pose3d.procrustes_align(predicted, target)
    best = ((aligned - target) ** 2).sum()
    rng = np.random.default_rng(seed)
    middle = aligned.mean(-2, keepdims=True)
    for _ in range(20):
        turn, _ = np.linalg.qr(np.eye(3) + 0.05 * rng.standard_normal((3, 3)))
        turn = turn * np.sign(np.diag(turn))
        other = (aligned - middle) @ turn * (1 + 0.05 * rng.standard_normal()) + middle + 0.02 * rng.standard_normal(3)
        assert ((other - target) ** 2).sum() >= best - 1e-12


@settings(deadline=None)
@given(SEEDS)
def test_scale_alignment_is_the_best_scale(seed: int) -> None:
    predicted, target = poses(seed, 2)
    aligned = pose3d.scale_align(predicted, target)
    np.testing.assert_allclose(pose3d.n_mpjpe(predicted * 3.7, target), pose3d.n_mpjpe(predicted, target), atol=1e-12)
    residual = ((aligned - target) * predicted).sum((-2, -1))
    np.testing.assert_allclose(residual, 0, atol=1e-12)


@pytest.mark.parametrize("align", ALIGNMENTS)
def test_alignments_work_on_any_leading_axes(align: pose3d.Alignment) -> None:
    predicted, target = poses(5, 2, 4, 3)
    together = align(predicted, target[:, :1])
    for i, j, k in np.ndindex(2, 4, 3):
        np.testing.assert_allclose(together[i, j, k], align(predicted[i, j, k], target[i, 0, k]), atol=1e-12)


def test_procrustes_of_broken_and_flat_input() -> None:
    predicted, target = poses(6, 3)
    whole = pose3d.procrustes_align(predicted, target)
    predicted[1, 4, 0] = np.nan
    broken = pose3d.procrustes_align(predicted, target)
    assert np.isnan(broken[1]).all()
    np.testing.assert_array_equal(broken[[0, 2]], whole[[0, 2]])
    point = pose3d.procrustes_align(np.ones((17, 3)), target[0])
    np.testing.assert_allclose(point, np.broadcast_to(target[0].mean(0), (17, 3)), atol=1e-12)


@pytest.mark.parametrize("align", ALIGNMENTS)
@pytest.mark.parametrize("seed", range(5))
def test_oracles_bound_every_other_selection(align: pose3d.Alignment, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hypotheses, target = rng.normal(0, 0.4, (3, 2, 5, 6, 17, 3)), rng.normal(0, 0.4, (3, 1, 6, 17, 3))
    chosen = rng.integers(0, 5, (3, 2, 6, 17))
    scores = {
        scope: {k: v.mean() for k, v in pose3d.hypothesis_errors(hypotheses, target, chosen, align=align, scope=scope).items()}
        for scope in ("pose", "window", "batch")
    }
    joint = scores["pose"]["J_Best"]
    assert joint < scores["pose"]["P_Best"] < scores["window"]["P_Best"] < scores["batch"]["P_Best"]
    assert joint < scores["pose"]["J_Agg"]
    truth = target[:, :, None]
    assert scores["batch"]["P_Best"] < pose3d.joint_errors(align(hypotheses, truth), truth).mean()


def test_selection_scopes_choose_as_often_as_they_say() -> None:
    errors = np.random.default_rng(7).uniform(0, 1, (4, 2, 5, 6, 17))
    pose, window, batch = (pose3d.best_pose_index(errors, scope) for scope in ("pose", "window", "batch"))
    assert pose.shape == window.shape == batch.shape == (4, 2, 6)
    assert (window == window[..., :1]).all() and (pose != window).any()
    assert (batch == batch[:1, :, :1]).all() and (window != batch).any()
    np.testing.assert_array_equal(pose[1, 0, 3], errors[1, 0, :, 3].mean(-1).argmin())
    np.testing.assert_array_equal(batch[0, 1, 0], errors[:, 1].mean((0, 2, 3)).argmin())


def test_errors_of_chosen_joints_are_the_errors_of_the_chosen_pose() -> None:
    rng = np.random.default_rng(8)
    hypotheses, target = rng.normal(0, 0.4, (2, 5, 6, 17, 3)), rng.normal(0, 0.4, (2, 6, 17, 3))
    chosen = rng.integers(-1, 5, (2, 6, 17))
    got = pose3d.hypothesis_errors(hypotheses, target, chosen)["J_Agg"]
    np.testing.assert_allclose(got, pose3d.joint_errors(take_joints(hypotheses, chosen), target), atol=1e-12)


def test_one_hypothesis_scores_the_same_everywhere() -> None:
    predicted, target = poses(9, 2, 6)
    chosen = np.zeros((2, 6, 17), np.int64)
    for align in ALIGNMENTS:
        errors = pose3d.hypothesis_errors(predicted[:, None], target, chosen, align=align)
        for key in ("P_Best", "J_Best", "J_Agg"):
            np.testing.assert_allclose(errors[key], errors["P_Agg"], atol=1e-12)


def test_pck_is_strict_and_weighs_groups_by_their_joints() -> None:
    errors = np.zeros((4, 17))
    errors[:2, 0] = 0.150
    errors[:, 2] = 1.0
    scores = pose3d.pck_3dhp(errors)
    assert scores.tolist() == pytest.approx([50, 100, 50, 100, 100, 100, 100, 100, 100 * (0.5 + 1 + 1 + 10) / 14])
    errors[:, [14, 15, 16]] = 9.0  # pelvis, spine and head are not scored
    np.testing.assert_array_equal(pose3d.pck_3dhp(errors), scores)


def test_auc_of_perfect_and_hopeless_predictions() -> None:
    assert pose3d.auc_3dhp(np.zeros((3, 17)))[-1] == pytest.approx(100 * 30 / 31)
    assert pose3d.auc_3dhp(np.full((3, 17), 0.2))[-1] == 0
    assert pose3d.auc_3dhp(np.full((3, 17), 0.0751))[-1] == pytest.approx(100 * 15 / 31)
