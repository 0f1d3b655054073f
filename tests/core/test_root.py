"""Root estimation: exact projections give the exact root; outliers, gaps and bad geometry are handled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_rt.core.root import MIN_DEPTH_M, estimate_root, split_root

FOCAL, CENTER = 1100.0, np.array([640.0, 360.0], np.float32)


def scene(seed: int, frames: int = 3, joints: int = 17) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """xy (F, J, 2) float64, root-relative joints (F, J, 3) float64, roots (F, 3)."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, [0.25, 0.45, 0.2], (frames, joints, 3))
    pose[:, 0] = 0
    root = np.stack([rng.uniform(-2, 2, frames), rng.uniform(-1, 1, frames), rng.uniform(3, 12, frames)], -1)
    placed = pose + root[:, None]
    return FOCAL * placed[..., :2] / placed[..., 2:] + CENTER, pose, root


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_exact_projections_give_the_exact_root(seed: int, robust: int) -> None:
    xy, pose, root = scene(seed)
    np.testing.assert_allclose(estimate_root(xy, pose, FOCAL, CENTER, robust_iterations=robust), root, atol=1e-5)  # float32 result


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_unseen_and_weightless_joints_do_not_matter(seed: int) -> None:
    xy, pose, _ = scene(seed)
    weight = np.random.default_rng(seed).uniform(0.2, 1, xy.shape[:-1])
    weight[:, 3] = 0
    want = estimate_root(xy, pose, FOCAL, CENTER, weight)
    xy[:, 3] += 500
    np.testing.assert_array_equal(estimate_root(xy, pose, FOCAL, CENTER, weight), want)
    xy[:, 3] = np.nan
    weight[:, 3] = 1
    np.testing.assert_allclose(estimate_root(xy, pose, FOCAL, CENTER, weight), want, rtol=1e-6)


def test_each_frame_is_solved_on_its_own_with_its_own_camera() -> None:
    xy, pose, root = scene(4, frames=4)
    focal, center = np.array([800.0, 900, 1000, 1200]), np.array([[1.0, 2], [300, 200], [640, 360], [0, 0]])
    placed = pose + root[:, None]
    xy = focal[:, None, None] * placed[..., :2] / placed[..., 2:] + center[:, None]
    np.testing.assert_allclose(estimate_root(xy, pose, focal, center), root, atol=1e-5)
    for i in range(4):
        np.testing.assert_array_equal(estimate_root(xy[i], pose[i], focal[i], center[i]), estimate_root(xy, pose, focal, center)[i])


def test_it_is_the_least_squares_solution() -> None:
    xy, pose, _ = scene(5, frames=1)
    rng = np.random.default_rng(5)
    xy, weight = xy + rng.normal(0, 8, xy.shape), rng.uniform(0.1, 1, xy.shape[:-1])
    u = ((xy - CENTER) / FOCAL)[0]
    rows, right = [], []
    for axis in (0, 1):
        unit = np.eye(3)[axis]
        rows.append(np.sqrt(weight[0])[:, None] * (unit - u[:, axis, None] * np.eye(3)[2]))
        right.append(np.sqrt(weight[0]) * (u[:, axis] * pose[0, :, 2] - pose[0, :, axis]))
    want = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
    np.testing.assert_allclose(estimate_root(xy, pose, FOCAL, CENTER, weight)[0], want, rtol=1e-5)


def test_robust_reweighting_ignores_a_swapped_limb() -> None:
    xy, pose, root = scene(6, frames=20)
    xy += np.random.default_rng(6).normal(0, 1.5, xy.shape)
    xy[:, 13] += [180, -120]
    plain = np.linalg.norm(estimate_root(xy, pose, FOCAL, CENTER) - root, axis=-1).mean()
    robust = np.linalg.norm(estimate_root(xy, pose, FOCAL, CENTER, robust_iterations=5) - root, axis=-1).mean()
    assert robust < 0.3 * plain


def test_nobody_stands_behind_the_camera() -> None:
    xy, pose, _ = scene(7)
    turned = CENTER - (xy - CENTER)  # upside down: the unconstrained solution has a negative depth
    root = estimate_root(turned, pose, FOCAL, CENTER)
    np.testing.assert_array_equal(root[:, 2], np.full(3, np.float32(MIN_DEPTH_M)))
    assert np.isfinite(root).all()
    assert (estimate_root(turned, pose, FOCAL, CENTER, min_depth_m=2.0)[:, 2] == 2.0).all()


@pytest.mark.parametrize("seen", [0, 1])
def test_too_few_joints_give_nan(seen: int) -> None:
    xy, pose, _ = scene(8)
    xy[0, seen:] = np.nan
    root = estimate_root(xy, pose, FOCAL, CENTER, robust_iterations=2)
    assert np.isnan(root[0]).all() and np.isfinite(root[1:]).all()


def test_no_frames_and_result_type() -> None:
    root = estimate_root(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17, 3), np.float32), FOCAL, CENTER, robust_iterations=1)
    assert root.shape == (0, 3) and root.dtype == np.float32


def test_split_root() -> None:
    joints = np.random.default_rng(9).standard_normal((4, 17, 3))
    relative, root = split_root(joints, 14)
    assert (relative[:, 14] == 0).all()
    np.testing.assert_array_equal(root, joints[:, 14])
    np.testing.assert_allclose(relative + root[:, None], joints, atol=1e-15)
