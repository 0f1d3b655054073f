"""The random words: published known answers, and the same words from NumPy and from every instruction set."""

from types import ModuleType

import numpy as np
import pytest

from pose_rt.core import rng

# kat_vectors of Random123 (Salmon et al.): philox4x32, 10 rounds: counter, key, answer.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF, 0xFFFFFFFF), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_numpy_gives_the_published_answers(counter: tuple, key: tuple, answer: tuple) -> None:
    assert tuple(rng.philox4x32(np.array(counter, np.uint32), key)) == answer


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_kernels_give_the_published_answers(native: ModuleType, counter: tuple, key: tuple, answer: tuple) -> None:
    index, stream, frame, track = counter
    words = native.core().random_words(4 * index, 4, key[0] | key[1] << 32, frame, track, stream)
    assert tuple(words) == answer


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_the_one_counter_form_of_the_cuda_kernels_gives_the_published_answers(
    native: ModuleType, counter: tuple, key: tuple, answer: tuple
) -> None:
    assert native.core().philox_block(*counter, key[0] | key[1] << 32) == answer


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 31, 32, 33, 511, 512, 513, 5000])
def test_kernels_and_numpy_draw_the_same_words(native: ModuleType, n: int) -> None:
    address = {"seed": 2**64 - 3, "frame": 7, "track": 2**32 - 1, "stream": 3}
    expected = rng.random_u32(n + 9, **address)
    for first in (0, 1, 2, 3, 9):
        np.testing.assert_array_equal(native.core().random_words(first, n, *address.values()), expected[first : first + n])
