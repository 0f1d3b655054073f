"""Orthonormal discrete cosine transform of motions along time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=16)
def dct_matrix(length: int) -> np.ndarray:
    """The orthonormal DCT-II matrix: ``D[k, i] = w_k cos(pi k (i + 1/2) / T)``, ``w_0 = sqrt(1/T)``, other ``w_k = sqrt(2/T)``.

    Args:
        length: T, the number of frames.

    Returns:
        (T, T) float64, read-only; row k is the k-th cosine.
    """
    if length < 1:
        raise ValueError(f"length: got {length}, wanted at least one frame")
    k, i = np.arange(length)[:, None], np.arange(length)[None, :]
    matrix = np.sqrt(2.0 / length) * np.cos(np.pi * k * (i + 0.5) / length)
    matrix[0] = np.sqrt(1.0 / length)
    matrix.setflags(write=False)
    return matrix


@lru_cache(maxsize=16)
def idct_matrix(length: int) -> np.ndarray:
    """The numerical inverse of `dct_matrix`, (T, T) float64, read-only; it differs from the transpose by rounding only."""
    matrix = np.linalg.inv(dct_matrix(length))
    matrix.setflags(write=False)
    return matrix


def dct(x: np.ndarray, coefficients: int) -> np.ndarray:
    """The first `coefficients` DCT coefficients of `x` (..., T) along its last axis: (..., coefficients), in the dtype of `x`."""
    if not 1 <= coefficients <= x.shape[-1]:
        raise ValueError(f"coefficients: got {coefficients}, wanted 1..{x.shape[-1]} for {x.shape[-1]} frames")
    return x @ dct_matrix(x.shape[-1])[:coefficients].T.astype(x.dtype)


def idct(c: np.ndarray, length: int) -> np.ndarray:
    """All `length` frames from the leading coefficients `c` (..., N), N <= length; the missing ones count as zero."""
    if c.shape[-1] > length:
        raise ValueError(f"c: got {c.shape[-1]} coefficients, wanted at most {length} for {length} frames")
    return c @ idct_matrix(length)[:, : c.shape[-1]].T.astype(c.dtype)


def pad_last(x: np.ndarray, frames: int) -> np.ndarray:
    """`x` (..., T) followed by its last frame repeated `frames` times: (..., T + frames)."""
    return np.concatenate([x, np.repeat(x[..., -1:], frames, axis=-1)], axis=-1)
