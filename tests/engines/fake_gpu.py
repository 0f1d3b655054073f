"""A GPU made of host memory, behind the functions of the driver's library; TensorRT and the CUDA provider compute there on the host.

They stand in for the device alone: what runs on them is the real `cuda_memory` and `backends.tensorrt`, and engines are never built
with them. The driver checks what a real one would: pointers that were allocated, handles that exist, no waiting during a capture.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

INVALID, OUT_OF_MEMORY, NO_DEVICE, INVALID_DEVICE, CAPTURE = 1, 2, 100, 101, 900
DTYPES = {"tensor(float)": ("FLOAT", np.float32), "tensor(int64)": ("INT64", np.int64), "tensor(float16)": ("HALF", np.float16)}


def _set(reference: Any, value: int) -> int:
    reference._obj.value = value
    return 0


class FakeDriver:
    """`library` of `cuda_memory.Cuda`."""

    def __init__(self, devices: int = 1, limit: int = 1 << 33) -> None:
        self.devices, self.limit = devices, limit
        self.memory: dict[int, Any] = {}
        self.handles: set[int] = set()
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.recording: list[Callable[[], None]] | None = None
        self.calls: list[str] = []
        self._next = 0x1000

    def _handle(self) -> int:
        self._next += 1
        self.handles.add(self._next)
        return self._next

    def _free(self, handle: int) -> int:
        if handle not in self.handles:
            return INVALID
        self.handles.discard(handle)
        return 0

    def enqueue(self, work: Callable[[], None]) -> int:
        """Run, or record while a stream is captured."""
        if self.recording is not None:
            self.recording.append(work)
        else:
            work()
        return 0

    def cuInit(self, _flags: int) -> int:
        return 0 if self.devices else NO_DEVICE

    def cuGetErrorName(self, code: int, name: Any) -> int:
        name._obj.value = f"CUDA_ERROR_FAKE_{code}".encode()
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:
        return _set(version, 13000)

    def cuDeviceGetCount(self, count: Any) -> int:
        return _set(count, self.devices)

    def cuDeviceGet(self, handle: Any, device: int) -> int:
        return _set(handle, device) if device < self.devices else INVALID_DEVICE

    def cuDeviceGetName(self, name: Any, _size: int, _device: int) -> int:
        name.value = b"Fake GPU"
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, _device: int) -> int:
        return _set(value, {75: 8, 76: 9}[attribute])

    def cuDeviceTotalMem_v2(self, value: Any, _device: int) -> int:
        return _set(value, self.limit)

    def cuDevicePrimaryCtxRetain(self, context: Any, _device: int) -> int:
        return _set(context, 0x77)

    def cuCtxSetCurrent(self, context: int) -> int:
        return 0 if context == 0x77 else INVALID

    def _allocate(self, pointer: Any, size: int) -> int:
        if self.used() + size > self.limit:
            return OUT_OF_MEMORY
        memory = ctypes.create_string_buffer(size)
        self.memory[ctypes.addressof(memory)] = memory
        return _set(pointer, ctypes.addressof(memory))

    def used(self) -> int:
        return sum(len(memory) for memory in self.memory.values())

    def cuMemAlloc_v2(self, pointer: Any, size: int) -> int:
        return self._allocate(pointer, size)

    def cuMemHostAlloc(self, pointer: Any, size: int, _flags: int) -> int:
        return self._allocate(pointer, size)

    def cuMemFree_v2(self, pointer: int) -> int:
        return 0 if self.memory.pop(pointer, None) is not None else INVALID

    cuMemFreeHost = cuMemFree_v2

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> int:
        return _set(free, self.limit - self.used()) or _set(total, self.limit)

    def _copy(self, to: int, source: int, size: int, stream: int) -> int:
        if stream not in self.handles:
            return INVALID
        return self.enqueue(lambda: ctypes.memmove(to, source, size) and None)

    cuMemcpyHtoDAsync_v2 = cuMemcpyDtoHAsync_v2 = cuMemcpyDtoDAsync_v2 = _copy

    def cuStreamCreate(self, stream: Any, _flags: int) -> int:
        return _set(stream, self._handle())

    def cuStreamDestroy_v2(self, stream: int) -> int:
        return self._free(stream)

    def cuStreamSynchronize(self, stream: int) -> int:
        self.calls.append("synchronize")
        return CAPTURE if self.recording is not None else 0 if stream in self.handles else INVALID

    def cuStreamWaitEvent(self, stream: int, event: int, _flags: int) -> int:
        self.calls.append("wait")
        return 0 if {stream, event} <= self.handles else INVALID

    def cuEventCreate(self, event: Any, _flags: int) -> int:
        return _set(event, self._handle())

    def cuEventRecord(self, event: int, _stream: int) -> int:
        return 0 if event in self.handles else INVALID

    def cuEventDestroy_v2(self, event: int) -> int:
        return self._free(event)

    def cuStreamBeginCapture_v2(self, _stream: int, _mode: int) -> int:
        self.calls.append("capture")
        self.recording = []
        return 0

    def cuStreamEndCapture(self, _stream: int, graph: Any) -> int:
        handle = self._handle()
        self.graphs[handle], self.recording = self.recording or [], None
        return _set(graph, handle)

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: int, _flags: int) -> int:
        handle = self._handle()
        self.graphs[handle] = self.graphs[graph]
        return _set(executable, handle)

    def cuGraphDestroy(self, graph: int) -> int:
        return self._free(graph)

    def cuGraphLaunch(self, graph: int, _stream: int) -> int:
        self.calls.append("launch")
        if graph not in self.handles:
            return INVALID
        for work in self.graphs[graph]:
            work()
        return 0

    def cuGraphExecDestroy(self, graph: int) -> int:
        self.calls.append("drop")
        return self._free(graph)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self.shapes:
            return self.shapes[name]
        feeds = {i.name: np.ones(self.shapes[i.name], DTYPES[i.type][1]) for i in self.engine.session.get_inputs()}
        return tuple(self.engine.session.run([name], feeds)[0].shape)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return address in self.engine.driver.memory

    def execute_async_v3(self, stream: int) -> bool:
        if stream not in self.engine.driver.handles:
            return False
        shapes = dict(self.shapes)
        self.engine.driver.calls.append("execute")
        return self.engine.driver.enqueue(lambda: self._compute(shapes)) == 0

    def _compute(self, shapes: dict[str, tuple[int, ...]]) -> None:
        inputs = self.engine.session.get_inputs()
        feeds = {i.name: self._memory(i.name, shapes[i.name], DTYPES[i.type][1]).copy() for i in inputs}
        names = [o.name for o in self.engine.session.get_outputs()]
        for name, value in zip(names, self.engine.session.run(names, feeds), strict=True):
            self._memory(name, value.shape, value.dtype)[...] = value

    def _memory(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = (ctypes.c_uint8 * max(size, 1)).from_address(self.addresses[name])
        return np.ctypeslib.as_array(raw)[:size].view(dtype).reshape(shape)


class _Engine:
    def __init__(self, onnx: bytes, driver: FakeDriver) -> None:
        self.driver = driver
        self.session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
        self.tensors = {t.name: ("INPUT", t) for t in self.session.get_inputs()}
        self.tensors |= {t.name: ("OUTPUT", t) for t in self.session.get_outputs()}

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> str:
        return self.tensors[name][0]

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=DTYPES[self.tensors[name][1].type][0])

    def create_execution_context(self) -> _Context:
        return _Context(self)


class _Severity:
    ERROR, INTERNAL_ERROR, WARNING = "ERROR", "INTERNAL_ERROR", "WARNING"

    def __init__(self) -> None:
        pass


def fake_tensorrt(driver: FakeDriver) -> Any:
    """A module for `engines.runtime.Runtime` whose engines are ONNX files."""

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
            try:
                return _Engine(plan, driver)
            except Exception as error:
                self.logger.log("ERROR", f"cannot deserialize: {error}")
                return None

    return SimpleNamespace(
        __version__="10.3.0", ILogger=_Severity, Runtime=Runtime, TensorIOMode=SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT")
    )


class HostBinding:
    """`onnxruntime.IOBinding` whose GPU is the host's memory."""

    def __init__(self, binding: Any) -> None:
        self.binding = binding

    def bind_cpu_input(self, name: str, array: np.ndarray) -> None:
        self.binding.bind_cpu_input(name, array)

    def bind_input(self, name: str, device_type: str, device: int, dtype: Any, shape: Any, pointer: int) -> None:
        assert device_type == "cuda"
        self.binding.bind_input(name, "cpu", device, dtype, shape, pointer)

    def bind_output(self, name: str, device_type: str = "cpu", device: int = 0) -> None:
        assert device_type in ("cpu", "cuda")
        self.binding.bind_output(name, "cpu", device)

    def get_outputs(self) -> Any:
        return self.binding.get_outputs()

    def copy_outputs_to_cpu(self) -> Any:
        return self.binding.copy_outputs_to_cpu()


class HostSession:
    """A session of ONNX Runtime's CUDA provider that computes on the host: `driver.calls` says when it would wait for its stream."""

    _make = onnxruntime.InferenceSession

    def __init__(self, driver: FakeDriver, model: Any, options: Any, providers: list[Any]) -> None:
        self.driver = driver
        (self.provider, settings), _ = providers
        assert int(settings["user_compute_stream"]) in driver.handles
        self.session = self._make(model, options, providers=["CPUExecutionProvider"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def get_providers(self) -> list[str]:
        return [self.provider, "CPUExecutionProvider"]

    def io_binding(self) -> HostBinding:
        return HostBinding(self.session.io_binding())

    def run_with_iobinding(self, bound: HostBinding, options: Any = None) -> None:
        self.driver.calls.append("execute")
        self.session.run_with_iobinding(bound.binding, options)
        if options is None or options.get_run_config_entry("disable_synchronize_execution_providers") != "1":
            self.driver.calls.append("synchronize")
