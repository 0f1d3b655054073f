"""Counter-based random numbers: Philox4x32-10, addressed by (seed, frame, track, stream).

A number depends on its address alone, so a dropped frame, a re-run or another thread count never changes a result, and NumPy,
C++ and CUDA draw the same. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import numpy as np

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)

# One stream an independent use, so that two uses of one (seed, frame, track) never share numbers.
STREAM_GUMBEL, STREAM_KERNEL, STREAM_LIFT, STREAM_FORECAST_GUMBEL, STREAM_FORECAST_EPS, STREAM_PRIOR = range(6)


def philox4x32(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Ten rounds of Philox4x32.

    Args:
        counter: (..., 4) uint32.
        key: two 32-bit words.

    Returns:
        (..., 4) uint32.
    """
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0), p1 & _MASK, (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1), p0 & _MASK
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], -1).astype(np.uint32)


def random_u32(n: int, *, seed: int, frame: int = 0, track: int = 0, stream: int = 0) -> np.ndarray:
    """(n,) uint32. Word i comes from lane ``i % 4`` of counter ``(i // 4, stream, frame, track)`` under the key `seed` (64 bits).

    Raises:
        ValueError: a seed outside [0, 2**64) or another address word outside [0, 2**32).
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed: got {seed}, wanted a whole number in [0, 2**64)")
    for name, word in (("frame", frame), ("track", track), ("stream", stream)):
        if not 0 <= word < 2**32:
            raise ValueError(f"{name}: got {word}, wanted a whole number in [0, 2**32)")
    counter = np.empty(((n + 3) // 4, 4), np.uint32)
    counter[:, 0] = np.arange(len(counter), dtype=np.uint32)
    counter[:, 1], counter[:, 2], counter[:, 3] = stream, frame, track
    return philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32)).reshape(-1)[:n]


def to_uniform(u32: np.ndarray) -> np.ndarray:
    """uint32 -> float32 in the open interval (0, 1): ``((u >> 9) + 0.5) / 2**23``, exact in float32."""
    return ((u32 >> np.uint32(9)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)


def uniform(shape: tuple[int, ...], *, seed: int, frame: int = 0, track: int = 0, stream: int = 0) -> np.ndarray:
    """float32 uniforms on (0, 1) of the given shape, filled in row-major order."""
    n = int(np.prod(shape, dtype=np.int64))
    return to_uniform(random_u32(n, seed=seed, frame=frame, track=track, stream=stream)).reshape(shape)


def gumbel(shape: tuple[int, ...], *, seed: int, frame: int = 0, track: int = 0, stream: int = STREAM_GUMBEL) -> np.ndarray:
    """float32 standard Gumbel draws, ``-log(-log u)``."""
    u = uniform(shape, seed=seed, frame=frame, track=track, stream=stream)
    return -np.log(-np.log(u))


def normal(shape: tuple[int, ...], *, seed: int, frame: int = 0, track: int = 0, stream: int = 0) -> np.ndarray:
    """float32 standard normal draws by Box-Muller: words (2i, 2i+1) give draws 2i (cosine) and 2i+1 (sine)."""
    n = int(np.prod(shape, dtype=np.int64))
    u = uniform((n + n % 2,), seed=seed, frame=frame, track=track, stream=stream)
    radius = np.sqrt(np.float32(-2.0) * np.log(u[0::2]))
    angle = np.float32(2.0 * np.pi) * u[1::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(-1)[:n].reshape(shape)
