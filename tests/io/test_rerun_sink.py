"""Recordings for the Rerun viewer: written, verified and read back by Rerun's own tools."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose_rt.core.types import COMPLETED, Packet, Span
from pose_rt.errors import OutputError, UsageError
from pose_rt.io.draw import Style
from pose_rt.io.sinks.rerun import RerunSink
from tests.io.packets import make_packet

pytest.importorskip("rerun", reason="rerun-sdk is not installed (pip install 'pose-rt[viewer]')")


def at(packet: Packet, index: int) -> Packet:
    frame = replace(packet.frame, index=index, media_ns=index * 40_000_000)
    return replace(packet, frame=frame, spans=(Span("pose2d", 0, 9_000_000),), dropped=index)


def rrd(command: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "rerun", "rrd", command, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(path: Path) -> dict[str, int]:
    """How many rows each entity has, as `rerun rrd print` tells."""
    found: dict[str, int] = {}
    for count, entity in re.findall(r"with (\d+) rows[^\n]* - (/\S+)", rrd("print", str(path))):
        found[entity] = found.get(entity, 0) + int(count)
    return found


def test_a_recording_is_whole_and_holds_everything(tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    sink = RerunSink(path)
    for index in range(4):
        sink.write(at(make_packet(people=2), index))
        assert not path.exists()
    sink.close()
    sink.close()
    rrd("verify", str(path))
    assert list(tmp_path.iterdir()) == [path] and sink.frames == 4
    found = rows(path)
    assert found["/world/camera/image"] == 4 + 1  # the pictures and the camera itself
    for track in (0, 1):
        for part in ("pose/bones", "pose/joints", "sigma", "hypotheses", "futures/paths", "futures/ghosts"):
            assert found[f"/world/person/{track}/{part}"] == 4, part
        for part in ("bones", "joints", "box"):
            assert found[f"/world/camera/image/person/{track}/{part}"] == 4, part
    for name in ("latency/capture-to-result", "latency/look-ahead", "stages/pose2d", "drops/dropped"):
        assert found[f"/{name}"] == 4
    stats = rrd("stats", str(path))
    assert "\nframe: " in stats and "\nmedia_time: " in stats


def test_who_leaves_the_view_is_cleared(tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    sink = RerunSink(path)
    for index, people in enumerate((2, 1, 1, 0)):
        sink.write(at(make_packet(people=people), index))
    sink.close()
    found = rows(path)
    # Seen once and cleared once; seen three times and cleared once.
    assert found["/world/person/1/pose/bones"] == 2 and found["/world/person/0/pose/bones"] == 4


def test_values_that_are_not_known_are_left_out(tmp_path: Path) -> None:
    packet = make_packet()
    assert packet.keypoints is not None and packet.pose is not None and packet.forecast is not None
    broken = packet.pose.joints_m.copy()
    broken[0, 5] = np.nan
    provenance = np.full((1, 17), COMPLETED, np.uint8)
    pose = replace(packet.pose, joints_m=broken, root_m=None, provenance=provenance, sigma_m=np.zeros((1, 17), np.float32))
    path = tmp_path / "out.rrd"
    sink = RerunSink(path)
    sink.write(at(replace(packet, pose=pose), 0))
    sink.write(at(replace(packet, forecast=None), 1))
    sink.write(at(Packet(packet.frame), 2))
    nothing = replace(packet.keypoints, xy_px=np.full_like(packet.keypoints.xy_px, np.nan), box_px=np.full((1, 4), np.nan, np.float32))
    sink.write(at(Packet(packet.frame, keypoints=nothing), 3))
    sink.write(at(Packet(replace(packet.frame, gap_ns=2_000_000_000)), 4))
    sink.close()
    assert rows(path)["/events"] == 1


def test_the_style_limits_hypotheses_and_futures(tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    sink = RerunSink(path, style=Style(hypotheses=0, futures=0))
    sink.write(at(make_packet(), 0))
    sink.close()
    assert not any("hypotheses" in entity or "futures" in entity for entity in rows(path))


def test_no_frame_no_file(tmp_path: Path) -> None:
    RerunSink(tmp_path / "out.rrd").close()
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="--overwrite"):
        RerunSink(path)
    sink = RerunSink(path, overwrite=True)
    assert path.read_bytes() == b"precious"
    sink.write(at(make_packet(), 0))
    sink.close()
    assert path.read_bytes()[:4] == b"RRF2"


def test_a_full_disk_is_told_and_the_beginning_kept(tmp_path: Path) -> None:
    """A limit on the size of files, which a write meets as a full disk; in a process of its own, as Rerun may wait for ever then."""
    path = tmp_path / "out.rrd"
    code = f"""
import os, resource, signal, sys
from pathlib import Path
from pose_rt.errors import OutputError
from pose_rt.io.sinks.rerun import RerunSink
from tests.io.packets import make_packet
from tests.io.test_rerun_sink import at
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
sink = RerunSink(Path({str(path)!r}))
for index in range(8):
    sink.write(at(make_packet(), index))
try:
    sink.close()
except OutputError as error:
    print(error, flush=True)
sink.close()
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=100, check=True
    )
    assert "out.rrd" in done.stdout
    assert path.stat().st_size == 60_000 and list(tmp_path.iterdir()) == [path]


def test_wrong_use_is_refused_with_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--save-rerun"):
        RerunSink()
    with pytest.raises(UsageError, match=r"\.rrd"):
        RerunSink(tmp_path / "out.mp4")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform.startswith("linux"):
        with pytest.raises(UsageError, match="display"):
            RerunSink(spawn=True)
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(UsageError, match=r"pip install 'pose-rt\[viewer\]'"):
        RerunSink(tmp_path / "out.rrd")
