"""The DCT is orthonormal, sorts by frequency, and loses nothing when nothing is cut off."""

import numpy as np
import pytest

from pose_rt.core.dct import dct, dct_matrix, idct, idct_matrix, pad_last


@pytest.mark.parametrize("length", [1, 2, 9, 75, 125])
def test_matrix_is_orthonormal_and_inverse_is_its_transpose(length: int) -> None:
    matrix = dct_matrix(length)
    assert np.abs(matrix @ matrix.T - np.eye(length)).max() < 1e-12  # rounding of `length` products in float64
    assert np.abs(idct_matrix(length) - matrix.T).max() < 1e-12


def test_first_coefficient_is_the_scaled_mean() -> None:
    x = np.array([[1.0, 2.0, 3.0, 6.0]])
    assert np.allclose(dct(x, 1), x.mean() * np.sqrt(4), atol=1e-14)


def test_energy_is_kept_and_all_coefficients_give_the_motion_back() -> None:
    x = np.random.default_rng(0).standard_normal((3, 48, 125))
    c = dct(x, 125)
    assert np.allclose((c**2).sum(-1), (x**2).sum(-1), rtol=1e-12)
    assert np.abs(idct(c, 125) - x).max() < 1e-12


def test_cutting_is_a_projection() -> None:
    x = np.random.default_rng(1).standard_normal((4, 60))
    once = idct(dct(x, 7), 60)
    assert np.abs(idct(dct(once, 7), 60) - once).max() < 1e-12
    assert ((x - once) * once).sum() == pytest.approx(0, abs=1e-10)


def test_a_slow_cosine_needs_its_own_coefficient_only() -> None:
    time = (np.arange(50) + 0.5) / 50
    c = dct(np.cos(np.pi * 3 * time), 10)
    assert abs(c[3]) > 1 and np.abs(np.delete(c, 3)).max() < 1e-12


def test_dtype_is_kept() -> None:
    assert dct(np.ones((2, 20), np.float32), 4).dtype == np.float32
    assert idct(np.ones((2, 4), np.float32), 20).dtype == np.float32


def test_pad_last_repeats_the_last_frame() -> None:
    assert pad_last(np.array([[1, 2, 3]]), 2).tolist() == [[1, 2, 3, 3, 3]]


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"wanted 1\.\.5"):
        dct(np.zeros(5), 6)
    with pytest.raises(ValueError, match="at most 3"):
        idct(np.zeros(4), 3)
    with pytest.raises(ValueError, match="at least one"):
        dct_matrix(0)
