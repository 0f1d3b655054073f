"""Opens a model in the runtime that was asked for, or in the best one that is here, and says which and why."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

from ..errors import BackendError, ModelError, UsageError
from .base import Backend
from .onnxruntime import OnnxRuntimeBackend


class ModelFile(Protocol):
    """A named model whose `load` gives the path of its verified file, such as an entry of the zoo."""

    @property
    def name(self) -> str: ...

    def load(self) -> Path: ...


BACKENDS = ("auto", "onnxruntime", "tensorrt")


def _open_tensorrt(path: Path, device: int, name: str) -> Backend:
    try:
        module = importlib.import_module("pose_rt.backends.tensorrt")
    except ImportError as error:
        raise BackendError(
            f"TensorRT cannot be used here ({error})",
            "pip install 'pose-rt[tensorrt]' on a machine with an NVIDIA GPU, or use --backend onnxruntime",
        ) from error
    return cast(Backend, module.TensorRtBackend(path, device=device, name=name))


def open_backend(
    model: Path | str | ModelFile, backend: str = "auto", device: int = 0, threads: int = 1, name: str | None = None
) -> Backend:
    """Open a model of the zoo (its checksum is verified) or a file.

    Args:
        model: an entry of the zoo, or the path of an .onnx file.
        backend: "onnxruntime" and "tensorrt" mean that or an error; "auto" takes TensorRT where it works, else ONNX Runtime, and
            `choice` of the result says why.
        device: GPU number, for TensorRT.
        threads: CPU threads of one network, for ONNX Runtime.

    Raises:
        UsageError: an unknown backend name.
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
    if backend == "tensorrt":
        return _open_tensorrt(path, device, name)
    reason = "as asked"
    if backend == "auto":
        try:
            return _open_tensorrt(path, device, name)
        except BackendError as error:
            reason = error.message
    opened = OnnxRuntimeBackend(path, threads, name)
    opened.choice = f"{opened.choice} ({reason})"
    return opened
