"""ONNX Runtime on a GPU, as far as it can be seen without one: each way in which it cannot start is one sentence, never the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from pose_rt import zoo
from pose_rt.backends.base import DeviceView, check_device_feeds
from pose_rt.backends.cuda_memory import Gpu
from pose_rt.backends.onnxruntime import CUDA, OnnxRuntimeBackend, OnnxRuntimeCudaBackend
from pose_rt.errors import BackendError, ModelError


class NoGpu:
    """Stands where `Cuda` would: a GPU that can be named but not used."""

    gpu = Gpu("GPU of a test", "9.0", "580.1", 1)
    device = 0

    def __init__(self) -> None:
        self.streams: list[int] = []

    def activate(self) -> None:
        pass

    def stream(self) -> int:
        self.streams.append(4096)
        return 4096

    def destroy_stream(self, stream: int) -> None:
        self.streams.remove(stream)


@pytest.fixture
def cpu_only() -> None:
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime-gpu is installed")


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package says that it has CUDA; sessions are what they are here."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"])


@pytest.mark.usefixtures("cpu_only")
def test_the_package_for_the_cpu_says_how_to_get_the_other() -> None:
    with pytest.raises(BackendError, match=r"installed for the CPU only.*pip install 'pose-rt\[gpu\]'"):
        OnnxRuntimeCudaBackend(zoo.load_path("lifter_s"))


@pytest.mark.usefixtures("cpu_only", "pretended")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_session_that_fell_back_to_the_cpu_is_refused_and_leaves_nothing() -> None:
    cuda = NoGpu()
    with pytest.raises(BackendError, match="cannot start its CUDA provider: libraries of CUDA or cuDNN"):
        OnnxRuntimeCudaBackend(zoo.load_path("lifter_s"), cuda=cuda)
    assert cuda.streams == []


@pytest.mark.usefixtures("pretended")
def test_too_little_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("[ONNXRuntimeError] : BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9")

    monkeypatch.setattr(onnxruntime, "InferenceSession", full)
    cuda = NoGpu()
    with pytest.raises(BackendError, match=r"too little memory for 'lifter_s'.*close other programs"):
        OnnxRuntimeCudaBackend(zoo.load_path("lifter_s"), cuda=cuda)
    assert cuda.streams == []


@pytest.mark.usefixtures("pretended")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_file_is_the_files_fault(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_text("hello")
    with pytest.raises(ModelError, match=r"'x' cannot be loaded"):
        OnnxRuntimeCudaBackend(tmp_path / "x.onnx", cuda=NoGpu())


def test_a_model_can_come_as_bytes() -> None:
    path = zoo.load_path("lifter_s")
    one, other = OnnxRuntimeBackend(path), OnnxRuntimeBackend(path.read_bytes())
    assert (one.inputs, one.outputs, one.metadata) == (other.inputs, other.outputs, other.metadata)
    assert other.name == "model"


class OnDevice:
    """Memory that says it lies on a GPU."""

    def __init__(self, shape: tuple[int, ...], typestr: str = "<f4", strides: tuple[int, ...] | None = None) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": typestr,
            "data": (4096, False),
            "version": 3,
            "strides": strides,
            "stream": 7,
        }


def test_device_arrays_are_seen_as_they_are() -> None:
    array = OnDevice((2, 3), strides=(12, 4))
    view = DeviceView.of(array)
    assert (view.pointer, view.shape, view.dtype, view.stream, view.nbytes) == (4096, (2, 3), np.float32, 7, 24)
    assert view.owner is array
    assert DeviceView.of(view) is view
    assert DeviceView.of(DeviceView(1, (0, 3), "f4")).nbytes == 0
    seen = view.__cuda_array_interface__
    assert (seen["version"], seen["shape"], seen["typestr"], seen["data"]) == (3, (2, 3), "<f4", (4096, False))


def test_device_arrays_of_another_form_are_refused() -> None:
    inputs = OnnxRuntimeBackend(zoo.load_path("lifter_s")).inputs
    good = {"xy": OnDevice((2, 9, 17, 2)), "noisy": OnDevice((2, 9, 17, 3)), "step": OnDevice((2,))}
    assert sorted(check_device_feeds("m", inputs, good)) == ["noisy", "step", "xy"]
    for change, message in (
        ({"xy": np.zeros((2, 9, 17, 2), np.float32)}, "ndarray, wanted an array on the GPU"),
        ({"xy": OnDevice((2, 9, 17, 2), strides=(8, 4, 4, 4))}, "C-contiguous"),
        ({"step": OnDevice((2,), "<f8")}, "float64"),
        ({"step": OnDevice((3,))}, r"\(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            check_device_feeds("m", inputs, {**good, **change})
