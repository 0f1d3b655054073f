"""Opens a model in the runtime that was asked for, or in the best one that is here, and says which and why."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

from ..errors import BackendError, ModelError, UsageError
from .base import Backend
from .onnxruntime import OnnxRuntimeBackend, OnnxRuntimeCudaBackend


class ModelFile(Protocol):
    """A named model whose `load` gives the path of its verified file, such as an entry of the zoo."""

    @property
    def name(self) -> str: ...

    def load(self) -> Path: ...


BACKENDS = ("auto", "onnxruntime", "cuda", "tensorrt")
_GPU_TITLES = {"tensorrt": "TensorRT", "cuda": "CUDA"}
"""The GPU runtimes in the order in which "auto" tries them."""


def _open_tensorrt(path: Path, device: int, name: str) -> Backend:
    try:
        module = importlib.import_module("pose_rt.backends.tensorrt")
    except ImportError as error:
        raise BackendError(
            f"TensorRT cannot be used here ({error})",
            "pip install 'pose-rt[tensorrt]' on a machine with an NVIDIA GPU, or use --backend onnxruntime",
        ) from error
    return cast(Backend, module.TensorRtBackend(path, device=device, name=name))


def _open_gpu(backend: str, path: Path, device: int, name: str) -> Backend:
    return _open_tensorrt(path, device, name) if backend == "tensorrt" else OnnxRuntimeCudaBackend(path, device, name)


def open_backend(
    model: Path | str | ModelFile, backend: str = "auto", device: int = 0, threads: int = 1, name: str | None = None
) -> Backend:
    """Open a model of the zoo (its checksum is verified) or a file.

    Args:
        model: an entry of the zoo, or the path of an .onnx file.
        backend: "tensorrt", "cuda" (ONNX Runtime on the GPU) and "onnxruntime" (on the CPU) mean that or an error; "auto" takes the
            first of the three that works, and `choice` of the result says what was against the others.
        device: GPU number.
        threads: CPU threads of one network, for ONNX Runtime on the CPU.

    Raises:
        UsageError: an unknown backend name, or a GPU number that no GPU here has.
        ModelError: the file is missing, damaged or not a network.
        BackendError: the runtime that was asked for is not available.
    """
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r}", f"wanted one of {', '.join(BACKENDS)}")
    if isinstance(model, (str, Path)):
        path = Path(model)
        name = name or path.stem
        if not path.is_file():
            raise ModelError(f"{path}: no such model file", "see `pose-rt models` for those that have a name")
    else:
        path, name = model.load(), name or model.name
    if backend in _GPU_TITLES:
        opened = _open_gpu(backend, path, device, name)
        opened.choice = f"{opened.choice} (as asked)"
        return opened
    against: list[str] = []
    for gpu_backend, title in _GPU_TITLES.items() if backend == "auto" else ():
        try:
            opened = _open_gpu(gpu_backend, path, device, name)
        except BackendError as error:
            against.append(f"{title}: {error.message}")
        else:
            break
    else:
        opened = OnnxRuntimeBackend(path, threads, name)
    reason = "as asked" if backend != "auto" else "; ".join(f"not {text}" for text in against) or "the first choice"
    opened.choice = f"{opened.choice} ({reason})"
    return opened
