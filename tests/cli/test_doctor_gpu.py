"""What `pose-rt doctor` says of the GPU, TensorRT and the engines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pose_rt.backends import cuda_memory
from pose_rt.cli import doctor
from pose_rt.cli.app import run
from tests.engines.fake_gpu import FakeDriver


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSE_RT_ENGINES", str(tmp_path))
    tmp_path.chmod(0o700)
    return tmp_path


def findings() -> dict[str, doctor.Finding]:
    return {finding.part: finding for finding in doctor.examine()}


def test_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_memory, "load_driver", FakeDriver)
    found = findings()["GPU"]
    assert found.state == doctor.OK and "Fake GPU, capability 8.9, driver" in found.detail and "8.0 of 8.0 GiB free" in found.detail


def test_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_memory, "load_driver", lambda: FakeDriver(devices=0))
    found = findings()["GPU"]
    assert found.state == doctor.OPTIONAL and "no NVIDIA GPU" in found.detail and "nvidia-smi" in found.cure


def test_without_tensorrt_and_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    found = findings()
    assert found["TensorRT"].state == doctor.OPTIONAL and "pip install" in found["TensorRT"].cure
    assert found["engines"].state == doctor.OPTIONAL and "pose-rt build-engines" in found["engines"].cure


def test_engines_and_their_state(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setenv("POSE_RT_TENSORRT", "tensorrt_rtx")
    assert run(["build-engines", "lite"]) == 0
    capsys.readouterr()
    found = findings()
    assert found["TensorRT"].state == doctor.OK and "TensorRT-RTX" in found["TensorRT"].detail
    assert "fit here: lite" in found["engines"].detail
    (engine,) = folder.glob("*.engine")
    engine.write_bytes(b"x" * engine.stat().st_size)
    found = findings()
    assert found["engines"].state == doctor.OPTIONAL and "changed after it was built" in found["engines"].detail
