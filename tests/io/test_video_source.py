"""The video source: what comes out of good files, what is said about bad ones."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import os
import threading
import zlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose_rt.errors import InputError, PoseRtError, UsageError
from pose_rt.io.media import NS, Timeline, ns_to_ticks, ticks_to_ns
from pose_rt.io.sources.video import VideoSource
from tests.io.clips import quadrants, write_clip, write_tone

SHARED = Path(__file__).parents[3] / "shared"


def test_frames_come_in_order_with_exact_times_and_read_only(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", rate=Fraction(30000, 1001), frames=40, audio="aac")
    source = VideoSource(clip)
    info = source.info
    assert (info.width, info.height, info.fps, info.length, info.live, info.has_audio) == (64, 48, Fraction(30000, 1001), 40, False, True)
    frames = list(source)
    assert [f.index for f in frames] == list(range(40))
    assert [f.media_ns for f in frames] == [round(i * 1001 * NS / 30000) for i in range(40)]
    assert not frames[0].bgr.flags.writeable
    assert np.abs(frames[3].bgr.astype(int) - quadrants(3, 64, 48)).mean() < 4  # H.264 at its default quality
    assert source.notes == []
    assert list(source) == []


def test_variable_rate_is_kept(tmp_path: Path) -> None:
    pts = [0, 3000, 9001, 9500, 20000, 40000, 41000, 50000, 90000, 91234, 100000, 200000]
    clip = write_clip(tmp_path / "vfr.mp4", pts=pts, time_base=Fraction(1, 90000))
    assert [f.media_ns for f in VideoSource(clip)] == [round(p * NS / 90000) for p in pts]


@pytest.mark.parametrize(
    ("rotation", "mirrored", "white", "red"),
    [(0, False, (0, 0), (1, 0)), (90, False, (1, 0), (1, 1)), (-90, False, (0, 1), (0, 0)), (180, False, (1, 1), (0, 1)),
     (0, True, (0, 1), (1, 1)), (90, True, (1, 1), (1, 0))],
)  # fmt: skip
def test_rotation_metadata_turns_the_picture(
    tmp_path: Path, rotation: int, mirrored: bool, white: tuple[int, int], red: tuple[int, int]
) -> None:
    """The display matrix turns counter-clockwise by `rotation`, then mirrors; the quadrants end in these places (row, column)."""
    clip = write_clip(tmp_path / "r.mp4", rotation=rotation, mirrored=mirrored, frames=2)
    source = VideoSource(clip)
    image = next(iter(source)).bgr
    assert (source.info.width, source.info.height) == ((48, 64) if rotation % 180 else (64, 48)) == image.shape[1::-1]
    middle = [[image[(2 * r + 1) * image.shape[0] // 4, (2 * c + 1) * image.shape[1] // 4].astype(int) for c in range(2)] for r in range(2)]
    assert middle[white[0]][white[1]].min() > 200
    assert middle[red[0]][red[1]][2] > 200 > 100 > middle[red[0]][red[1]][0]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("odd.mkv", {"size": (63, 47), "pix_fmt": "yuv444p"}),
        ("ten.mkv", {"pix_fmt": "yuv420p10le"}),
        ("gray.mkv", {"codec": "ffv1", "pix_fmt": "gray"}),
        ("alpha.mov", {"codec": "png", "pix_fmt": "rgba"}),
        ("pixel.mov", {"codec": "png", "pix_fmt": "rgb24", "size": (1, 1), "picture": lambda i, w, h: np.full((h, w, 3), 200, np.uint8)}),
        ("full.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("anim.gif", {"codec": "gif", "pix_fmt": "rgb8", "rate": 10}),
        ("old.avi", {"codec": "mpeg4"}),
        ("web.webm", {"codec": "libvpx", "rate": 25}),
        ("cast.ts", {"rate": 25}),
    ],
)
def test_every_kind_of_picture_becomes_bgr(tmp_path: Path, name: str, options: dict) -> None:
    source = VideoSource(write_clip(tmp_path / name, **options))
    frames = list(source)
    width, height = options.get("size", (64, 48))
    assert len(frames) == 12
    assert all(f.bgr.shape == (height, width, 3) and f.bgr.flags.c_contiguous for f in frames)
    assert np.all(np.diff([f.media_ns for f in frames]) > 0)
    if width > 1 and name != "gray.mkv":
        assert frames[0].bgr[height // 4, width // 4].min() > 225 and frames[0].bgr[3 * height // 4, 3 * width // 4].max() < 30


@pytest.mark.skipif(not (SHARED / "parity/blazepose").is_dir(), reason="the golden vectors are not here")
@pytest.mark.parametrize("clip", ["sports2d_full_two_people", "sports2d_man_arms_on_block", "sports2d_woman_walking"])
def test_frames_equal_opencv_bit_for_bit(clip: str) -> None:
    wanted = np.load(SHARED / f"parity/blazepose/{clip}.npz", allow_pickle=False)["raw/frame_md5"][:8]
    frames = VideoSource(SHARED / f"videos/{clip}.mp4", max_frames=8)
    assert [hashlib.md5(np.ascontiguousarray(f.bgr[..., ::-1]).tobytes()).hexdigest() for f in frames] == wanted.tolist()


def test_start_duration_and_count(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", rate=25, frames=60, options={"g": "12"})
    source = VideoSource(clip, start_s=1.0, duration_s=0.4)
    frames = list(source)
    assert [f.media_ns for f in frames] == [NS + i * NS // 25 for i in range(10)]
    assert [f.index for f in frames] == list(range(10)) and source.info.length == 10
    assert np.array_equal(frames[0].bgr, list(VideoSource(clip))[25].bgr)
    assert len(list(VideoSource(clip, max_frames=7))) == 7 == VideoSource(clip, max_frames=7).info.length
    with pytest.raises(UsageError, match=r"ends before the start asked for, 50 s; choose a smaller --start"):
        VideoSource(clip, start_s=50)
    for bad in ({"start_s": -1.0}, {"duration_s": 0.0}, {"duration_s": float("nan")}, {"max_frames": 0}):
        with pytest.raises(UsageError, match="wanted a number"):
            VideoSource(clip, **bad)


def test_close_from_another_thread_ends_the_iteration_and_is_safe_twice(tmp_path: Path) -> None:
    source = VideoSource(write_clip(tmp_path / "a.mp4", frames=40))
    seen = 0
    for _ in source:
        seen += 1
        if seen == 3:
            thread = threading.Thread(target=source.close)
            thread.start()
            thread.join()
    source.close()
    assert seen == 3
    unread = VideoSource(tmp_path / "a.mp4")
    unread.close()
    unread.close()
    assert list(unread) == []


def test_a_file_that_is_played_again_and_again_leaves_no_picture_behind(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=6)
    gc.collect()
    gc.disable()  # nobody else tidies up
    try:
        for _ in range(3):
            with contextlib.closing(VideoSource(path)) as source:
                assert sum(1 for _ in source) == 6
        del source  # its decoder keeps an empty one
        assert not [o for o in gc.get_objects() if type(o).__name__ == "VideoFrame"]
    finally:
        gc.enable()


def test_truncated_file_gives_what_decodes_and_says_how_much(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=100, faststart=True, options={"qp": "10", "bf": "0"})
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 6 // 10])
    source = VideoSource(clip)
    count = len(list(source))
    assert 10 < count < 100
    assert source.notes[0].startswith(f"{count} of 100 frames (") and "truncated or damaged" in source.notes[0]


def test_resolution_change_keeps_the_first_size_and_is_noted(tmp_path: Path) -> None:
    """Two transport streams one after the other, as a broadcast that switches its size; the time stamps start again as well."""
    first = write_clip(tmp_path / "1.ts", rate=25, frames=10)
    second = write_clip(tmp_path / "2.ts", rate=25, frames=10, size=(128, 128))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    source = VideoSource(joined)
    frames = list(source)
    assert len(frames) == 20 and {f.bgr.shape for f in frames} == {(48, 64, 3)}
    assert np.all(np.diff([f.media_ns for f in frames]) > 0)
    assert "10 frames of another size were scaled to 64x48" in source.notes
    assert frames[-1].bgr[:, :6].max() < 30 and frames[-1].bgr[6, 14].min() > 200  # square in the middle, black beside it


def _png_of_size(width: int, height: int) -> bytes:
    """A tiny PNG whose header claims another size."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        container.mux(stream.encode(av.VideoFrame(16, 16, "rgb24")))
        container.mux(stream.encode(None))
    data = bytearray(buffer.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


BAD_INPUTS = [
    ("missing.mp4", None, UsageError, "does not exist, wanted a video file; check the path"),
    ("empty.mp4", b"", InputError, "is empty"),
    ("text.mp4", b"This is my diary, not a video.\n" * 40, InputError, "is not a video that FFmpeg can read"),
    ("text.txt", b"This is my diary, not a video.\n" * 40, InputError, "is not a video that FFmpeg can read"),
    ("noise.avi", bytes(range(256)) * 64, InputError, "is not a video that FFmpeg can read"),
    ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile.ts\n#EXT-X-ENDLIST\n", InputError, "is not a video"),
    ("list.ffconcat", b"ffconcat version 1.0\nfile 'good.mp4'\n", InputError, "is not a video"),
    ("bomb.png", _png_of_size(20000, 20000), InputError, "has no frame that decodes; .* scale pictures over 64 Mpx down"),
]


@pytest.mark.parametrize(("name", "content", "error", "sentence"), BAD_INPUTS, ids=[b[0] for b in BAD_INPUTS])
def test_bad_files_get_one_sentence_with_a_cure(
    tmp_path: Path, name: str, content: bytes | None, error: type[PoseRtError], sentence: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=sentence) as caught:
        VideoSource(path)
    assert caught.value.cure and "\n" not in str(caught.value)
    assert caught.value.exit_code == (2 if error is UsageError else 1)


def test_bad_kinds_of_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        VideoSource(tmp_path)
    with pytest.raises(UsageError, match="is an address"):
        VideoSource("http://127.0.0.1:9/a.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UsageError, match="is not a regular file"):
        VideoSource(tmp_path / "pipe.mp4")


def test_sound_alone_index_missing_and_sizes_over_the_limit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds sound but no video"):
        VideoSource(write_tone(tmp_path / "tone.m4a"))
    clip = write_clip(tmp_path / "cut.mp4", frames=60)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 3])
    with pytest.raises(InputError, match="MP4 without a readable index"):
        VideoSource(clip)
    black = lambda i, w, h: np.zeros((h, w, 3), np.uint8)  # noqa: E731
    wide = write_clip(tmp_path / "wide.mov", codec="png", pix_fmt="gray", size=(20000, 10), frames=1, picture=black)
    with pytest.raises(InputError, match=r"has pictures of 20000x10 px, wanted at most 16384 px a side and 64 Mpx"):
        VideoSource(wide)


def test_a_clip_without_frames(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=3, faststart=True)
    data = clip.read_bytes()
    start = data.index(b"mdat") + 4
    clip.write_bytes(data[:start] + bytes(len(data) - start))
    with pytest.raises(InputError, match="has no frame that decodes"):
        VideoSource(clip)


@given(st.lists(st.none() | st.integers(-(1 << 62), 1 << 62) | st.integers(-5, 300), min_size=1), st.sampled_from([1, 30, 1000, 90000]))
def test_time_always_increases_whatever_the_stamps_say(stamps: list[int | None], ticks: int) -> None:
    timeline = Timeline(Fraction(1, ticks), NS // 30, 0)
    media = [timeline(stamp) for stamp in stamps]
    assert media[0] >= 0 and all(b > a for a, b in pairwise(media))


def test_good_stamps_pass_unchanged_and_faults_cost_little() -> None:
    def media(stamps: list[int | None], dts: list[int | None] | None = None) -> list[int]:
        timeline = Timeline(Fraction(1, 1000), 40 * 10**6, 0)
        return [timeline(p, d) // 10**6 for p, d in zip(stamps, dts or [None] * len(stamps), strict=True)]

    assert media([0, 40, 95, 120]) == [0, 40, 95, 120]
    assert media([0, 40, None, 120]) == [0, 40, 80, 120]  # missing
    assert media([0, 40, 40, 120]) == [0, 40, 41, 120]  # repeated: one tick on
    assert media([5000, 5040, 0, 40]) == [5000, 5040, 5080, 5120]  # started again
    assert media([0, 40, 10**9, 10**9 + 40]) == [0, 40, 80, 120]  # a leap of eleven days
    assert media([0, 160, 80, 40, 120, 320], [0, 40, 80, 120, 160, 200])[3:] == [162, 163, 200]  # unordered: decoding stamps take over


@given(st.integers(0, 1 << 40), st.sampled_from([Fraction(1, 90000), Fraction(1, 15360), Fraction(1, 1000), Fraction(1001, 30000)]))
def test_ticks_survive_the_way_through_nanoseconds(ticks: int, base: Fraction) -> None:
    assert ns_to_ticks(ticks_to_ns(ticks, base), base) == ticks
