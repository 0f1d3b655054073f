"""Every way in which TensorRT is not there or fails becomes one sentence with its cure."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from pose_rt.engines import runtime
from pose_rt.errors import BackendError


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What can be imported: a module, or what its import raises."""
    there: dict[str, Any] = {}

    def import_module(name: str) -> Any:
        found = there.get(name, ImportError(f"No module named {name!r}"))
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(importlib, "import_module", import_module)
    monkeypatch.delenv("POSE_RT_TENSORRT", raising=False)
    return there


def module(version: str) -> Any:
    return SimpleNamespace(__version__=version)


def test_the_full_one_comes_first_then_rtx(modules: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    modules["tensorrt_rtx"] = module("1.7")
    assert (runtime.load().title, runtime.load().version) == ("TensorRT-RTX", "1.7")
    modules["tensorrt"] = module("10.3.0")
    assert (runtime.load().title, runtime.load().version) == ("TensorRT", "10.3.0")
    monkeypatch.setenv("POSE_RT_TENSORRT", "tensorrt_rtx")
    assert runtime.load().title == "TensorRT-RTX"
    monkeypatch.setenv("POSE_RT_TENSORRT", "tensorflow")
    with pytest.raises(BackendError, match="wanted tensorrt or tensorrt_rtx"):
        runtime.load()


@pytest.mark.parametrize(
    "problem",
    [
        ImportError("libnvinfer.so.10: cannot open shared object file"),
        OSError("libnvinfer"),
        RuntimeError("libnvinfer not found"),
        module("8.6.1"),
    ],
)
def test_why_none_can_be_used(modules: dict[str, Any], problem: Any) -> None:
    modules["tensorrt"] = problem
    reason = "tensorrt 8.6.1 is too old, wanted 10.3" if not isinstance(problem, Exception) else "libnvinfer"
    with pytest.raises(BackendError, match=rf"{reason}.*No module named 'tensorrt_rtx'.*pip install.*--backend onnxruntime"):
        runtime.load()


def nullptr() -> None:
    raise TypeError("pybind11::init(): factory function returned nullptr")


def out_of_memory() -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("factory", "lines", "message"),
    [
        (nullptr, [], "no working NVIDIA driver or GPU.*nvidia-smi"),
        (nullptr, ["CUDA initialization failure with error: 35. ..."], r"driver is missing or too old.*cudaError 35"),
        (
            lambda: None,
            ["(cudaError 35: CUDA driver version is insufficient for CUDA runtime version)"],
            r"cudaError 35.*update the driver",
        ),
        (lambda: None, ["CUDA initialization failure with error: 100"], "no NVIDIA GPU here"),
        (lambda: None, ["cudaError 101: invalid device ordinal"], "no GPU of that number.*--device"),
        (
            lambda: None,
            ["[virtualMemoryBuffer.cpp] Error Code 2: OutOfMemory (Requested size was 123 bytes.)"],
            "too little memory.*--batch 1",
        ),
        (out_of_memory, [], "too little memory"),
        (lambda: None, ["Target GPU SM 90 is not supported on this build"], "does not know this GPU"),
        (lambda: None, ["Something nobody has seen"], "Something nobody has seen.*pose-rt doctor"),
        (lambda: None, [], "gave no reason"),
    ],
)
def test_each_failure_has_a_sentence(factory: Any, lines: list[str], message: str) -> None:
    log = runtime.Log()
    log.errors.extend(lines)
    with pytest.raises(BackendError, match=rf"making it failed: .*{message}"):
        runtime.made(factory, "making it", log)
    assert not log.errors


def test_without_a_gpu_rtx_refuses_to_load_and_the_reason_is_the_driver() -> None:
    """The real runtime: it builds here, and what it builds cannot be loaded without a driver (cudaError 35)."""
    pytest.importorskip("tensorrt_rtx")
    from pose_rt.backends.cuda_memory import Cuda

    try:
        Cuda()
    except BackendError:
        found, log = runtime.load(), runtime.Log()
        logger = found.logger(log)
        real = runtime.made(lambda: found.module.Runtime(logger), "starting", log)
        with pytest.raises(BackendError, match="loading failed: "):
            runtime.made(lambda: real.deserialize_cuda_engine(b"no engine"), "loading", log)
    else:
        pytest.skip("there is a GPU here")
