"""What gets imported when: the run path without torch, the help without anything heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_ON_THE_RUN_PATH = {"torch", "mediapipe", "tensorrt", "onnx", "tflite", "scipy", "lightning_fabric", "tensorboard"}
NOT_FOR_HELP = NOT_ON_THE_RUN_PATH | {"numpy", "cv2", "onnxruntime", "av"}


def modules_after(code: str) -> set[str]:
    """Top-level modules loaded in a fresh interpreter after running `code`."""
    report = "\nimport json, sys\nprint('\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code + report], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def cli(*arguments: str) -> str:
    return f"""
import contextlib
from pose_rt.cli.app import main
with contextlib.suppress(SystemExit):
    main({list(arguments)!r})
"""


@pytest.mark.parametrize("module", ["pose_rt", "pose_rt.ops", "pose_rt.pipeline", "pose_rt.metrics.pose3d", "pose_rt.diffusion.ddim"])
def test_the_run_path_stays_light(module: str) -> None:
    assert not modules_after(f"import {module}") & NOT_ON_THE_RUN_PATH


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("video", "--help"), ("bench", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    loaded = modules_after(cli(*arguments))
    assert "typer" in loaded
    assert not loaded & NOT_FOR_HELP


def test_the_check_itself_can_fail() -> None:
    assert "numpy" in modules_after("import pose_rt.core.rng")
