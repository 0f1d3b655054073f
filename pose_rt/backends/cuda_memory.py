"""GPU memory, streams and graphs through the driver's own library, by ctypes.

The driver library comes with every NVIDIA driver (and with JetPack), whatever toolkit was there when pose-rt was built, so neither
cuda-python nor a compiled module is needed. It shares the primary context with the CUDA runtime: pointers and streams are the same
handles in our kernels, ONNX Runtime, torch and TensorRT.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import BackendError, UsageError

_NON_BLOCKING, _THREAD_LOCAL, _DISABLE_TIMING = 1, 1, 2
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_OUT_OF_MEMORY, _NO_DEVICE = 2, 100

PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (c_void_p,),
    "cuGetErrorName": (c_int, c_void_p),
    "cuDeviceGetCount": (c_void_p,),
    "cuDeviceGet": (c_void_p, c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (c_void_p, c_int, c_int),
    "cuDeviceTotalMem_v2": (c_void_p, c_int),
    "cuDevicePrimaryCtxRetain": (c_void_p, c_int),
    "cuCtxSetCurrent": (c_void_p,),
    "cuMemAlloc_v2": (c_void_p, c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemHostAlloc": (c_void_p, c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemGetInfo_v2": (c_void_p, c_void_p),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuMemcpyDtoDAsync_v2": (c_uint64, c_uint64, c_size_t, c_void_p),
    "cuStreamCreate": (c_void_p, c_uint),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamWaitEvent": (c_void_p, c_void_p, c_uint),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, c_void_p),
    "cuEventCreate": (c_void_p, c_uint),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventDestroy_v2": (c_void_p,),
    "cuGraphInstantiateWithFlags": (c_void_p, c_void_p, c_uint64),
    "cuGraphDestroy": (c_void_p,),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphExecDestroy": (c_void_p,),
}  # fmt: skip
"""Every function that is used, with its argument types; all return a CUresult."""


class Gpu(NamedTuple):
    """What identifies a GPU and its driver."""

    name: str
    capability: str
    driver: str
    memory_bytes: int


def load_driver() -> Any:
    """The driver's library.

    Raises:
        BackendError: it is not there, or older than CUDA 11.4.
    """
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        for name, arguments in PROTOTYPES.items():
            getattr(library, name).argtypes = arguments
            getattr(library, name).restype = c_int
    except (OSError, AttributeError) as error:
        raise BackendError(
            f"there is no usable NVIDIA driver here ({error})",
            "install the driver and check it with nvidia-smi, or use --backend onnxruntime",
        ) from error
    return library


def driver_version(library: Any) -> str:
    """The driver's release ("580.65.06") where the system tells, else the CUDA version it supports ("CUDA 13.0")."""
    with contextlib.suppress(OSError, IndexError):  # Linux
        words = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split()
        return next(word for word in words if word[0].isdigit() and "." in word)
    version = c_int()
    library.cuDriverGetVersion(byref(version))
    return f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"


class NoSuchGpu(UsageError):
    """A GPU number that no GPU here has: never a reason to take another device instead."""

    exit_code = 1


class Cuda:
    """One GPU: memory, copies, a stream at a time, graphs.

    Args:
        device: GPU number, as CUDA counts them.
        library: the driver's library, or one that behaves like it.

    Raises:
        BackendError: no driver or no GPU.
        NoSuchGpu: a number that no GPU has.
    """

    def __init__(self, device: int = 0, library: Any = None) -> None:
        self._library = load_driver() if library is None else library
        self.device = device
        self._call("cuInit", 0)
        count, handle = c_int(), c_int()
        self._call("cuDeviceGetCount", byref(count))
        if not 0 <= device < count.value:
            if count.value == 0:
                raise BackendError("there is no NVIDIA GPU here", "check with nvidia-smi, or use --backend onnxruntime")
            raise NoSuchGpu(f"there is no GPU {device}", f"wanted --device 0 to {count.value - 1}; nvidia-smi lists them")
        self._call("cuDeviceGet", byref(handle), device)
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, 256, handle.value)
        major, minor, total = c_int(), c_int(), c_size_t()
        self._call("cuDeviceGetAttribute", byref(major), _CAPABILITY_MAJOR, handle.value)
        self._call("cuDeviceGetAttribute", byref(minor), _CAPABILITY_MINOR, handle.value)
        self._call("cuDeviceTotalMem_v2", byref(total), handle.value)
        self.gpu = Gpu(name.value.decode(), f"{major.value}.{minor.value}", driver_version(self._library), total.value)
        context = c_void_p()
        self._call("cuDevicePrimaryCtxRetain", byref(context), handle.value)
        self._context = context.value

    def activate(self) -> None:
        """Make this GPU the current one of the calling thread."""
        self._call("cuCtxSetCurrent", self._context)

    def allocate(self, size: int) -> int:
        """`size` bytes on the GPU (at least one); the pointer.

        Raises:
            BackendError: there is not enough.
        """
        pointer = c_uint64()
        self._call("cuMemAlloc_v2", byref(pointer), max(size, 1), size=size)
        return int(pointer.value)

    def free(self, pointer: int) -> None:
        self._call("cuMemFree_v2", pointer)

    def pinned(self, size: int) -> tuple[int, np.ndarray]:
        """`size` bytes of page-locked host memory: pointer, and a uint8 view. `free_pinned` ends both."""
        pointer = c_void_p()
        self._call("cuMemHostAlloc", byref(pointer), max(size, 1), 0, size=size)
        memory = (ctypes.c_uint8 * max(size, 1)).from_address(pointer.value or 0)
        return int(pointer.value or 0), np.ctypeslib.as_array(memory)

    def free_pinned(self, pointer: int) -> None:
        self._call("cuMemFreeHost", pointer)

    def memory(self) -> tuple[int, int]:
        """Free and total bytes on the GPU."""
        free, total = c_size_t(), c_size_t()
        self._call("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value, total.value

    def upload(self, to: int, source: int, size: int, stream: int) -> None:
        self._call("cuMemcpyHtoDAsync_v2", to, source, size, stream)

    def download(self, to: int, source: int, size: int, stream: int) -> None:
        self._call("cuMemcpyDtoHAsync_v2", to, source, size, stream)

    def copy(self, to: int, source: int, size: int, stream: int) -> None:
        """On the GPU; does not wait."""
        self._call("cuMemcpyDtoDAsync_v2", to, source, size, stream)

    def stream(self) -> int:
        """A new stream that does not wait for the default one."""
        handle = c_void_p()
        self._call("cuStreamCreate", byref(handle), _NON_BLOCKING)
        return int(handle.value or 0)

    def destroy_stream(self, stream: int) -> None:
        self._call("cuStreamDestroy_v2", stream)

    def synchronise(self, stream: int) -> None:
        """Wait until everything on `stream` is done; errors of asynchronous work appear here."""
        self._call("cuStreamSynchronize", stream)

    def wait_for(self, stream: int, other: int) -> None:
        """Make `stream` wait, on the GPU, for what is on `other` now."""
        event = c_void_p()
        self._call("cuEventCreate", byref(event), _DISABLE_TIMING)
        try:
            self._call("cuEventRecord", event.value, other)
            self._call("cuStreamWaitEvent", stream, event.value, 0)
        finally:
            self._call("cuEventDestroy_v2", event.value)

    def capture(self, work: Callable[[], bool], stream: int) -> int | None:
        """Record what `work` puts on `stream` as a graph; None where it cannot be recorded (`work` gave False, or an error)."""
        graph, executable = c_void_p(), c_void_p()
        self._call("cuStreamBeginCapture_v2", stream, _THREAD_LOCAL)
        done = False
        try:
            done = work()
        finally:
            ended = self._library.cuStreamEndCapture(stream, byref(graph)) == 0
        if not ended or graph.value is None:
            return None
        try:
            if not done or self._library.cuGraphInstantiateWithFlags(byref(executable), graph.value, 0) != 0:
                return None
        finally:
            self._library.cuGraphDestroy(graph.value)
        return executable.value

    def launch(self, graph: int, stream: int) -> None:
        self._call("cuGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._call("cuGraphExecDestroy", graph)

    def _call(self, function: str, *arguments: Any, size: int = 0) -> None:
        result = getattr(self._library, function)(*arguments)
        if result == 0:
            return
        if result == _NO_DEVICE:
            raise BackendError("there is no NVIDIA GPU here (CUDA_ERROR_NO_DEVICE)", "check with nvidia-smi, or use --backend onnxruntime")
        if result == _OUT_OF_MEMORY:
            raise BackendError(
                f"GPU {self.device} has too little memory for {size / 1e6:.0f} MB more" if size else f"GPU {self.device} ran out of memory",
                "close other programs on it, or build for fewer people: pose-rt build-engines --batch 1 --force",
            )
        name = c_char_p()
        known = self._library.cuGetErrorName(result, byref(name)) == 0 and name.value
        raise BackendError(
            f"the NVIDIA driver's {function} failed with {name.value.decode() if known and name.value else f'error {result}'}",
            "check the GPU with nvidia-smi, or use --backend onnxruntime",
        )
