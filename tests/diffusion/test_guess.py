"""The first guess: exact for a Gaussian, never worse than what is known, the same for groups and one by one."""

import numpy as np
import pytest

from pose_rt.diffusion.guess import LEAST_DEVIATION, Mixture, from_text, mixture_guess, to_text

SIZE = 6


def mixture(components: int, seed: int = 0) -> Mixture:
    rng = np.random.default_rng(seed)
    roots = rng.standard_normal((components, SIZE, SIZE))
    return Mixture(np.log(np.full(components, 1 / components)), 3 * rng.standard_normal((components, SIZE)), roots @ roots.swapaxes(1, 2))


def test_one_gaussian_gives_its_conditional() -> None:
    one = mixture(1)
    mean, cov = one.mean[0], one.covariance[0]
    known = np.array([1, 0, 1, 0, 0, 1.0])
    value = np.random.default_rng(1).standard_normal(SIZE)
    guess, deviation = mixture_guess(one, value[None, None], known[None], 0.1)
    a, b = np.flatnonzero(known), np.flatnonzero(known == 0)
    gain = cov[np.ix_(b, a)] @ np.linalg.inv(cov[np.ix_(a, a)] + 0.01 * np.eye(3))
    np.testing.assert_allclose(guess[0, 0, b], mean[b] + gain @ (value[a] - mean[a]), rtol=1e-9)
    np.testing.assert_allclose(deviation[0, 0, b] ** 2, np.diag(cov[np.ix_(b, b)] - gain @ cov[np.ix_(a, b)]), rtol=1e-9)


def test_the_moments_are_those_of_samples_that_fit_what_is_known() -> None:
    """Law: rejection sampling of the mixture itself."""
    two, rng = mixture(2, 3), np.random.default_rng(2)
    which = rng.integers(0, 2, 400_000)
    drawn = two.mean[which] + np.einsum("nij,nj->ni", np.linalg.cholesky(two.covariance)[which], rng.standard_normal((len(which), SIZE)))
    seen, noise = float(two.mean[:, 2].mean()), 0.5
    weight = np.exp(-0.5 * ((drawn[:, 2] - seen) / noise) ** 2)
    mean = (weight[:, None] * drawn).sum(0) / weight.sum()
    std = np.sqrt((weight[:, None] * (drawn - mean) ** 2).sum(0) / weight.sum())
    known = np.eye(SIZE)[2]
    guess, deviation = mixture_guess(two, known[None, None] * seen, known[None], noise)
    np.testing.assert_allclose(guess[0, 0], mean, atol=0.05)
    np.testing.assert_allclose(deviation[0, 0], std, rtol=0.03)


def test_groups_change_nothing_and_noise_may_differ() -> None:
    some, rng = mixture(3), np.random.default_rng(4)
    value, known = rng.standard_normal((2, 4, SIZE)), (rng.random((2, SIZE)) < 0.5).astype(float)
    together = mixture_guess(some, value, known, 0.2)
    alone = mixture_guess(some, value.reshape(-1, 1, SIZE), np.repeat(known, 4, 0), np.full((8, SIZE), 0.2))
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a.reshape(b.shape), b, rtol=1e-9)
    vague = mixture_guess(some, value, np.ones_like(known), np.where(known > 0, 0.2, 1e4))
    np.testing.assert_allclose(vague[0], together[0], atol=1e-3)


def test_what_does_not_count_does_not_matter_and_nothing_is_taken_for_certain() -> None:
    some = mixture(2)
    known = np.array([[1, 1, 1, 0, 0, 0.0]])
    value = np.zeros((1, 1, SIZE))
    other = value.copy()
    other[..., 3:] = 1e3
    a, b = mixture_guess(some, value, known, 0.1), mixture_guess(some, other, known, 0.1)
    np.testing.assert_array_equal(a[0], b[0])
    assert a[1].min() >= LEAST_DEVIATION * 0.1 * (1 - 1e-9)
    sure = mixture_guess(some, value, np.ones_like(known), 1e-3)
    np.testing.assert_allclose(sure[0], value, atol=1e-2)


def test_torch_agrees_and_the_text_of_a_model_file_keeps_it() -> None:
    some, rng = mixture(3), np.random.default_rng(5)
    value, known = rng.standard_normal((4, 1, SIZE)), (rng.random((4, SIZE)) < 0.5).astype(float)
    read = from_text(to_text(some), SIZE)
    for a, b in zip(read, some, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    torch = pytest.importorskip("torch")
    from pose_rt.models.gfpose.precondition import _invert

    tensors = Mixture(*(torch.from_numpy(part) for part in some))
    got = mixture_guess(tensors, torch.from_numpy(value), torch.from_numpy(known), 0.2, _invert)
    for a, b in zip(got, mixture_guess(some, value, known, 0.2), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-9)
