"""TensorRT on an NVIDIA GPU: an engine that `pose-rt build-engines` made here.

Buffers for the largest shapes are allocated once, at fixed addresses: on the GPU for the engine, page-locked on the host for copies.
Everything goes over one stream. A shape that comes again is captured as a CUDA graph after plain executions have warmed it up; when
the shape changes the graph is dropped, because an execution context holds the state of one shape.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..engines.cache import Machine, Sidecar, build_command, file_sha256, find
from ..engines.runtime import Log, Runtime, failure, load, made
from ..errors import BackendError
from .base import DeviceView, TensorInfo, check_device_feeds, check_feeds, check_finite, free_axis_zero
from .cuda_memory import Cuda

WARM_UP = 2
"""Plain executions of a shape before it is captured: the first allocates, and a shape that does not come again is not worth a graph."""
_DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "INT8": np.int8,
}


def machine(runtime: Runtime, cuda: Cuda | None) -> Machine:
    """What engines depend on here; without a GPU, what one built here depends on."""
    if cuda is None:
        return Machine(runtime.title, runtime.version)
    return Machine(runtime.title, runtime.version, cuda.gpu.name, cuda.gpu.capability, cuda.gpu.driver)


class _Buffer:
    """Memory of one input or output for its largest shape, on the GPU and on the host."""

    def __init__(self, cuda: Cuda, dtype: np.dtype[Any], largest: Iterable[int]) -> None:
        self.dtype = dtype
        size = prod(largest) * dtype.itemsize
        self.device = cuda.allocate(size)
        try:
            self.host, self._bytes = cuda.pinned(size)
        except BackendError:
            cuda.free(self.device)
            raise
        self.shape: tuple[int, ...] = ()

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def array(self) -> np.ndarray:
        """The host's side, in the present shape."""
        return self._bytes[: self.nbytes].view(self.dtype).reshape(self.shape)

    def free(self, cuda: Cuda) -> None:
        cuda.free(self.device)
        cuda.free_pinned(self.host)


class TensorRtBackend:
    """An engine of the cache that fits this ONNX file, this TensorRT and this GPU.

    Args:
        path: the ONNX file that the engine was built from.
        device: GPU number.
        name: of the model, for messages and for the command that builds its engine.
        graphs: replay CUDA graphs for shapes that come again.
        runtime, cuda, folder: where to find TensorRT, the GPU and the engines, if not at the usual places.
        engine: an engine with its sidecar, instead of one of the cache.

    Raises:
        BackendError: no TensorRT, no GPU, or no engine that fits; the sentence says why and what to do.
        UsageError: a GPU number that is not there.
    """

    def __init__(
        self,
        path: Path | str,
        device: int = 0,
        name: str | None = None,
        *,
        graphs: bool = True,
        runtime: Runtime | None = None,
        cuda: Cuda | None = None,
        folder: Path | None = None,
        engine: tuple[bytes, Sidecar] | None = None,
    ) -> None:
        self.name, self.device = name or Path(path).stem, device
        self._cuda = cuda or Cuda(device)  # first: without a driver there is no need to load hundreds of megabytes of TensorRT
        self._runtime = runtime or load()
        plan, sidecar = engine or find(self.name, file_sha256(Path(path)), machine(self._runtime, self._cuda), folder)
        self.metadata: dict[str, Any] = sidecar.metadata
        self.inputs, self.outputs = (
            tuple(TensorInfo(n, np.dtype(t), tuple(s)) for n, t, s in sidecar.tensors[which]) for which in ("inputs", "outputs")
        )
        self._shapes = sidecar.shapes
        gpu = self._cuda.gpu
        runs = f"{self._runtime.title} {self._runtime.version}, {sidecar.layers}"
        self.choice = f"{runs}, on {gpu.name} (GPU {device}, driver {gpu.driver})"
        self._graphs = graphs
        self._log = Log()
        self._lock = threading.Lock()
        self._trt: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._graph: int | None = None
        self._repeats = 0
        self._now: tuple[tuple[int, ...], ...] = ()
        self._buffers: dict[str, _Buffer] = {}
        self.stream = 0
        try:
            self._cuda.activate()
            self._open(plan)
        except BaseException:
            self.close()
            raise

    @property
    def max_batch(self) -> int:
        """The longest first axis that the engine takes at once; `run` splits longer ones."""
        return min((shapes[-1][0] for shapes in self._shapes.values() if shapes[-1]), default=1)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network on host arrays; what comes back is overwritten by the next run.

        Raises:
            ValueError: inputs of other names, dtypes or shapes than `inputs`, or the backend is closed.
            ModelError: an output that is not finite.
            BackendError: TensorRT or the GPU failed.
        """
        self._check_open()
        check_feeds(self.name, self.inputs, feeds)
        rows = next(iter(feeds.values())).shape[:1]
        if rows == (0,) and (empty := free_axis_zero(self.inputs, self.outputs)) is not None:
            return empty
        with self._lock:
            self._cuda.activate()
            largest = self.max_batch
            if rows <= (largest,):
                outputs = self._run_part(feeds)
            else:
                parts = [
                    {k: v.copy() for k, v in self._run_part({n: a[start : start + largest] for n, a in feeds.items()}).items()}
                    for start in range(0, rows[0], largest)
                ]
                outputs = {info.name: np.concatenate([part[info.name] for part in parts]) for info in self.outputs}
        check_finite(self.name, outputs)
        return outputs

    def run_device(self, feeds: Mapping[str, Any]) -> dict[str, DeviceView]:
        """Run the network on arrays of the GPU, without waiting: the outputs are being made on `stream`, in memory of this backend.

        Raises:
            ValueError: as `run`, or more rows than the engine was built for.
            BackendError: TensorRT or the GPU failed.
        """
        self._check_open()
        views = check_device_feeds(self.name, self.inputs, feeds)
        with self._lock:
            self._cuda.activate()
            self._set_shapes({name: view.shape for name, view in views.items()})
            for name, view in views.items():
                buffer = self._buffers[name]
                if view.stream is not None and view.stream != self.stream:
                    self._cuda.wait_for(self.stream, view.stream)
                if view.pointer != buffer.device and buffer.nbytes:
                    self._cuda.copy(buffer.device, view.pointer, buffer.nbytes, self.stream)
            self._execute()
            return {info.name: self._view(info.name) for info in self.outputs}

    def input_view(self, name: str, shape: tuple[int, ...]) -> DeviceView:
        """The engine's own memory of an input: what a kernel writes there needs no copy when the view is given to `run_device`."""
        buffer = self._buffers[name]
        if prod(shape) > prod(self._shapes[name][-1]):
            raise ValueError(f"{self.name}: {name} {shape} is larger than the engine was built for, {tuple(self._shapes[name][-1])}")
        return DeviceView(buffer.device, shape, buffer.dtype, stream=self.stream, owner=self)

    def activate(self) -> None:
        """Make the backend's GPU the calling thread's current one, for work of one's own on `stream`."""
        self._cuda.activate()

    def close(self) -> None:
        """Free the engine and its memory; safe to call twice."""
        if self._context is None and not self.stream and not self._buffers:
            return
        with contextlib.suppress(BackendError):  # the device may be lost; then there is nothing left to free
            self._cuda.activate()
            if self.stream:
                self._cuda.synchronise(self.stream)
            self._drop_graph()
            self._context = self._engine = self._trt = None
            for buffer in self._buffers.values():
                buffer.free(self._cuda)
            if self.stream:
                self._cuda.destroy_stream(self.stream)
        self._context, self._buffers, self.stream = None, {}, 0

    def _check_open(self) -> None:
        if self._context is None:
            raise ValueError(f"{self.name}: the backend is closed; open it again")

    def _open(self, plan: bytes) -> None:
        title, log, module = self._runtime.title, self._log, self._runtime.module
        logger = self._runtime.logger(log)
        self._trt = made(lambda: module.Runtime(logger), f"{title}: starting its runtime", log)
        self._engine = made(lambda: self._trt.deserialize_cuda_engine(plan), f"{title}: loading the engine of {self.name}", log)
        self._context = made(self._engine.create_execution_context, f"{title}: making an execution context for {self.name}", log)
        self.stream = self._cuda.stream()
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        wanted = [info.name for info in (*self.inputs, *self.outputs)]
        if sorted(names) != sorted(wanted):
            raise BackendError(f"the engine of {self.name} has tensors {sorted(names)}, wanted {sorted(wanted)}", self._rebuild())
        inputs = [n for n in names if self._engine.get_tensor_mode(n) == module.TensorIOMode.INPUT]
        for name in inputs:
            if not self._context.set_input_shape(name, tuple(self._shapes[name][-1])):
                raise failure(f"{title}: setting the largest shape of {name}", log.take())
        for info in (*self.inputs, *self.outputs):
            largest = self._shapes[info.name][-1] if info.name in inputs else self._context.get_tensor_shape(info.name)
            dtype = np.dtype(_DTYPES.get(self._engine.get_tensor_dtype(info.name).name, np.void))
            if dtype != info.dtype:
                raise BackendError(f"the engine of {self.name} has {info.name} as {dtype}, wanted {info.dtype}", self._rebuild())
            self._buffers[info.name] = _Buffer(self._cuda, dtype, tuple(largest))
            if not self._context.set_tensor_address(info.name, self._buffers[info.name].device):
                raise failure(f"{title}: setting the address of {info.name}", log.take())

    def _rebuild(self) -> str:
        return build_command(f"{self.name} --force")

    def _run_part(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._set_shapes({name: value.shape for name, value in feeds.items()})
        for name, value in feeds.items():
            buffer = self._buffers[name]
            buffer.array()[...] = value
            self._cuda.upload(buffer.device, buffer.host, buffer.nbytes, self.stream)
        self._execute()
        for info in self.outputs:
            buffer = self._buffers[info.name]
            self._cuda.download(buffer.host, buffer.device, buffer.nbytes, self.stream)
        self._cuda.synchronise(self.stream)
        return {info.name: self._buffers[info.name].array() for info in self.outputs}

    def _set_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        wanted = tuple(tuple(shapes[info.name]) for info in self.inputs)
        if wanted == self._now:
            return
        self._drop_graph()
        self._now, self._repeats = (), 0
        for info, shape in zip(self.inputs, wanted, strict=True):
            least, _best, largest = self._shapes[info.name]
            if any(not low <= n <= high for low, n, high in zip(least, shape, largest, strict=True)):
                raise ValueError(
                    f"{self.name}: {info.name} {shape} is outside of what its engine was built for, {tuple(least)} to {tuple(largest)}; "
                    f"build a larger one: pose-rt build-engines {self.name} --batch N"
                )
            if not self._context.set_input_shape(info.name, shape):
                raise failure(f"{self._runtime.title}: {info.name} {shape}", self._log.take())
        for info, shape in zip(self.inputs, wanted, strict=True):
            self._buffers[info.name].shape = shape
        for info in self.outputs:
            self._buffers[info.name].shape = tuple(self._context.get_tensor_shape(info.name))
        self._now = wanted

    def _execute(self) -> None:
        if self._graph is None and self._graphs and self._repeats >= WARM_UP:
            self._capture()
        if self._graph is not None:
            self._cuda.launch(self._graph, self.stream)
        elif not self._context.execute_async_v3(self.stream):
            raise failure(f"{self._runtime.title}: running {self.name}", self._log.take())
        self._repeats += 1

    def _capture(self) -> None:
        capturable = getattr(self._context, "is_stream_capturable", None)  # TensorRT-RTX
        if capturable is None or capturable(self.stream):
            self._graph = self._cuda.capture(lambda: bool(self._context.execute_async_v3(self.stream)), self.stream)
        if self._graph is None:
            self._graphs = False  # plain executions give the same numbers; what it says is of no use to anybody
            self._log.take()

    def _drop_graph(self) -> None:
        if self._graph is not None:
            self._cuda.synchronise(self.stream)  # it may still run
            self._cuda.destroy_graph(self._graph)
            self._graph = None

    def _view(self, name: str) -> DeviceView:
        buffer = self._buffers[name]
        return DeviceView(buffer.device, buffer.shape, buffer.dtype, stream=self.stream, owner=self)
