"""ONNX Runtime: on the CPU, where it is always there, and on an NVIDIA GPU, where the package onnxruntime-gpu is installed."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import BackendError, ModelError
from .base import DeviceView, TensorInfo, check_device_feeds, check_feeds, check_finite, free_axis_zero
from .cuda_memory import Cuda

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_INSTALL = "pip uninstall -y onnxruntime && pip install 'pose-rt[gpu]' (the two packages share a folder), or use --backend onnxruntime"
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


class _Loaded(NamedTuple):
    session: Any
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    metadata: dict[str, Any]


def _info(argument: Any) -> TensorInfo:
    shape = tuple(n if isinstance(n, (int, str)) else f"{argument.name}_{axis}" for axis, n in enumerate(argument.shape))
    return TensorInfo(argument.name, np.dtype(_DTYPES[argument.type]), shape)


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _load(model: Path | str | bytes, name: str, threads: int, providers: list[Any]) -> _Loaded:
    """Open a session; it never falls back to another provider while it runs.

    Raises:
        ModelError: the file is damaged or not a network.
    """
    import onnxruntime

    if threads < 1:
        raise ValueError(f"threads: got {threads}, wanted at least 1")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3 if providers == [CPU] else 4  # why a GPU provider did not start becomes our own sentence
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(model if isinstance(model, bytes) else str(model), options, providers=providers)
        session.disable_fallback()
        inputs = tuple(_info(argument) for argument in session.get_inputs())
        outputs = tuple(_info(argument) for argument in session.get_outputs())
        metadata = json.loads(session.get_modelmeta().custom_metadata_map.get("pose_rt", "{}"))
    except Exception as error:  # ONNX Runtime raises its own types, which depend on the version
        if _lacks_memory(error):
            raise _no_memory(name, error) from error
        where = "its bytes" if isinstance(model, bytes) else model
        raise ModelError(f"model {name!r} cannot be loaded from {where}: {_words(error)}", "see `pose-rt models` for its source") from error
    return _Loaded(session, inputs, outputs, metadata)


def _lacks_memory(error: Exception) -> bool:
    text = str(error).lower()
    return "out of memory" in text or "failed to allocate memory" in text or "bfcarena" in text


def _no_memory(name: str, error: Exception) -> BackendError:
    return BackendError(
        f"the GPU has too little memory for {name!r} ({_words(error)[:160]})",
        "close other programs on it, follow fewer people (--people) with fewer hypotheses, or use --backend onnxruntime",
    )


class OnnxRuntimeBackend:
    """An ONNX file, or its bytes, in ONNX Runtime on the CPU.

    One thread by default: stages overlap better than one network split over cores, and the pool does not spin while idle.
    """

    def __init__(self, model: Path | str | bytes, threads: int = 1, name: str | None = None) -> None:
        import onnxruntime

        self.name = name or ("model" if isinstance(model, bytes) else Path(model).stem)
        loaded = _load(model, self.name, threads, [CPU])
        self._session: Any = loaded.session
        self.inputs, self.outputs, self.metadata = loaded.inputs, loaded.outputs, loaded.metadata
        self._output_names = [info.name for info in self.outputs]
        self.choice = f"ONNX Runtime {onnxruntime.__version__} on the CPU, {threads} thread{'s' if threads > 1 else ''}"

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network.

        Raises:
            ValueError: inputs of other names, dtypes or shapes than `inputs`, or the backend is closed.
            ModelError: an output that is not finite, or the runtime failed.
        """
        if self._session is None:
            raise ValueError(f"{self.name}: the backend is closed; open it again")
        check_feeds(self.name, self.inputs, feeds)
        if feeds and next(iter(feeds.values())).shape[:1] == (0,):
            empty = free_axis_zero(self.inputs, self.outputs)
            if empty is not None:
                return empty
        try:
            values = self._session.run(self._output_names, dict(feeds))
        except Exception as error:  # as above
            raise ModelError(f"model {self.name!r} failed: {_words(error)}") from error
        outputs = dict(zip(self._output_names, values, strict=True))
        check_finite(self.name, outputs)
        return outputs

    def close(self) -> None:
        """Free the session; safe to call twice."""
        self._session = None


class OnnxRuntimeCudaBackend:
    """An ONNX file, or its bytes, in ONNX Runtime's CUDA provider; a `DeviceBackend`. It runs on the GPU or not at all.

    Args:
        model: the file or its bytes.
        device: GPU number.
        cuda: the GPU, if not the driver's.

    Attributes:
        stream: on which everything runs.

    Raises:
        BackendError: no onnxruntime-gpu, no driver, no GPU, CUDA's libraries missing, too little memory.
        UsageError: a GPU number that is not there.
        ModelError: the file is damaged or not a network.
    """

    def __init__(self, model: Path | str | bytes, device: int = 0, name: str | None = None, *, cuda: Cuda | None = None) -> None:
        import onnxruntime

        self.name, self.device = name or ("model" if isinstance(model, bytes) else Path(model).stem), device
        version = onnxruntime.__version__
        if CUDA not in onnxruntime.get_available_providers():
            raise BackendError(f"ONNX Runtime {version} is installed for the CPU only", _INSTALL)
        self._cuda: Cuda = cuda or Cuda(device)
        self._cuda.activate()
        if hasattr(onnxruntime, "preload_dlls"):  # since 1.21: CUDA and cuDNN as they lie in site-packages
            onnxruntime.preload_dlls()
        self.stream = self._cuda.stream()
        settings = {
            "device_id": str(device),
            "user_compute_stream": str(self.stream),
            # The default tries every algorithm anew for every batch size, and takes memory by doubling.
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
        }
        try:
            loaded = _load(model, self.name, 1, [(CUDA, settings), CPU])  # shapes are computed on the CPU
            if loaded.session.get_providers()[0] != CUDA:
                raise BackendError(
                    f"ONNX Runtime {version} cannot start its CUDA provider: libraries of CUDA or cuDNN are missing or of another version",
                    "pip install 'pose-rt[gpu]' brings them; see `pose-rt doctor`, or use --backend onnxruntime",
                )
        except BaseException:
            self._cuda.destroy_stream(self.stream)
            raise
        self._session: Any = loaded.session
        self._without_waiting = onnxruntime.RunOptions()
        self._without_waiting.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self.inputs, self.outputs, self.metadata = loaded.inputs, loaded.outputs, loaded.metadata
        self._lock = threading.Lock()
        self.choice = f"ONNX Runtime {version} with CUDA, on {self._cuda.gpu.name} (GPU {device}, driver {self._cuda.gpu.driver})"

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network on arrays of the host. Raises as `OnnxRuntimeBackend.run`, and BackendError for too little memory."""
        self._check_open()
        check_feeds(self.name, self.inputs, feeds)
        if feeds and next(iter(feeds.values())).shape[:1] == (0,):
            empty = free_axis_zero(self.inputs, self.outputs)
            if empty is not None:
                return empty
        with self._lock:
            binding = self._session.io_binding()
            for name, value in feeds.items():
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
            for info in self.outputs:
                binding.bind_output(info.name)
            self._execute(binding, None)
            outputs = dict(zip((info.name for info in self.outputs), binding.copy_outputs_to_cpu(), strict=True))
        check_finite(self.name, outputs)
        return outputs

    def run_device(self, feeds: Mapping[str, Any]) -> dict[str, DeviceView]:
        """Run the network on arrays of the GPU, without waiting: the outputs are being made on `stream`; see `DeviceBackend`."""
        self._check_open()
        views = check_device_feeds(self.name, self.inputs, feeds)
        with self._lock:
            self._cuda.activate()
            binding = self._session.io_binding()
            for name, view in views.items():
                if view.stream is not None and view.stream != self.stream:
                    self._cuda.wait_for(self.stream, view.stream)
                binding.bind_input(name, "cuda", self.device, view.dtype, view.shape, view.pointer)
            for info in self.outputs:
                binding.bind_output(info.name, "cuda", self.device)
            self._execute(binding, self._without_waiting)
            values = zip(self.outputs, binding.get_outputs(), strict=True)
            return {i.name: DeviceView(v.data_ptr(), v.shape(), i.dtype, stream=self.stream, owner=v) for i, v in values}

    def activate(self) -> None:
        """Make the backend's GPU the calling thread's current one, for work of one's own on `stream`."""
        self._cuda.activate()

    def close(self) -> None:
        """Free the session and its stream; safe to call twice."""
        if self._session is None:
            return
        with contextlib.suppress(BackendError):  # the device may be lost; then there is nothing left to free
            self._cuda.activate()
            self._cuda.synchronise(self.stream)
            self._session = None
            self._cuda.destroy_stream(self.stream)
        self._session, self.stream = None, 0

    def _check_open(self) -> None:
        if self._session is None:
            raise ValueError(f"{self.name}: the backend is closed; open it again")

    def _execute(self, binding: Any, options: Any) -> None:
        """Run on `stream`, with which the session ends by waiting for it unless the options say otherwise."""
        try:
            self._session.run_with_iobinding(binding, options)
        except Exception as error:  # as above
            if _lacks_memory(error):
                raise _no_memory(self.name, error) from error
            raise ModelError(f"model {self.name!r} failed: {_words(error)}") from error
