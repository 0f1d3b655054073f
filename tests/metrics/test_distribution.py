"""Frechet distance, confusion and motion statistics on cases with known answers."""

import numpy as np
import pytest

from pose_rt.metrics.distribution import Gaussian, confusion, cumulative_motion_difference, fid, frechet, gaussian, speeds


def test_frechet_of_diagonal_gaussians() -> None:
    first = Gaussian(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    second = Gaussian(np.array([1.0, 2.0, 2.0]), np.diag([4.0, 4.0, 1.0]))
    # |m|^2 = 9, and (1 - 2)^2 + 0 + (3 - 1)^2 = 5 for the standard deviations.
    assert frechet(first, second) == pytest.approx(14.0)
    assert frechet(first, second) == pytest.approx(frechet(second, first))


def test_distance_to_itself_is_zero_even_without_full_rank() -> None:
    few = np.random.default_rng(0).normal(size=(5, 20))
    assert fid(few, few) == pytest.approx(0.0, abs=1e-6)
    assert fid(few, few + 1.0) == pytest.approx(20.0)


def test_distance_does_not_see_rotations() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(50, 6)), 2 * rng.normal(size=(60, 6)) + 1
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    assert fid(a @ turn, b @ turn) == pytest.approx(fid(a, b), rel=1e-9)


def test_one_row_is_no_distribution() -> None:
    with pytest.raises(ValueError, match="at least two"):
        gaussian(np.zeros((1, 4)))


def test_confusion_counts() -> None:
    assert confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist() == [[1, 1], [0, 1]]


def test_speed_of_a_body_that_is_carried() -> None:
    motion = np.zeros((10, 17, 3))
    motion[..., 0] = 0.02 * np.arange(10)[:, None]
    np.testing.assert_allclose(speeds(motion, 50), 1.0)


def test_early_differences_count_more() -> None:
    assert cumulative_motion_difference(np.array([1.0, 0, 0]), 0.0) == 3.0
    assert cumulative_motion_difference(np.array([0, 0, 1.0]), 0.0) == 1.0
    assert cumulative_motion_difference(np.full(4, 0.7), 0.7) == 0.0
