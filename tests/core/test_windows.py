"""Windows: every frame is covered, cutting and putting together are inverse, blending keeps what windows agree on."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose_rt.core.windows import chunk_starts, chunk_table, epoch_orders, overlap_blend, reassemble, take_windows, window_starts

LENGTHS, FRAMES = st.integers(1, 60), st.integers(1, 20)


def motion(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((length, 17, 3)).astype(np.float32)


@given(LENGTHS, FRAMES)
def test_reassembly_is_the_inverse_of_cutting(length: int, frames: int) -> None:
    sequence = motion(length)
    windows = take_windows(sequence, window_starts(length, frames), frames)
    assert len(windows) == -(-length // frames)
    np.testing.assert_array_equal(reassemble(windows, length), sequence)


def test_reassembly_of_a_short_sequence_and_the_published_defect() -> None:
    windows = take_windows(np.arange(5), window_starts(5, 9), 9)
    assert windows.tolist() == [[0, 1, 2, 3, 4, 4, 4, 4, 4]]
    assert reassemble(windows, 5).tolist() == [0, 1, 2, 3, 4]
    assert reassemble(windows, 5, tail_of_padded=True).tolist() == [4, 4, 4, 4, 4]
    with pytest.raises(ValueError, match="wanted 2"):
        reassemble(windows, 12)


@given(LENGTHS, FRAMES, st.data())
def test_window_starts_cover_every_frame(length: int, frames: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, frames))
    starts = window_starts(length, frames, stride)
    covered = np.unique(starts[:, None] + np.arange(frames))
    assert set(range(length)) <= set(covered.tolist())
    assert starts[0] == 0 and starts[-1] == max(length - frames, 0)
    assert (np.diff(starts) > 0).all() and (np.diff(starts) <= stride).all()


@pytest.mark.parametrize("stride", [0, 10, -1])
def test_a_stride_that_leaves_gaps_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match="stride"):
        window_starts(30, 9, stride)


@given(LENGTHS, FRAMES)
def test_chunks_share_the_excess_between_both_ends(length: int, frames: int) -> None:
    starts = chunk_starts(length, frames)
    before, after = -starts[0], starts[-1] + frames - length
    assert (np.diff(starts) == frames).all()
    assert 0 <= before <= after <= before + 1
    assert before + after < frames


def test_chunk_table_lists_plain_before_mirrored() -> None:
    assert chunk_table([9, 10], 9, mirror=True).tolist() == [
        [0, 0, 9, 0], [0, 0, 9, 1], [1, -4, 5, 0], [1, 5, 14, 0], [1, -4, 5, 1], [1, 5, 14, 1],
    ]  # fmt: skip
    assert chunk_table([9, 10], 9, mirror=False)[:, 3].sum() == 0
    assert chunk_table([], 9, mirror=True).shape == (0, 4)


def test_epoch_orders_are_permutations_that_repeat_with_the_seed() -> None:
    first, second = islice(epoch_orders(50), 2)
    again, _ = islice(epoch_orders(50), 2)
    assert sorted(first) == sorted(second) == list(range(50))
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)


def test_taking_windows_repeats_the_edges() -> None:
    assert take_windows(np.arange(4), np.array([-2, 2]), 5).tolist() == [[0, 0, 0, 1, 2], [2, 3, 3, 3, 3]]
    with pytest.raises(ValueError, match="at least one"):
        take_windows(np.zeros((0, 17, 2)), np.array([0]), 5)


@given(LENGTHS, FRAMES, st.data())
def test_windows_that_agree_are_reproduced_exactly(length: int, frames: int, data: st.DataObject) -> None:
    sequence = motion(length)
    starts = window_starts(length, frames, data.draw(st.integers(1, frames)))
    np.testing.assert_array_equal(overlap_blend(take_windows(sequence, starts, frames), starts, length), sequence)


@given(LENGTHS, st.integers(2, 20), st.data())
def test_blending_stays_between_the_windows_and_fades(length: int, frames: int, data: st.DataObject) -> None:
    starts = window_starts(length, frames, data.draw(st.integers(1, frames)))
    level = np.arange(1.0, len(starts) + 1)
    windows = np.broadcast_to(level[:, None, None], (len(starts), frames, 1)).astype(np.float32)
    blended = overlap_blend(windows, starts, length)[:, 0]
    assert (blended >= 1).all() and (blended <= len(starts)).all()
    assert (np.diff(blended) >= -1e-6).all()  # float32 of a quotient


def test_blending_two_windows_by_hand() -> None:
    windows = np.array([[[0.0]] * 4, [[12.0]] * 4], np.float32)
    assert overlap_blend(windows, np.array([0, 2]), 6)[:, 0].tolist() == [0, 0, 4, 8, 12, 12]


def test_blending_leaves_out_what_lies_outside_and_reports_gaps() -> None:
    windows = np.ones((2, 4, 2), np.float32)
    assert overlap_blend(windows, np.array([-2, 2]), 4).shape == (4, 2)
    with pytest.raises(ValueError, match=r"\[4\] of 9"):
        overlap_blend(windows, np.array([0, 5]), 9)
