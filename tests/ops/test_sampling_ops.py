"""gumbel_softmax, sample_coordinates, blend_bases: kernels against their definition, and the laws they must follow."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from pose_rt import ops
from pose_rt.core import rng as philox
from pose_rt.ops import reference

# Kernel against definition: float32 exp and log are a few units in the last place off, and a weight is a power of up to 3 of them.
WEIGHT_RTOL = 4e-6
CELLS_ATOL = 3e-5  # sums of weights times positions up to 64 in float32


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (1, 1), (3, 5), (2, 16), (2, 17), (1, 3073)])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 1.3, 3.0, 0.0])
def test_soft_weights(native: ModuleType, shape: tuple[int, int], power: float) -> None:
    logits = random(*shape, scale=3)
    options = {"temperature": 0.8, "noise_scale": power * 0.8, "seed": 5, "frame": 3, "track": 9}
    np.testing.assert_allclose(
        native.gumbel_softmax(logits, 4, **options), reference.gumbel_softmax(logits, 4, **options), rtol=WEIGHT_RTOL, atol=1e-9
    )


def test_zero_samples_and_out(native: ModuleType) -> None:
    logits = random(3, 7)
    assert native.gumbel_softmax(logits, 0, temperature=1.0).shape == (3, 0, 7)
    out = np.empty((3, 2, 7), np.float32)
    assert native.gumbel_softmax(logits, 2, temperature=1.0, out=out) is out
    np.testing.assert_allclose(out.sum(-1), 1, rtol=1e-6)  # float32 sum of seven weights


def test_recorded_noise_with_certain_losers(native: ModuleType) -> None:
    logits, noise = random(2, 9), random(2, 3, 9, seed=1)
    noise[:, :, 4] = -np.inf
    got = native.gumbel_softmax(logits, 3, temperature=0.7, gumbel=noise)
    np.testing.assert_allclose(got, reference.gumbel_softmax(logits, 3, temperature=0.7, gumbel=noise), rtol=WEIGHT_RTOL)
    assert (got[:, :, 4] == 0).all()


def test_hard_choice_is_exact_on_whole_numbers_and_takes_the_first_of_ties(native: ModuleType) -> None:
    rng = np.random.default_rng(0)
    logits = rng.integers(-3, 3, (20, 33)).astype(np.float32)
    noise = rng.integers(-3, 3, (20, 5, 33)).astype(np.float32)
    got = native.gumbel_softmax(logits, 5, temperature=0.3, hard=True, gumbel=noise)
    np.testing.assert_array_equal(got.argmax(-1), (logits[:, None] + noise).argmax(-1))
    np.testing.assert_array_equal(np.sort(got, -1)[..., -2:], np.broadcast_to([0.0, 1.0], (20, 5, 2)))


def test_hard_draws_follow_the_softmax(native: ModuleType) -> None:
    logits = random(1, 12)
    draws = native.gumbel_softmax(logits, 20_000, temperature=0.5, hard=True, seed=11)[0].sum(0)
    expected = np.exp(logits[0].astype(np.float64))
    # A right sampler fails this once in ten thousand addresses; the address is fixed.
    assert stats.chisquare(draws, expected / expected.sum() * 20_000).pvalue > 1e-4


def test_the_law_notices_a_wrong_sampler() -> None:
    logits = random(1, 12)
    draws = ops.gumbel_softmax(logits, 20_000, temperature=0.5, noise_scale=1.1, hard=True, seed=11)[0].sum(0)
    expected = np.exp(logits[0].astype(np.float64))
    assert stats.chisquare(draws, expected / expected.sum() * 20_000).pvalue < 1e-4


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(0, 4), n=st.integers(1, 70), samples=st.integers(0, 5), seed=st.integers(0, 2**64 - 1),
    frame=st.integers(0, 2**32 - 1), temperature=st.floats(0.05, 20), noise=st.floats(0, 8),
)  # fmt: skip
def test_weights_are_a_distribution_and_depend_on_the_address_alone(
    rows: int, n: int, samples: int, seed: int, frame: int, temperature: float, noise: float
) -> None:
    logits = random(rows, n, seed=n, scale=5)
    options = {"temperature": temperature, "noise_scale": noise, "seed": seed, "frame": frame}
    p = ops.gumbel_softmax(logits, samples, **options)
    assert (p >= 0).all() and np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)  # float32 sum of up to 70 weights
    np.testing.assert_array_equal(p, ops.gumbel_softmax(logits, samples, **options))
    np.testing.assert_allclose(p, ops.gumbel_softmax(logits + 1, samples, **options), rtol=2e-4, atol=1e-6)  # l + 1 is rounded


@pytest.mark.parametrize("basis", ["uniform", "triangular", "gaussian"])
@pytest.mark.parametrize(
    ("shape", "window"), [((2, 5, 7), None), ((1, 1, 1), None), ((3, 16, 16), None), ((2, 33, 18), None), ((3, 20, 24), 9), ((3, 6, 5), 11)]
)
@pytest.mark.parametrize("noise", [2.0, 1.0, 1.7, 4.0, 0.0])
def test_coordinates(native: ModuleType, basis: str, shape: tuple[int, int, int], window: int | None, noise: float) -> None:
    heatmap = random(*shape, scale=2)
    centres = np.random.default_rng(1).uniform(-3, 30, (shape[0], 2)).astype(np.float32)
    options = {"basis": basis, "noise_scale": noise, "seed": 3, "track": 4, "window": None if window is None else (centres, window)}
    got = native.sample_coordinates(heatmap, 5, **options)
    expected = reference.sample_coordinates(heatmap, 5, **options)
    np.testing.assert_allclose(got[0], expected[0], rtol=0, atol=CELLS_ATOL)
    np.testing.assert_allclose(got[1], expected[1], rtol=0, atol=CELLS_ATOL)
    np.testing.assert_allclose(got[2], expected[2], rtol=1e-5, atol=1e-4)  # squared cells, up to 33^2
    np.testing.assert_array_equal(got[3], expected[3])


def test_no_joints_and_no_samples(native: ModuleType) -> None:
    samples, mean, covariance, second = native.sample_coordinates(np.zeros((0, 4, 4), np.float32), 3)
    assert (samples.shape, mean.shape, covariance.shape, second.shape) == ((0, 3, 2), (0, 2), (0, 2, 2), (0,))
    assert native.sample_coordinates(np.zeros((2, 4, 4), np.float32), 0)[0].shape == (2, 0, 2)


@pytest.mark.parametrize(("basis", "variance"), [("uniform", 1 / 12), ("triangular", 1 / 6), ("gaussian", 1 / 5)])
def test_draws_of_a_certain_cell_have_the_moments_of_the_basis(native: ModuleType, basis: str, variance: float) -> None:
    """With all mass in one cell a draw is the basis itself; for the reweighted bases many draws are combined by their weights."""
    heatmap = np.full((1, 9, 9), -80, np.float32)
    heatmap[0, 4, 5] = 0
    samples, mean, covariance, _ = native.sample_coordinates(heatmap, 4000, basis=basis, noise_scale=0.0, seed=1)
    np.testing.assert_allclose(mean[0], [5, 4], atol=1e-6)  # float32 weights of e^-80
    np.testing.assert_allclose(covariance[0], np.eye(2) * variance, atol=1e-6)
    draws = samples[0].astype(np.float64) - [5, 4]
    weight = np.ones_like(draws)
    if basis == "gaussian":
        weight = np.exp(-2 * draws**2)
    if basis == "triangular":
        # Cells beside the peak see part of it too: a draw is (w0 x0 + w- x- + w+ x+) / (w0 + w- + w+), symmetric about the cell.
        np.testing.assert_allclose(draws.mean(0), 0, atol=4 * np.sqrt(variance / 4000))
        assert (np.abs(draws) < 1).all()
        return
    measured = (weight * draws**2).sum(0) / weight.sum(0)
    np.testing.assert_allclose((weight * draws).sum(0) / weight.sum(0), 0, atol=4 * np.sqrt(variance / 4000))  # four standard errors
    np.testing.assert_allclose(measured, variance, rtol=0.12)  # > four standard errors of a variance from 4000 draws


@pytest.mark.parametrize("basis", ["uniform", "triangular", "gaussian"])
def test_weighted_draws_have_the_mean_and_variance_of_the_density(basis: str) -> None:
    """Importance-weighted kernel draws of all cells recover the mixture's mean and variance: the densities that BASES states."""
    p = np.array([0.0, 0.1, 0.35, 0.2, 0.3, 0.05, 0.0])
    cells = np.arange(7)
    draw = (philox.normal if basis == "gaussian" else philox.uniform)((200_000, 7), seed=3).astype(np.float64)
    if basis == "uniform":
        position, weight = cells + draw - 0.5, np.broadcast_to(p, draw.shape)
    elif basis == "gaussian":
        position, weight = cells + draw, p * np.exp(-2 * draw**2)
    else:
        e = np.where(draw < 0.5, np.sqrt(2 * draw) - 1, 1 - np.sqrt(2 - 2 * draw))
        position = cells + e
        weight = np.interp(position, np.arange(-1, 8), np.concatenate([[0], p, [0]]))
    mean = (weight * position).sum() / weight.sum()
    variance = (weight * (position - mean) ** 2).sum() / weight.sum()
    true_mean = p @ cells
    assert mean == pytest.approx(true_mean, abs=0.01)  # the standard error is below 0.002
    assert variance == pytest.approx(p @ (cells - true_mean) ** 2 + ops.BASES[basis], abs=0.02)
    # And the op's single draws use these weights: one draw is their ratio over the cells.
    expected = (weight * position).sum(-1) / weight.sum(-1)
    np.testing.assert_allclose(reference.axis_positions(np.broadcast_to(p, draw.shape), draw, basis), expected, atol=1e-9)


def test_second_mode_is_a_separate_peak(native: ModuleType) -> None:
    heatmap = np.full((4, 24, 24), -9, np.float32)
    heatmap[:, 3, 4] = 2.0
    heatmap[0, 20, 20] = 1.9  # a second peak
    heatmap[1, 20, 20] = 1.0  # too low: below half the probability
    heatmap[2, 4, 4:20] = 1.99  # a ridge that leads away: its far end is no local maximum
    heatmap[2, 4, 4:20] -= np.arange(16, dtype=np.float32) * 0.01
    heatmap[3] = 1.0  # flat
    np.testing.assert_array_equal(native.sample_coordinates(heatmap, 0)[3], [True, False, False, False])


@pytest.mark.parametrize(("n", "k", "m", "d"), [(0, 3, 4, 5), (1, 0, 4, 5), (1, 50, 40, 128), (2, 7, 5, 1), (1, 3, 1, 17), (1, 5, 3, 0)])
def test_blend(native: ModuleType, n: int, k: int, m: int, d: int) -> None:
    bases, weights = random(n, m, d), random(n, k, m, seed=1)
    np.testing.assert_allclose(native.blend_bases(bases, weights), reference.blend_bases(bases, weights), rtol=0, atol=2e-5)  # 40 terms
    options = {"draws": k, "temperature": 0.85, "seed": 8, "frame": 2, "track": 1}
    drawn = native.blend_bases(bases, **options)
    np.testing.assert_allclose(drawn, reference.blend_bases(bases, **options), rtol=0, atol=1e-5)
    w = native.gumbel_weights(n, k, m, temperature=0.85, seed=8, frame=2, track=1)
    np.testing.assert_allclose(drawn, native.blend_bases(bases, w), rtol=0, atol=1e-5)


def test_blend_is_exact_on_whole_numbers(native: ModuleType) -> None:
    rng = np.random.default_rng(0)
    bases, weights = rng.integers(-9, 9, (2, 11, 19)).astype(np.float32), rng.integers(-9, 9, (2, 6, 11)).astype(np.float32)
    np.testing.assert_array_equal(native.blend_bases(bases, weights), weights @ bases)


def test_every_instruction_set_gives_the_same_bits() -> None:
    core = ops.core()
    if core is None or len(core.isas()) < 2:
        pytest.skip("one instruction set only")
    heatmap, bases = random(3, 19, 21, scale=3), random(2, 13, 37)
    before, results = core.isa(), []
    try:
        for name in core.isas():
            core.use_isa(name)
            results.append(
                [
                    ops.gumbel_softmax(heatmap[0], 3, temperature=0.6, noise_scale=noise) for noise in (0.3, 0.6, 1.2, 0.9, 3.0)
                ]
                + [part for basis in ops.BASES for part in ops.sample_coordinates(heatmap, 4, basis=basis)]
                + [ops.blend_bases(bases, draws=9)]
            )  # fmt: skip
    finally:
        core.use_isa(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
