"""The video sink: exact time stamps, colours and sound of the source; whole files or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pose_rt.core.skeleton import BLAZEPOSE33
from pose_rt.core.types import Frame, Packet
from pose_rt.errors import OutputError, PoseRtError, UsageError
from pose_rt.io.results import read_jsonl
from pose_rt.io.sinks import JsonlSink, RunInfo
from pose_rt.io.sinks.video import VideoSink, output_time_base
from pose_rt.io.sources.synthetic import SyntheticSource
from pose_rt.io.sources.video import VideoSource
from pose_rt.stream import each, run
from tests.io.clips import packets, times, write_clip


def plain(packet: Packet) -> np.ndarray:
    return packet.frame.bgr


def copy(clip: Path, out: Path, **limits: float) -> VideoSink:
    """The way of a run: source, pipeline that does nothing, sink."""
    source = VideoSource(clip, **limits)  # type: ignore[arg-type]
    sink = VideoSink(out, source.info, plain, audio_from=clip)
    run(source, each(lambda packet: packet), sink)
    return sink


def write_synthetic(path: Path, frames: int = 5, **options: object) -> VideoSink:
    source = SyntheticSource(64, 48, frames=frames)
    sink = VideoSink(path, source.info, plain, **options)  # type: ignore[arg-type]
    for frame in source:
        sink.write(Packet(frame))
    return sink


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25), Fraction(60), Fraction(10)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_constant_rate_stays_exact(tmp_path: Path, rate: Fraction, suffix: str) -> None:
    clip = write_clip(tmp_path / f"in{suffix}", rate=rate, frames=31)
    sink = copy(clip, tmp_path / "out.mp4")
    assert sink.frames == 31 and sink.notes == []
    assert times(tmp_path / "out.mp4") == [Fraction(i) / rate for i in range(31)]
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == rate and stream.frames == 31
        assert (stream.codec_context.name, stream.codec_context.pix_fmt, stream.codec_context.profile) == ("h264", "yuv420p", "High")


def test_variable_rate_stays_exact(tmp_path: Path) -> None:
    pts = [0, 3000, 9001, 9500, 20000, 40000, 41000, 50000, 90000, 91234, 100000, 200000]
    copy(write_clip(tmp_path / "in.mp4", pts=pts, time_base=Fraction(1, 90000)), tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == [Fraction(p, 90000) for p in pts]


def test_variable_rate_in_milliseconds_moves_by_half_a_millisecond_at_most(tmp_path: Path) -> None:
    pts = [0, 33, 67, 100, 115, 231, 300, 500, 533, 600, 967, 1000]
    copy(write_clip(tmp_path / "in.mkv", pts=pts, time_base=Fraction(1, 1000)), tmp_path / "out.mp4")
    assert max(abs(t - Fraction(p, 1000)) for t, p in zip(times(tmp_path / "out.mp4"), pts, strict=True)) <= Fraction(1, 2000)


def test_output_ticks_divide_the_frame_and_the_source_tick() -> None:
    info = SyntheticSource(2, 2, frames=1).info
    cases = [(Fraction(30000, 1001), Fraction(1, 1000)), (Fraction(30), Fraction(1, 15360)), (Fraction(25), Fraction(1, 25))]
    for fps, base in cases:
        ticks = output_time_base(replace(info, fps=fps, time_base=base))
        assert (1 / fps / ticks).denominator == 1 and (base / ticks).denominator == 1 and ticks <= Fraction(1, 10_000)


@pytest.mark.parametrize(
    ("source", "encoder", "target"),
    [("in.mp4", "aac", "out.mp4"), ("in.mkv", "ac3", "out.mp4"), ("in.webm", "libopus", "out.mp4"), ("in.mov", "pcm_s16le", "out.mkv")],
)
def test_sound_is_copied_packet_by_packet(tmp_path: Path, source: str, encoder: str, target: str) -> None:
    codec = "libvpx" if source.endswith("webm") else "libx264"
    clip = write_clip(tmp_path / source, frames=40, rate=25, audio=encoder, codec=codec)
    sink = copy(clip, tmp_path / target)
    before, after = packets(clip, "audio"), packets(tmp_path / target, "audio")
    assert sink.notes == [] and len(before) > 40
    assert [data for _, data in after] == [data for _, data in before]
    assert max(abs(a - b) for (a, _), (b, _) in zip(after, before, strict=True)) < Fraction(1, 1000)


def test_sound_of_a_transport_stream_keeps_its_distance_to_the_picture(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.ts", frames=40, rate=25, audio="aac")
    copy(clip, tmp_path / "out.mp4")
    before, after = packets(clip, "audio"), packets(tmp_path / "out.mp4", "audio")
    assert len(after) == len(before)
    wanted = before[0][0] - times(clip)[0]
    assert wanted < 0  # the picture starts late, by a time that is no whole number of milliseconds
    assert max(abs(b - a - before[0][0]) for a, b in zip(times(tmp_path / "out.mp4"), times(clip), strict=True)) < Fraction(1, 10_000)
    assert abs(after[0][0] - times(tmp_path / "out.mp4")[0] - wanted) < Fraction(1, 1000)


def test_sound_follows_the_limits(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", frames=75, rate=25, audio="aac")
    copy(clip, tmp_path / "out.mp4", start_s=1.0, duration_s=1.0)
    assert times(tmp_path / "out.mp4") == [Fraction(i, 25) for i in range(25)]
    sound = packets(tmp_path / "out.mp4", "audio")
    assert 0 <= sound[0][0] < Fraction(3, 100) and Fraction(95, 100) < sound[-1][0] < 1
    by_bytes = {data: time for time, data in packets(clip, "audio")}
    assert all(abs(by_bytes[data] - 1 - time) < Fraction(1, 1000) for time, data in sound)


def test_sound_the_container_does_not_take_is_left_out_and_said(tmp_path: Path) -> None:
    sink = copy(write_clip(tmp_path / "in.mov", audio="pcm_s16le"), tmp_path / "out.mp4")
    assert packets(tmp_path / "out.mp4", "audio") == []
    assert len(sink.notes) == 1 and "pcm_s16le" in sink.notes[0] and ".mkv" in sink.notes[0]


def test_colours_and_their_tags_pass_through(tmp_path: Path) -> None:
    """A nearly lossless copy of a BT.709 video has the same Y, Cb, Cr within the rounding of the way over 8-bit BGR."""
    tags = {"colorprim": "bt709", "transfer": "bt709", "colormatrix": "bt709"}
    clip = write_clip(tmp_path / "in.mp4", frames=3, options={"x264-params": ":".join(f"{k}={v}" for k, v in tags.items())})
    source = VideoSource(clip)
    sink = VideoSink(tmp_path / "out.mp4", source.info, plain, crf=1)
    run(source, each(lambda packet: packet), sink)
    with av.open(str(clip)) as a, av.open(str(tmp_path / "out.mp4")) as b:
        for before, after in zip(a.decode(video=0), b.decode(video=0), strict=True):
            assert (before.colorspace, before.color_primaries, before.color_trc) == (
                after.colorspace,
                after.color_primaries,
                after.color_trc,
            )
            error = np.abs(before.to_ndarray().astype(int) - after.to_ndarray())
            assert error.mean() < 1.0


def test_odd_sizes_grow_by_one_pixel_and_a_single_pixel_works(tmp_path: Path) -> None:
    image = np.arange(47 * 63 * 3, dtype=np.uint32).reshape(47, 63, 3).astype(np.uint8)
    for size, picture in (((64, 48), image), ((2, 2), np.full((1, 1, 3), 77, np.uint8))):
        path = tmp_path / f"{size[0]}.mp4"
        sink = VideoSink(path, SyntheticSource(2, 2).info, lambda _, picture=picture: picture)
        for frame in SyntheticSource(2, 2, frames=3):
            sink.write(Packet(frame))
        sink.close()
        info = VideoSource(path).info
        assert (info.width, info.height, info.length) == (*size, 3)


def test_the_index_stands_before_the_pictures(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "out.mp4").close()
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_the_file_appears_whole_at_close(tmp_path: Path) -> None:
    sink = write_synthetic(tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists() and len(list(tmp_path.iterdir())) == 1
    sink.close()
    sink.close()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "out.mp4").stat().st_mode & 0o777 == 0o666 & ~mask
    with pytest.raises(ValueError, match="closed"):
        sink.write(Packet(Frame(np.zeros((48, 64, 3), np.uint8), 0, 0, 0)))


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    VideoSink(tmp_path / "out.mp4", SyntheticSource().info, plain).close()
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", frames=2)
    info = VideoSource(clip).info
    (tmp_path / "there.mp4").write_bytes(b"precious")
    os.link(clip, tmp_path / "link.mp4")
    os.symlink(clip, tmp_path / "symlink.mp4")
    cases: list[tuple[str, type[PoseRtError], str, bool]] = [
        ("there.mp4", OutputError, "exists already; add --overwrite", False),
        ("in.mp4", UsageError, "is the input itself", True),
        ("link.mp4", UsageError, "is the input itself", True),
        ("symlink.mp4", UsageError, "is the input itself", True),
        ("none/out.mp4", UsageError, "does not exist; make it with `mkdir -p", False),
        ("out.avi", UsageError, r"ends in '.avi', wanted .mp4 or", False),
        ("", UsageError, "is a directory", False),
    ]
    for name, error, sentence, overwrite in cases:
        with pytest.raises(error, match=sentence):
            VideoSink(tmp_path / name, info, plain, overwrite=overwrite)
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        VideoSink(tmp_path / "out.mp4", SyntheticSource().info, plain)


@pytest.mark.parametrize("kind", ["video", "jsonl", "npz"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(tmp_path: Path, kind: str) -> None:
    """A limit on the size of files stands in for the full disk: the same system calls fail."""
    script = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        from pose_rt.core.skeleton import BLAZEPOSE33
        from pose_rt.core.types import Keypoints2D, Packet
        from pose_rt.errors import OutputError
        from pose_rt.io.sinks import JsonlSink, NpzSink, RunInfo
        from pose_rt.io.sinks.video import VideoSink
        from pose_rt.io.sources.synthetic import SyntheticSource

        source = SyntheticSource(160, 120, frames=200)
        kind, path = sys.argv[1], Path(sys.argv[2])
        info = RunInfo("x", source.info.fps, 160, 120, BLAZEPOSE33)
        noise = np.random.default_rng(0)
        sink = {"video": lambda: VideoSink(path, source.info, lambda p: noise.integers(0, 255, (120, 160, 3), np.uint8)),
                "jsonl": lambda: JsonlSink(path, info), "npz": lambda: NpzSink(path, info)}[kind]()
        keypoints = Keypoints2D(np.ones((1, 33, 2), np.float32), np.ones((1, 33), np.float32), None, np.ones((1, 4), np.float32),
                                np.zeros(1, np.int64), BLAZEPOSE33)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        try:
            for frame in source:
                sink.write(Packet(frame, keypoints=keypoints))
            sink.close()
        except OutputError as error:
            sink.close()
            print(error)
    """)
    name = {"video": "out.mp4", "jsonl": "out.jsonl", "npz": "out.npz"}[kind]
    done = subprocess.run([sys.executable, "-c", script, kind, str(tmp_path / name)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "cannot be written: the file grew too large; free some space" in done.stdout
    left = list(tmp_path.iterdir())
    if kind == "jsonl":
        assert left == [tmp_path / name] and left[0].read_bytes().endswith(b"\n")  # whole lines are kept
    else:
        assert left == []


def test_ctrl_c_leaves_a_video_and_lines_of_the_same_frames(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", frames=300, audio="aac")
    source = VideoSource(clip)

    def press(packet: Packet) -> Packet:
        if packet.frame.index == 40:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.001)
        return packet

    video = VideoSink(tmp_path / "out.mp4", source.info, plain, audio_from=clip)
    lines = JsonlSink(tmp_path / "out.jsonl", RunInfo(str(clip), source.info.fps, 64, 48, BLAZEPOSE33))
    report = run(source, each(press), [video, lines])
    assert report.interrupted and 40 < report.written < 300
    assert len(times(tmp_path / "out.mp4")) == len(list(VideoSource(tmp_path / "out.mp4"))) == report.written
    assert len(read_jsonl(tmp_path / "out.jsonl").frames) == report.written
    sound = packets(tmp_path / "out.mp4", "audio")
    assert abs(sound[-1][0] - times(tmp_path / "out.mp4")[-1]) < Fraction(1, 15)  # the sound ends with the picture


def test_a_failing_picture_keeps_what_was_written(tmp_path: Path) -> None:
    def draw(packet: Packet) -> np.ndarray:
        if packet.frame.index == 4:
            raise ZeroDivisionError
        return packet.frame.bgr

    sink = VideoSink(tmp_path / "out.mp4", SyntheticSource(64, 48).info, draw)
    with pytest.raises(ZeroDivisionError):
        run(SyntheticSource(64, 48), each(lambda packet: packet), sink)
    assert len(list(VideoSource(tmp_path / "out.mp4"))) == 4
