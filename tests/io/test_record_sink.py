"""Recordings: whole after a crash, switched while they run, and kept when the disk is full."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pose_rt.core.types import Frame, Packet
from pose_rt.errors import OutputError, UsageError
from pose_rt.io.sinks.record import RecordSink
from pose_rt.stream import Control, SourceInfo

INFO = SourceInfo(64, 48, Fraction(30), True, None, None, "camera 0")
STEP = 33_333_333


def packet(index: int, size: tuple[int, int] = (64, 48)) -> Packet:
    image = np.full((size[1], size[0], 3), index % 200, np.uint8)
    return Packet(Frame(image, index, 5_000_000_000 + index * STEP, 0))


def frames_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def recorder(path: Path | None, control: Control, **options: bool) -> RecordSink:
    return RecordSink(path, INFO, lambda p: p.frame.bgr, control, **options)


def test_each_stretch_is_a_file_of_its_own_that_begins_at_zero(tmp_path: Path) -> None:
    control = Control(recording=True)
    sink = recorder(tmp_path / "out.mp4", control)
    for i in range(60):
        control.recording = not 20 <= i < 40
        sink.write(packet(i))
    sink.close()
    sink.close()
    assert [f.name for f in sink.files] == ["out.mp4", "out-2.mp4"]
    for file in sink.files:
        times = frames_of(file)
        assert len(times) == 20 and times[0] == 0 and abs(times[-1] - 19 / 30) < 0.002


def test_a_new_picture_size_begins_a_new_file(tmp_path: Path) -> None:
    sink = recorder(tmp_path / "out.mkv", Control(recording=True))
    for i in range(20):
        sink.write(packet(i, (64, 48) if i < 8 else (80, 60)))
    sink.close()
    assert [len(frames_of(f)) for f in sink.files] == [8, 12]


def test_off_writes_nothing(tmp_path: Path) -> None:
    sink = recorder(tmp_path / "out.mp4", Control())
    sink.write(packet(0))
    sink.close()
    assert list(tmp_path.iterdir()) == [] and sink.files == []


def test_without_a_name_the_date_is_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    control = Control(recording=True)
    for _ in range(2):  # within one second
        sink = recorder(None, control)
        sink.write(packet(0))
        sink.close()
    names = sorted(p.name for p in tmp_path.iterdir())
    assert len(names) == 2 and all(name.startswith("pose-rt-20") and name.endswith(".mp4") for name in names)


def test_existing_files_are_safe(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"mine")
    (tmp_path / "out-2.mp4").write_bytes(b"mine too")
    control = Control(recording=True)
    with pytest.raises(OutputError, match="exists already; add --overwrite"):
        recorder(tmp_path / "out.mp4", control)
    sink = recorder(tmp_path / "out.mp4", control, overwrite=True)
    for on in (True, False, True):
        control.recording = on
        sink.write(packet(0))
    sink.close()
    assert [f.name for f in sink.files] == ["out.mp4", "out-3.mp4"] and (tmp_path / "out-2.mp4").read_bytes() == b"mine too"
    with pytest.raises(UsageError, match=r"ends in '.avi'"):
        recorder(tmp_path / "out.avi", control)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_killed_process_leaves_a_playable_file(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from pathlib import Path
        from tests.io.test_record_sink import packet, recorder
        from pose_rt.stream import Control
        sink = recorder(Path({str(out)!r}), Control(recording=True))
        for i in range(100):
            sink.write(packet(i))
        print("written", flush=True)
        import time
        time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    times = frames_of(out)
    assert len(times) >= 60 and times == sorted(times)  # all but the last second or so of 100 frames


def test_a_full_disk_is_one_sentence_and_the_recording_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = recorder(tmp_path / "out.mp4", Control(recording=True))
    for i in range(90):
        sink.write(packet(i))

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sink._current, "_mux", full)
    with pytest.raises(OutputError, match=r"no space left on the disk; free some space .*; kept: '.*out.mp4'"):
        sink.write(packet(90))
    sink.close()
    assert len(frames_of(tmp_path / "out.mp4")) >= 60


def test_frames_with_a_hole_keep_their_times(tmp_path: Path) -> None:
    sink = recorder(tmp_path / "out.mp4", Control(recording=True))
    for index in (0, 1, 90, 91):
        sink.write(replace(packet(index)))
    sink.close()
    times = frames_of(tmp_path / "out.mp4")
    assert len(times) == 4 and abs(times[2] - 3.0) < 0.002
