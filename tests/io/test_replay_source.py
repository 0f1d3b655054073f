"""Files and folders of images played as if they were cameras."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from pose_rt.core.types import Frame
from pose_rt.errors import InputError, UsageError
from pose_rt.io.sources import SyntheticSource
from pose_rt.io.sources.images import ImageSource
from pose_rt.io.sources.open import LiveWish, open_file, open_live
from pose_rt.io.sources.replay import ReplaySource

from .clips import write_clip


def synthetic(frames: int = 6, fps: int = 50) -> SyntheticSource:
    return SyntheticSource(32, 24, Fraction(fps), frames)


def test_frames_are_handed_out_when_due_and_stamped_with_that_moment() -> None:
    source = ReplaySource(synthetic)
    assert source.info.live and source.info.length == 6 and source.info.fps == 50
    stamps = []
    for frame in source:
        assert time.monotonic_ns() >= frame.captured_ns  # never before it is due
        stamps.append((frame.index, frame.media_ns, frame.captured_ns))
    assert [(i, m) for i, m, _ in stamps] == [(i, i * 20_000_000) for i in range(6)]
    assert {c - m for _, m, c in stamps} == {stamps[0][2]}  # stamps lie on the clock of the medium exactly


def test_a_loop_goes_on_in_time_and_number() -> None:
    source = ReplaySource(synthetic, loop=True)
    assert source.info.length is None and source.info.duration_s is None
    seen = []
    for frame in source:
        seen.append(frame)
        if len(seen) == 15:
            source.close()
    assert [f.index for f in seen] == list(range(15))
    assert all(b.media_ns > a.media_ns and b.captured_ns > a.captured_ns for a, b in pairwise(seen))
    assert np.array_equal(seen[0].bgr, seen[6].bgr) and not np.array_equal(seen[0].bgr, seen[3].bgr)


def test_another_rate_than_the_files() -> None:
    frames = list(ReplaySource(synthetic, fps=Fraction(200)))
    assert [f.media_ns for f in frames] == [i * 5_000_000 for i in range(6)]


def test_painting_changes_frames_before_they_are_due() -> None:
    seen: list[tuple[int, int]] = []

    def paint(frame: Frame) -> Frame:
        seen.append((frame.captured_ns, time.monotonic_ns()))
        return replace(frame, bgr=np.full_like(frame.bgr, 7))

    frames = list(ReplaySource(synthetic, paint=paint))
    assert all((frame.bgr == 7).all() for frame in frames)
    assert [due for due, _ in seen] == [frame.captured_ns for frame in frames]
    assert sum(painted < due for due, painted in seen) >= 3


def test_a_file_too_slow_to_decode_stutters_instead_of_growing_old(monkeypatch: pytest.MonkeyPatch) -> None:
    from pose_rt.io.sources import replay

    monkeypatch.setattr(replay, "_LATE_NS", 40_000_000)

    class Slow(SyntheticSource):
        def picture(self, index: int) -> np.ndarray:
            time.sleep(0.06)
            return super().picture(index)

    source = ReplaySource(lambda: Slow(32, 24, Fraction(100), 12))
    ages = [time.monotonic_ns() - frame.captured_ns for frame in source]
    assert max(ages) < 10 * 60_000_000 and "too slow for real time" in source.notes[0]


def test_close_ends_a_wait() -> None:
    source = ReplaySource(lambda: SyntheticSource(32, 24, Fraction(1, 100), 5))
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []
    source.close()


def test_live_files_need_realtime(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=3)
    with pytest.raises(UsageError, match=r"is a file, wanted a camera; play it as one: .*--realtime"):
        open_live(str(clip), LiveWish())
    with pytest.raises(UsageError, match="does not exist"):
        open_live(str(tmp_path / "none.mp4"), LiveWish(realtime=True))
    with pytest.raises(UsageError, match="--width and --height are for cameras"):
        open_live(str(clip), LiveWish(realtime=True, width=640))
    with pytest.raises(UsageError, match="is live anyway"):
        open_live("0", LiveWish(realtime=True))
    source = open_live(str(clip), LiveWish(realtime=True, fps=100))
    assert len(list(source)) == 3 and source.info.fps == 100


def write_images(folder: Path, names: list[str], size: tuple[int, int] = (40, 30)) -> None:
    for value, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((size[1], size[0], 3), 20 * value, np.uint8))


def test_images_come_in_natural_order_at_the_rate_asked_for(tmp_path: Path) -> None:
    write_images(tmp_path, ["a2.png", "a10.png", "a1.png"])
    (tmp_path / "notes.txt").write_text("no image")
    source = open_file(str(tmp_path), fps=10)
    frames = list(source)
    assert [int(f.bgr[0, 0, 0]) for f in frames] == [40, 0, 20] and [f.media_ns for f in frames] == [0, 100_000_000, 200_000_000]
    assert source.info.length == 3 and not source.info.live and source.notes == []
    assert len(list(open_file(str(tmp_path / "a1*.png")))) == 2


def test_images_of_another_size_or_broken_are_told(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png", "3.png"])
    write_images(tmp_path, ["4.png"], size=(80, 80))
    (tmp_path / "2.png").write_bytes(b"\x89PNG broken")
    source = ImageSource(tmp_path)
    frames = list(source)
    assert [f.index for f in frames] == [0, 2, 3] and {(f.width, f.height) for f in frames} == {(40, 30)}
    assert source.notes == ["1 images could not be read and were left out", "1 images of another size were scaled to 40x30"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no image"):
        ImageSource(tmp_path)
    (tmp_path / "x.png").write_bytes(b"no")
    with pytest.raises(InputError, match="none of the 1 images"):
        ImageSource(tmp_path)
    with pytest.raises(UsageError, match="are for videos"):
        open_file(str(tmp_path), max_frames=1)
