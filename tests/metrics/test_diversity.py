"""APD, ADE, FDE and their multimodal forms, on cases with known answers."""

import itertools

import numpy as np
import pytest

from pose_rt.core.skeleton import H36M17
from pose_rt.metrics import diversity
from pose_rt.metrics.diversity import DiversityScores

PARENTS = H36M17.parents or ()


def constant(value: float, frames: int = 4) -> np.ndarray:
    """A motion of one coordinate that stays at `value`."""
    return np.full((frames, 1), value)


def test_known_values() -> None:
    futures = np.stack([constant(0.0), constant(3.0), constant(1.0)])
    truth = constant(0.5)
    # Flattened over 4 frames a difference of d is a distance of 2 d: pairs 3, 1, 2.
    assert diversity.pair_distances(futures).tolist() == [6.0, 2.0, 4.0]
    assert diversity.apd(futures) == 4.0
    assert diversity.ade(futures, truth) == 0.5
    assert diversity.fde(futures, truth) == 0.5


def test_best_future_may_differ_between_ade_and_fde() -> None:
    late, early = np.array([[0.0], [0.0], [9.0]]), np.array([[4.0], [4.0], [0.0]])
    futures = np.stack([late, early])
    truth = np.zeros((3, 1))
    assert diversity.ade(futures, truth) == pytest.approx(8 / 3)
    assert diversity.fde(futures, truth) == 0.0


def test_more_futures_never_make_best_of_k_worse_and_order_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    futures, truth = rng.standard_normal((20, 10, 17, 3)), rng.standard_normal((10, 17, 3))
    scores = [diversity.ade(futures[:k], truth) for k in range(1, 21)]
    assert all(a >= b for a, b in itertools.pairwise(scores))
    shuffled = futures[rng.permutation(20)]
    assert diversity.apd(shuffled) == pytest.approx(diversity.apd(futures), rel=1e-12)


def test_apd_does_not_see_a_common_shift_and_scales() -> None:
    rng = np.random.default_rng(1)
    futures, shift = rng.standard_normal((6, 10, 48)), rng.standard_normal((10, 48))
    assert diversity.apd(futures + shift) == pytest.approx(diversity.apd(futures), rel=1e-12)
    assert diversity.apd(2 * futures) == pytest.approx(2 * diversity.apd(futures), rel=1e-12)
    assert diversity.apd(futures[:1]) == 0.0


def test_multimodal_scores_average_over_truth_and_neighbours() -> None:
    futures, truth = np.stack([constant(0.0), constant(2.0)]), constant(0.0)
    similar = np.stack([constant(5.0), constant(2.0)])
    assert diversity.mmade(futures, truth, similar) == pytest.approx((0 + 3 + 0) / 3)
    assert diversity.mmfde(futures, truth, similar[:0]) == diversity.fde(futures, truth)


def test_cross_distances_hold_the_pair_distances() -> None:
    futures = np.random.default_rng(2).standard_normal((5, 3, 4))
    full = diversity.cross_distances(futures, futures)
    assert np.allclose(full[np.triu_indices(5, 1)], diversity.pair_distances(futures), atol=1e-12)


def test_divisors() -> None:
    scores = [DiversityScores(1, 2, 3, 4, 5), DiversityScores(3, 4, 5, 6, 7)]
    assert diversity.average(scores) == (2, 3, 4, 5, 6)
    assert diversity.average(scores, windows=4) == (2, 3, 4, 5, 6)
    assert diversity.average(scores, windows=4, divisor="reference") == (1, 1.5, 2, 2.5, 3)
    with pytest.raises(ValueError, match="at least one"):
        diversity.average([])
    with pytest.raises(ValueError, match="2 of 1"):
        diversity.average(scores, windows=1)


def test_bone_error_of_a_body_scaled_by_a_tenth() -> None:
    truth = np.random.default_rng(3).standard_normal((6, 17, 3))
    assert np.allclose(diversity.bone_percent_error(1.1 * truth[None], truth, PARENTS), 0.1, atol=1e-12)


def test_shape_is_checked() -> None:
    with pytest.raises(ValueError, match="pose axis"):
        diversity.apd(np.zeros((3, 4)))
