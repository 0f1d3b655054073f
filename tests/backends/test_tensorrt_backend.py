"""backends.tensorrt on a GPU made of host memory: graphs, shapes, device arrays, splitting, memory, closing, and its errors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pose_rt.backends import open_backend
from pose_rt.backends.base import DeviceView
from pose_rt.backends.cuda_memory import PROTOTYPES, Cuda
from pose_rt.backends.tensorrt import TensorRtBackend, machine
from pose_rt.engines import cache
from pose_rt.engines.runtime import Runtime
from pose_rt.errors import BackendError, UsageError
from tests.engines.fake_backend import fake_backend, fake_sidecar
from tests.engines.fake_gpu import FakeDriver, fake_tensorrt

LIFTER = Path(__file__).parents[2] / "pose_rt/zoo/models/lifter_s.onnx"


def feeds(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "xy": rng.normal(size=(n, 9, 17, 2)).astype(np.float32),
        "noisy": rng.normal(size=(n, 9, 17, 3)).astype(np.float32),
        "step": np.full(n, 999, np.float32),
    }


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver()


@pytest.fixture
def backend(driver: FakeDriver) -> TensorRtBackend:
    return fake_backend(LIFTER, driver, people=1)  # 10 rows


def expected(given: dict[str, np.ndarray]) -> np.ndarray:
    return open_backend(LIFTER, backend="onnxruntime").run(given)["clean"]


def test_a_shape_that_comes_again_is_captured_and_a_new_one_captured_anew(driver: FakeDriver, backend: TensorRtBackend) -> None:
    for n, seed in [(2, 0), (2, 1), (2, 2), (2, 3), (3, 4), (3, 5), (3, 6), (2, 7)]:
        given = feeds(n, seed)
        np.testing.assert_array_equal(backend.run(given)["clean"], expected(given))
    seen = [call for call in driver.calls if call != "synchronize"]
    two = ["execute", "execute", "capture", "execute", "launch"]  # the third is recorded, then replayed
    assert seen == [*two, "launch", "drop", *two, "drop", "execute"]


def test_without_graphs_and_where_capture_fails_it_just_runs(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = fake_backend(LIFTER, driver, graphs=False)
    for seed in range(4):
        plain.run(feeds(2, seed))
    assert "capture" not in driver.calls
    refusing = fake_backend(LIFTER, driver)
    monkeypatch.setattr(driver, "cuStreamEndCapture", lambda *_: setattr(driver, "recording", None) or 901)
    for seed in range(5):
        given = feeds(2, seed)
        np.testing.assert_array_equal(refusing.run(given)["clean"], expected(given))
    assert driver.calls.count("capture") == 1 and "launch" not in driver.calls


def test_rtx_says_whether_a_stream_can_be_captured(driver: FakeDriver, backend: TensorRtBackend) -> None:
    backend._context.is_stream_capturable = lambda _stream: False
    for seed in range(4):
        backend.run(feeds(2, seed))
    assert "capture" not in driver.calls


def test_more_rows_than_the_engine_holds_are_run_in_parts(backend: TensorRtBackend) -> None:
    assert backend.max_batch == 10
    given = feeds(23)
    np.testing.assert_allclose(backend.run(given)["clean"], expected(given), atol=1e-5)  # products of other batch sizes


def on_device(cuda: Cuda, value: np.ndarray, stream: int) -> DeviceView:
    pointer = cuda.allocate(value.nbytes)
    cuda.upload(pointer, value.ctypes.data, value.nbytes, stream)
    return DeviceView(pointer, value.shape, value.dtype, stream=stream, owner=value)


def test_device_arrays_in_and_out_without_a_wait(driver: FakeDriver, backend: TensorRtBackend) -> None:
    cuda, given = backend._cuda, feeds(4)
    mine = {name: on_device(cuda, value, backend.stream) for name, value in given.items()}
    driver.calls.clear()
    view = backend.run_device(mine)["clean"]
    assert driver.calls == ["execute"]  # no synchronisation, no event on the same stream
    assert view.shape == (4, 9, 17, 3) and view.stream == backend.stream
    got = np.empty(view.shape, np.float32)
    cuda.download(got.ctypes.data, view.pointer, view.nbytes, backend.stream)
    np.testing.assert_array_equal(got, expected(given))


def test_another_stream_is_waited_for_on_the_gpu(driver: FakeDriver, backend: TensorRtBackend) -> None:
    other = backend._cuda.stream()
    views = {name: on_device(backend._cuda, value, other) for name, value in feeds(1).items()}
    driver.calls.clear()
    backend.run_device(views)
    assert driver.calls == ["wait", "wait", "wait", "execute"]


def test_what_a_kernel_writes_into_the_engines_memory_is_not_copied(
    driver: FakeDriver, backend: TensorRtBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = {name: backend.input_view(name, value.shape) for name, value in feeds(2).items()}
    monkeypatch.setattr(driver, "cuMemcpyDtoDAsync_v2", lambda *_: pytest.fail("copied"))
    backend.run_device(views)
    with pytest.raises(ValueError, match="larger than the engine"):
        backend.input_view("step", (11,))
    too_many = {name: DeviceView(1, value.shape, value.dtype) for name, value in feeds(11).items()}
    with pytest.raises(ValueError, match=r"outside of what its engine was built for.*build-engines lifter_s --batch"):
        backend.run_device(too_many)


def test_closing_frees_everything(driver: FakeDriver, backend: TensorRtBackend) -> None:
    for seed in range(4):
        backend.run(feeds(2, seed))
    assert driver.memory and driver.handles
    backend.close()
    assert not driver.memory and not driver.handles


def test_half_open_frees_everything(driver: FakeDriver) -> None:
    driver.limit = 20_000  # less than the buffers need
    with pytest.raises(BackendError, match=r"GPU 0 has too little memory.*--batch 1"):
        fake_backend(LIFTER, driver)
    assert not driver.memory and not driver.handles


def test_it_says_what_runs(backend: TensorRtBackend) -> None:
    assert backend.choice.startswith("TensorRT 10.3.0, fp32, on Fake GPU (GPU 0, driver ")


def test_from_the_cache(driver: FakeDriver, tmp_path: Path) -> None:
    runtime, cuda = Runtime(fake_tensorrt(driver), "TensorRT", "10.3.0"), Cuda(0, driver)
    with pytest.raises(BackendError, match=r"no TensorRT engine of lifter_s is here.*run pose-rt build-engines lifter_s"):
        TensorRtBackend(LIFTER, runtime=runtime, cuda=cuda, folder=tmp_path)
    cache.prepare(tmp_path)
    sidecar = fake_sidecar(LIFTER, machine(runtime, cuda))
    cache.store(sidecar, LIFTER.read_bytes(), tmp_path)
    opened = TensorRtBackend(LIFTER, runtime=runtime, cuda=cuda, folder=tmp_path)
    given = feeds(2)
    np.testing.assert_array_equal(opened.run(given)["clean"], expected(given))
    assert opened.metadata["kind"] == "d3dp"


def test_an_engine_that_tensorrt_does_not_take(driver: FakeDriver) -> None:
    runtime, cuda = Runtime(fake_tensorrt(driver), "TensorRT", "10.3.0"), Cuda(0, driver)
    junk = b"not an engine"
    sidecar = fake_sidecar(LIFTER, machine(runtime, cuda), sha256=hashlib.sha256(junk).hexdigest(), size=len(junk))
    with pytest.raises(BackendError, match="loading the engine of lifter_s failed: cannot deserialize"):
        TensorRtBackend(LIFTER, runtime=runtime, cuda=cuda, engine=(junk, sidecar))


@pytest.mark.parametrize("devices", [0, 2])
def test_gpus_that_are_not_there(devices: int) -> None:
    error, message = (BackendError, "no NVIDIA GPU") if devices == 0 else (UsageError, "no GPU 5.*--device 0 to 1")
    with pytest.raises(error, match=message):
        Cuda(5, FakeDriver(devices))


def test_the_drivers_errors_are_named(driver: FakeDriver) -> None:
    with pytest.raises(BackendError, match="cuGraphLaunch failed with CUDA_ERROR_FAKE_1"):
        Cuda(0, driver).launch(12345, 0)


def test_the_fake_driver_has_every_function_that_is_used(driver: FakeDriver) -> None:
    assert all(hasattr(driver, name) for name in PROTOTYPES)


def test_prototypes_are_those_of_the_cuda_header() -> None:
    """Each function and its number of arguments, where a CUDA toolkit is installed."""
    import re

    header = next((p for p in Path("/usr/local").glob("cuda*/include/cuda.h")), None)
    if header is None:
        pytest.skip("no cuda.h here")
    text = header.read_text(errors="replace")
    for name, arguments in PROTOTYPES.items():
        plain = name.removesuffix("_v2").removesuffix("WithFlags")  # the header maps plain names to these by macros
        declared = re.search(rf"CUresult CUDAAPI {plain}\(([^;]*?)\);", text)
        assert declared and name in text, name
        assert len(declared.group(1).split(",")) == len(arguments), f"{name}({declared.group(1)})"
