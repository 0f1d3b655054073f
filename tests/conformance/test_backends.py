"""One suite for every backend: the same small network behind each, the same promises."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pose_rt.backends import Backend, DeviceBackend, DeviceView, TensorInfo, open_backend
from pose_rt.errors import BackendError, ModelError, UsageError

onnx = pytest.importorskip("onnx")


def network() -> Any:
    """y = log(x), s = 2 x + b; b (N, 1) shares the free axis with x (N, 3)."""
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = make.make_graph(
        [
            make.make_node("Log", ["x"], ["y"]),
            make.make_node("Add", ["x", "x"], ["xx"]),
            make.make_node("Add", ["xx", "b"], ["s"]),
        ],
        "small",
        [make.make_tensor_value_info("x", kind, ["N", 3]), make.make_tensor_value_info("b", kind, ["N", 1])],
        [make.make_tensor_value_info("y", kind, ["N", 3]), make.make_tensor_value_info("s", kind, ["N", 3])],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    make.set_model_props(model, {"pose_rt": json.dumps({"kind": "small"})})
    return model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    onnx.save(network(), path)
    return path


def onnxruntime_backend(file: Path) -> Backend:
    return open_backend(file, backend="onnxruntime")


def cuda_backend(file: Path) -> Backend:
    return _on_gpu(file, "cuda")


def tensorrt_backend(file: Path) -> Backend:
    """An engine of the small network, built for this GPU on the way."""
    backends = pytest.importorskip("pose_rt.backends.tensorrt")
    from pose_rt.backends.cuda_memory import Cuda
    from pose_rt.engines.make import Settings, make_engine
    from pose_rt.engines.runtime import load

    folder = file.parent / "engines"
    try:
        runtime, cuda = load(), Cuda()
    except BackendError as error:
        pytest.skip(error.message)
    make_engine(file.stem, file, runtime, cuda, Settings(verify=False, folder=folder))
    return backends.TensorRtBackend(file, runtime=runtime, folder=folder)


def tensorrt_on_the_host(file: Path) -> Backend:
    """The TensorRT backend on a GPU made of host memory, ONNX Runtime in TensorRT's place: its logic, everywhere."""
    from tests.engines.fake_backend import fake_backend

    return fake_backend(file)


def cuda_on_the_host(file: Path) -> Backend:
    """ONNX Runtime's CUDA backend likewise."""
    from tests.engines.fake_backend import fake_cuda_backend

    return fake_cuda_backend(file)


def _on_gpu(file: Path, backend: str) -> Backend:
    try:
        return open_backend(file, backend=backend)
    except BackendError as error:
        pytest.skip(error.message)


def torch_backend(file: Path) -> Backend:
    torch = pytest.importorskip("torch")
    from pose_rt.backends.torch_module import TorchModuleBackend

    class Small(torch.nn.Module):
        def forward(self, x: Any, b: Any) -> tuple[Any, Any]:
            return torch.log(x), 2 * x + b

    f4 = np.dtype(np.float32)
    inputs = [TensorInfo("x", f4, ("N", 3)), TensorInfo("b", f4, ("N", 1))]
    outputs = [TensorInfo("y", f4, ("N", 3)), TensorInfo("s", f4, ("N", 3))]
    return TorchModuleBackend(Small(), inputs, outputs, name="small", metadata={"kind": "small"})


IMPLEMENTATIONS: dict[str, Callable[[Path], Backend]] = {
    "onnxruntime": onnxruntime_backend,
    "torch": torch_backend,
    "cuda": cuda_backend,
    "tensorrt": tensorrt_backend,
    "tensorrt on the host": tensorrt_on_the_host,
    "cuda on the host": cuda_on_the_host,
}
GPU = ("cuda", "tensorrt")


def named(*names: str) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.gpu if name in GPU else ()) for name in names]


@pytest.fixture(params=named(*IMPLEMENTATIONS))
def backend(request: pytest.FixtureRequest, file: Path) -> Iterator[Backend]:
    opened = IMPLEMENTATIONS[request.param](file)
    yield opened
    opened.close()


@pytest.fixture(params=named(*GPU))
def device_backend(request: pytest.FixtureRequest, file: Path) -> Iterator[DeviceBackend]:
    opened = IMPLEMENTATIONS[request.param](file)
    yield cast(DeviceBackend, opened)
    opened.close()


@pytest.fixture(params=["tensorrt on the host", "cuda on the host"])
def host_backend(request: pytest.FixtureRequest, file: Path) -> Iterator[Any]:
    """A `DeviceBackend` whose driver notes what is asked of it."""
    opened = IMPLEMENTATIONS[request.param](file)
    yield opened
    opened.close()


def feeds(n: int = 2) -> dict[str, np.ndarray]:
    return {"x": np.arange(1, 3 * n + 1, dtype=np.float32).reshape(n, 3), "b": np.full((n, 1), 0.5, np.float32)}


def test_describes_itself(backend: Backend) -> None:
    assert backend.name == "small"
    assert [info.name for info in backend.inputs] == ["x", "b"]
    assert [info.name for info in backend.outputs] == ["y", "s"]
    assert backend.inputs[0].dtype == np.float32
    assert backend.inputs[0].shape[1] == 3
    assert backend.inputs[0].shape[0] == backend.inputs[1].shape[0] == backend.outputs[0].shape[0] == "N"
    assert backend.metadata == {"kind": "small"}
    assert len(backend.choice) > 5


@pytest.mark.parametrize("n", [1, 2, 5, 0])
def test_runs_any_batch(backend: Backend, n: int) -> None:
    given = feeds(n)
    outputs = backend.run(given)
    assert sorted(outputs) == ["s", "y"]
    assert outputs["y"].dtype == outputs["s"].dtype == np.float32
    np.testing.assert_array_equal(outputs["s"], 2 * given["x"] + given["b"])
    np.testing.assert_allclose(outputs["y"], np.log(given["x"]), rtol=1e-6)  # logarithms may differ in the last bit


@pytest.mark.parametrize("n", [1, 5])
def test_arrays_stay_on_the_gpu(device_backend: DeviceBackend, n: int) -> None:
    """Twice, so that a graph that was captured for the first inputs must read the second."""
    core = pytest.importorskip("pose_rt._core")
    for offset in range(4):
        given = feeds(n)
        given["x"] += offset
        outputs = device_backend.run_device({name: core.to_device(value) for name, value in given.items()})
        assert outputs["s"].shape == (n, 3) and outputs["s"].dtype == np.float32
        np.testing.assert_array_equal(on_host(device_backend, outputs["s"]), 2 * given["x"] + given["b"])
        np.testing.assert_array_equal(device_backend.run(given)["s"], 2 * given["x"] + given["b"])


def on_host(backend: DeviceBackend, view: DeviceView) -> np.ndarray:
    from pose_rt.backends.cuda_memory import Cuda

    cuda, array = Cuda(backend.device), np.empty(view.shape, view.dtype)
    cuda.activate()
    stream = view.stream or cuda.stream()
    cuda.download(array.ctypes.data, view.pointer, view.nbytes, stream)
    cuda.synchronise(stream)
    return array


def test_the_host_waits_for_nothing_on_the_backends_own_stream(host_backend: Any) -> None:
    calls, stream = host_backend._cuda._library.calls, host_backend.stream
    assert stream > 2  # one of its own: 0, 1 and 2 are the default streams
    calls.clear()
    for _ in range(2):
        given = feeds()
        views = {k: DeviceView(v.ctypes.data, v.shape, v.dtype, stream=stream, owner=v) for k, v in given.items()}
        outputs = host_backend.run_device(views)
        assert {view.stream for view in outputs.values()} == {stream}
        np.testing.assert_array_equal(in_host_memory(outputs["s"]), 2 * given["x"] + given["b"])
    assert calls == ["execute", "execute"]
    other = host_backend._cuda.stream()
    host_backend.run_device({**views, "x": DeviceView(given["x"].ctypes.data, (2, 3), "f4", stream=other, owner=given["x"])})
    assert [call for call in calls if call in ("wait", "synchronize")] == ["wait"]  # for the other stream, and on the GPU
    host_backend.run(given)
    assert calls[-1] == "synchronize"
    host_backend.close()
    assert host_backend.stream == 0


def in_host_memory(view: DeviceView) -> np.ndarray:
    raw = (ctypes.c_uint8 * view.nbytes).from_address(view.pointer)
    return np.ctypeslib.as_array(raw).view(view.dtype).reshape(view.shape)


def test_device_arrays_are_checked(device_backend: DeviceBackend) -> None:
    with pytest.raises(ValueError, match="wanted an array on the GPU"):
        device_backend.run_device(feeds())
    core = pytest.importorskip("pose_rt._core")
    with pytest.raises(ValueError, match=r"float32 \(2, 4\)"):
        device_backend.run_device({"x": core.to_device(np.ones((2, 4), np.float32)), "b": core.to_device(feeds()["b"])})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.ones((2, 4), np.float32)}, r"float32 \(2, 4\)"),
        ({"x": np.ones((2, 3))}, "float64"),
        ({"x": np.ones(3, np.float32)}, r"\(3,\)"),
        ({"b": np.ones((3, 1), np.float32)}, r"\(3, 1\)"),
        ({"x": [[1.0, 2.0, 3.0]]}, "list"),
        ({"z": np.ones((2, 3), np.float32)}, "wanted"),
    ],
)
def test_refuses_wrong_feeds(backend: Backend, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backend.run({**feeds(), **change})
    with pytest.raises(ValueError, match="got inputs"):
        backend.run({"x": feeds()["x"]})


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_a_value_that_is_not_finite_is_a_model_error(backend: Backend, bad: float) -> None:
    given = feeds()
    given["x"][1, 2] = bad
    with pytest.raises(ModelError, match=r"'small'.*not finite in 'y'"):
        backend.run(given)
    assert np.isfinite(backend.run(feeds())["y"]).all()


@pytest.mark.filterwarnings("error")
def test_large_finite_values_are_not_suspicious(backend: Backend) -> None:
    given = feeds()
    given["x"][:] = 1.5e38
    assert np.isfinite(backend.run(given)["s"]).all()


def test_close_is_safe_twice_and_final(backend: Backend) -> None:
    backend.close()
    backend.close()
    with pytest.raises(ValueError, match="closed"):
        backend.run(feeds())


def test_two_backends_do_not_disturb_each_other(file: Path) -> None:
    first, second = onnxruntime_backend(file), onnxruntime_backend(file)
    second.close()
    np.testing.assert_array_equal(first.run(feeds())["s"], 2 * feeds()["x"] + 0.5)


def test_what_cannot_be_opened(tmp_path: Path, file: Path) -> None:
    with pytest.raises(UsageError, match="onnxruntime, cuda, tensorrt"):
        open_backend(file, backend="gpu")
    with pytest.raises(ModelError, match="no such model file"):
        open_backend(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_backend(tmp_path / "text.onnx", backend="onnxruntime")
    with pytest.raises(ValueError, match="threads"):
        open_backend(file, backend="onnxruntime", threads=0)
