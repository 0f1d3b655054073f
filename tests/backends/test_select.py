"""Which runtime runs a model: "auto" takes the first that works and says what was against the others; a name means that or an error."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pose_rt import zoo
from pose_rt.backends import open_backend, select
from pose_rt.config import BACKENDS, Settings
from pose_rt.errors import BackendError, UsageError


class Opened:
    def __init__(self, what: str) -> None:
        self.choice = what


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> dict[str, Exception | None]:
    """Replaces the two GPU runtimes: each gives what stands here, an error or nothing."""
    state: dict[str, Exception | None] = {
        "tensorrt": BackendError("no engine", "build one"),
        "cuda": BackendError("no driver", "install it"),
    }

    def opener(name: str) -> Any:
        def call(_path: Path, device: int = 0, name_: str | None = None, **_: Any) -> Opened:
            error = state[name]
            if error is not None:
                raise error
            return Opened(f"{name} on GPU {device}")

        return call

    monkeypatch.setattr(select, "OnnxRuntimeCudaBackend", opener("cuda"))
    monkeypatch.setitem(
        sys.modules, "pose_rt.backends.tensorrt", SimpleNamespace(TensorRtBackend=lambda p, device, name: opener("tensorrt")(p, device))
    )
    return state


def test_the_settings_know_the_same_names() -> None:
    assert BACKENDS == select.BACKENDS
    assert Settings(backend="cuda").backend == "cuda"


@pytest.mark.parametrize(
    ("working", "choice"),
    [
        ((), r"ONNX Runtime .* on the CPU, 1 thread \(not TensorRT: no engine; not CUDA: no driver\)"),
        (("cuda",), r"cuda on GPU 2 \(not TensorRT: no engine\)"),
        (("tensorrt",), r"tensorrt on GPU 2 \(the first choice\)"),
        (("tensorrt", "cuda"), r"tensorrt on GPU 2 \(the first choice\)"),
    ],
)
def test_auto_takes_the_first_that_works(works: dict[str, Exception | None], working: tuple[str, ...], choice: str) -> None:
    works.update(dict.fromkeys(working))
    assert __import__("re").fullmatch(choice, open_backend(zoo.find("lifter_s"), device=2).choice)


@pytest.mark.parametrize("backend", ["tensorrt", "cuda"])
def test_a_name_never_falls_back(works: dict[str, Exception | None], backend: str) -> None:
    with pytest.raises(BackendError, match="no engine" if backend == "tensorrt" else "no driver"):
        open_backend(zoo.find("lifter_s"), backend=backend)
    works[backend] = None
    assert open_backend(zoo.find("lifter_s"), backend=backend).choice == f"{backend} on GPU 0 (as asked)"


def test_a_gpu_number_that_is_not_there_is_misuse_even_with_auto(works: dict[str, Exception | None]) -> None:
    works["tensorrt"] = UsageError("there is no GPU 7", "wanted 0")
    with pytest.raises(UsageError, match="no GPU 7"):
        open_backend(zoo.find("lifter_s"), device=7)


def test_asked_for_the_cpu_nothing_else_is_tried(works: dict[str, Exception | None]) -> None:
    works.update(tensorrt=None, cuda=None)
    assert "on the CPU" in (choice := open_backend(zoo.find("lifter_s"), backend="onnxruntime").choice) and "as asked" in choice


def test_without_the_tensorrt_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pose_rt.backends.tensorrt", None)
    with pytest.raises(BackendError, match=r"pip install 'pose-rt\[tensorrt\]'"):
        open_backend(zoo.find("lifter_s"), backend="tensorrt")
