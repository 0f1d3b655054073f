"""Every script in demos/ runs as its first line says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pose_rt.cli.app import run

ROOT = Path(__file__).parents[2]


def demo(name: str, *args: str) -> str:
    done = subprocess.run([sys.executable, str(ROOT / "demos" / name), *args], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_demo_is_left_out() -> None:
    assert {p.name for p in (ROOT / "demos").glob("*.py")} == {"video_to_3d.py", "own_keypoints.py", "read_results.py"}


def test_video_to_3d() -> None:
    lines = demo("video_to_3d.py").splitlines()
    assert "30 frames" in lines[-1]
    assert sum("right wrist" in line for line in lines) >= 25


def test_own_keypoints_raises_the_arm_that_was_raised() -> None:
    """y is down: the right wrist is above the head, the left one near the hip."""
    rows = {line.split()[0]: [float(v) for v in line.split()[1:4]] for line in demo("own_keypoints.py").splitlines()}
    assert len(rows) == 17
    assert rows["right_wrist"][1] < rows["head"][1] + 0.1 < rows["left_wrist"][1]
    assert rows["right_wrist"][0] < 0 < rows["left_wrist"][0]


def test_read_results(tmp_path: Path) -> None:
    data = tmp_path / "out.jsonl"
    clip = ROOT / "demos" / "clips" / "woman_walking.mp4"
    assert run(["video", str(clip), "--save-json", str(data), "--start", "1.5", "--max-frames", "10", "--no-forecast", "-q"]) == 0
    lines = demo("read_results.py", str(data)).splitlines()
    assert len(lines) == 10
    assert all(60 < float(line.split()[-2]) <= 180 for line in lines)
