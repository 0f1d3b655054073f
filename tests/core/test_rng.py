"""Philox gives the published numbers; draws depend on their address alone and have the right distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pose_rt.core import rng


@pytest.mark.parametrize(
    ("counter", "key", "want"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers_of_random123(counter: str, key: str, want: str) -> None:
    words, (k0, k1) = [int(w, 16) for w in counter.split()], (int(w, 16) for w in key.split())
    got = rng.philox4x32(np.array(words, np.uint32), (k0, k1))
    assert [f"{int(word):08x}" for word in got] == want.split()


def test_the_address_is_the_counter_and_the_seed_the_key() -> None:
    got = rng.random_u32(10, seed=0x299F31D0A4093822, frame=3, track=4, stream=5)
    for word, value in enumerate(got):
        block = rng.philox4x32(np.array([word // 4, 5, 3, 4], np.uint32), (0xA4093822, 0x299F31D0))
        assert value == block[word % 4]


def test_a_longer_draw_begins_with_the_shorter_and_addresses_differ() -> None:
    base = rng.random_u32(64, seed=1)
    np.testing.assert_array_equal(rng.random_u32(7, seed=1), base[:7])
    others = [{"seed": 2}, {"seed": 1 + 2**32}, {"seed": 1, "frame": 1}, {"seed": 1, "track": 1}, {"seed": 1, "stream": 1}]
    for address in others:
        assert (rng.random_u32(64, **address) == base).sum() <= 1
    assert rng.random_u32(0, seed=1).shape == (0,)


@pytest.mark.parametrize("address", [{"seed": -1}, {"seed": 2**64}, {"seed": 0, "frame": 2**32}, {"seed": 0, "track": -1}])
def test_an_address_out_of_range_is_refused(address: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="wanted a whole number"):
        rng.random_u32(1, **address)


def test_uniforms_lie_inside_the_open_interval() -> None:
    ends = rng.to_uniform(np.array([0, 2**32 - 1], np.uint32))
    assert ends.dtype == np.float32
    assert ends.tolist() == [0.5 / 2**23, (2**23 - 0.5) / 2**23]


def kolmogorov_distance(draws: np.ndarray, cdf: np.ndarray) -> float:
    """Largest distance between the empirical distribution and `cdf` at the sorted draws, in units of 1 / sqrt(n)."""
    order = np.argsort(draws)
    steps = np.arange(len(draws))
    distance = np.maximum(cdf[order] - steps / len(draws), (steps + 1) / len(draws) - cdf[order]).max()
    return float(distance * np.sqrt(len(draws)))


# The Kolmogorov statistic exceeds 1.95 once in a thousand; the draws are fixed by their address.
_LIMIT = 1.95
_N = 100_000


def test_uniform_distribution() -> None:
    u = rng.uniform((_N,), seed=11, stream=7)
    assert kolmogorov_distance(u, u.astype(np.float64)) < _LIMIT


def test_gumbel_distribution() -> None:
    g = rng.gumbel((_N,), seed=12)
    assert g.dtype == np.float32 and np.isfinite(g).all()
    assert kolmogorov_distance(g, np.exp(-np.exp(-g.astype(np.float64)))) < _LIMIT


def test_normal_distribution() -> None:
    x = rng.normal((_N,), seed=13)
    assert x.dtype == np.float32 and np.isfinite(x).all()
    assert kolmogorov_distance(x, np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x.tolist()])) < _LIMIT
    pairs = x.reshape(-1, 2).astype(np.float64)
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / np.sqrt(len(pairs))


def test_argmax_of_logits_plus_gumbel_has_softmax_frequencies() -> None:
    logits = np.array([0.0, 1.0, -1.0, 2.0])
    wins = np.bincount((logits + rng.gumbel((_N, 4), seed=14)).argmax(1), minlength=4)
    p = np.exp(logits) / np.exp(logits).sum()
    chi2 = ((wins - _N * p) ** 2 / (_N * p)).sum()
    assert chi2 < 16.3  # 99.9 % point with three degrees of freedom


@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (0, 4)])
def test_shapes_are_filled_in_row_major_order(shape: tuple[int, ...]) -> None:
    for draw in (rng.uniform, rng.normal, rng.gumbel):
        got = draw(shape, seed=5)
        assert got.shape == shape and got.dtype == np.float32
        np.testing.assert_array_equal(got.reshape(-1), draw((got.size,), seed=5))
