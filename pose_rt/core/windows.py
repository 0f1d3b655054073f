"""Sequences cut into windows of a fixed length, and put together again.

Time is axis 0 of a sequence (T, ...) and axis 1 of its windows (n, F, ...). A window may start before a sequence or end after it;
frames outside repeat the nearest frame.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def take_windows(sequence: np.ndarray, starts: np.ndarray, frames: int) -> np.ndarray:
    """(T, ...) -> (n, `frames`, ...): the windows at `starts` (n,), edges repeated."""
    if len(sequence) == 0:
        raise ValueError("sequence: got no frames, wanted at least one")
    index = np.asarray(starts)[:, None] + np.arange(frames)
    return sequence[np.clip(index, 0, len(sequence) - 1)]


def chunk_starts(length: int, frames: int) -> np.ndarray:
    """Training chunks: ceil(length / frames) in a row, the excess shared by both ends (its smaller half before); (n,) int64."""
    n = -(-length // frames)
    return np.arange(n) * frames - (n * frames - length) // 2


def chunk_table(lengths: list[int], frames: int, mirror: bool) -> np.ndarray:
    """The chunks of all sequences, (n, 4) int64: sequence, start, end, mirrored. A sequence's mirrored chunks follow its plain ones."""
    rows: list[tuple[int, int, int, int]] = []
    for sequence, length in enumerate(lengths):
        starts = chunk_starts(length, frames).tolist()
        rows += [(sequence, s, s + frames, flip) for flip in range(2 if mirror else 1) for s in starts]
    return np.array(rows, np.int64).reshape(-1, 4)


def epoch_orders(n: int, seed: int = 1234) -> Iterator[np.ndarray]:
    """Endless permutations of n chunks, one an epoch, from one stream: the published recipe's order."""
    generator = np.random.RandomState(seed)  # this legacy stream defines the published order
    while True:
        yield generator.permutation(n)


def window_starts(length: int, frames: int, stride: int | None = None) -> np.ndarray:
    """Windows that cover a sequence: multiples of `stride` (None = `frames`), the last one ends with the sequence; (n,) int64.

    A sequence shorter than a window has one window, at 0, filled up by its last frame.

    Raises:
        ValueError: a stride outside [1, frames], which would leave frames without a window.
    """
    stride = frames if stride is None else stride
    if not 1 <= stride <= frames:
        raise ValueError(f"stride: got {stride}, wanted 1 to {frames} (the window's length)")
    last = max(length - frames, 0)
    return np.append(np.arange(0, last, stride), last)


def reassemble(windows: np.ndarray, length: int, *, tail_of_padded: bool = False) -> np.ndarray:
    """The inverse of `take_windows` at ``window_starts(length, F)``; where the last two windows overlap, the earlier one counts.

    Args:
        windows: (n, F, ...).
        length: T.
        tail_of_padded: the reference's defect: a sequence shorter than a window takes the last T frames of the filled-up window
            instead of the first.

    Returns:
        (T, ...).
    """
    n, frames = windows.shape[:2]
    if n != -(-length // frames):
        raise ValueError(f"windows: got {n} of {frames} frames, wanted {-(-length // frames)} for {length} frames")
    if length < frames:
        return windows[0, frames - length :] if tail_of_padded else windows[0, :length]
    head = windows[:-1].reshape((n - 1) * frames, *windows.shape[2:])
    return np.concatenate([head, windows[-1, frames - (length - len(head)) :]])


def overlap_blend(windows: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Blend overlapping windows: a frame weighs ``min(i + 1, F - i)`` at place i of a window, so that windows fade in and out.

    The weights are whole numbers and the sums float64: windows that agree are reproduced exactly.

    Args:
        windows: (n, F, ...) float32.
        starts: (n,) first frame of each window; parts outside [0, length) are left out.
        length: T.

    Returns:
        (T, ...) of the windows' dtype.

    Raises:
        ValueError: frames that no window covers.
    """
    frames = windows.shape[1]
    place = np.arange(frames)
    weight = np.minimum(place + 1, frames - place).astype(np.float64).reshape(-1, *([1] * (windows.ndim - 2)))
    total = np.zeros((length, *windows.shape[2:]), np.float64)
    mass = np.zeros((length, *([1] * (windows.ndim - 2))))
    for window, start in zip(windows, starts, strict=True):
        first, end = max(int(start), 0), min(int(start) + frames, length)
        if first < end:
            inside = slice(first - int(start), end - int(start))
            total[first:end] += window[inside] * weight[inside]
            mass[first:end] += weight[inside]
    if (mass == 0).any():
        raise ValueError(f"starts: frames {np.flatnonzero(mass.reshape(length) == 0).tolist()[:8]} of {length} lie in no window")
    return (total / mass).astype(windows.dtype)
