"""The sampler that stays on the GPU, on a GPU made of host memory and with the definition of ddim_step in the kernel's place."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pose_rt import ops
from pose_rt.backends import open_backend
from pose_rt.backends.base import DeviceBackend, DeviceView
from pose_rt.core.camera import Camera
from pose_rt.errors import ModelError
from pose_rt.ops import reference
from pose_rt.stages.lifter import Lifter
from tests.engines.fake_backend import fake_backend, fake_cuda_backend
from tests.engines.fake_gpu import FakeDriver

MODEL = Path(__file__).parents[2] / "pose_rt/zoo/models/lifter_s.onnx"
CAMERA = Camera.from_fov(640, 480, 60.0)


def memory(array: Any) -> np.ndarray:
    """The memory of a device array as NumPy sees it."""
    view = DeviceView.of(array)
    raw = np.ctypeslib.as_array((ctypes.c_uint8 * max(view.nbytes, 1)).from_address(view.pointer))
    return raw[: view.nbytes].view(view.dtype).reshape(view.shape)


class HostArray:
    """What `ops.to_device` gives."""

    def __init__(self, array: np.ndarray, stream: int) -> None:
        self.array, self.stream = array.copy(), stream
        self.__cuda_array_interface__ = {
            "shape": array.shape, "typestr": array.dtype.str, "data": (self.array.ctypes.data, False), "version": 3, "strides": None,
        }  # fmt: skip

    def to_host(self, stream: int) -> np.ndarray:
        assert stream == self.stream
        return self.array.copy()


@pytest.fixture(params=["tensorrt", "cuda"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> DeviceBackend:
    """The real backend (TensorRT's with at most 10 rows at once), and our ops on its memory."""
    opened: DeviceBackend = fake_backend(MODEL, FakeDriver(), people=1) if request.param == "tensorrt" else fake_cuda_backend(MODEL)

    def ddim_step(noisy: Any, prediction: Any, noise: Any, k: Any, *, scale: float, mirror: Any, out: Any, stream: int) -> None:
        assert stream == opened.stream == prediction.stream
        results = reference.ddim_step(
            memory(noisy), memory(prediction), None if noise is None else memory(noise),
            alpha=k.alpha, alpha_next=k.alpha_next, sigma=k.sigma, c=k.c, scale=scale, mirror=mirror,
        )  # fmt: skip
        for target, result in zip(out, results, strict=True):
            memory(target)[...] = result

    monkeypatch.setattr(ops, "cuda_status", lambda: (True, "made of host memory"))
    monkeypatch.setattr(ops, "to_device", lambda array, *, stream: HostArray(array, stream))
    monkeypatch.setattr(ops, "ddim_step", ddim_step)
    return opened


def keypoints(windows: int) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(windows, 9, 17, 2)) * 60 + [320, 240]).astype(np.float32)


@pytest.mark.parametrize(
    ("hypotheses", "steps", "flip", "warm"), [(1, 1, False, False), (3, 2, False, False), (3, 2, False, True), (2, 3, True, True)]
)
def test_the_lifter_gives_what_it_gives_on_the_host(backend: DeviceBackend, hypotheses: int, steps: int, flip: bool, warm: bool) -> None:
    options: dict[str, Any] = {"hypotheses": hypotheses, "steps": steps, "flip": flip}
    on_device, on_host = Lifter(backend, **options), Lifter(open_backend(MODEL, backend="onnxruntime"), **options)
    assert on_device._on_device is not None and on_host._on_device is None
    xy, tracks = keypoints(4), [1, 2, 3, 4]  # with three hypotheses: 12 rows, in two parts
    previous = on_host(xy, CAMERA, tracks) if warm else None
    got, wanted = on_device(xy, CAMERA, tracks, previous), on_host(xy, CAMERA, tracks, previous)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5)  # metres; batches of other sizes add up in another order


def test_nothing_waits_between_the_steps(backend: DeviceBackend) -> None:
    sampler = Lifter(backend, hypotheses=1, steps=5)._on_device
    assert sampler is not None
    rng = np.random.default_rng(0)
    driver: FakeDriver = cast(Any, backend)._cuda._library
    driver.calls.clear()
    noise = [rng.normal(size=(2, 9, 17, 3)).astype(np.float32) for _ in range(5)]
    sampler(rng.normal(size=(2, 9, 17, 2)).astype(np.float32), noise[0], noise[1:])
    # No synchronisation, no event. TensorRT is captured after two plain executions.
    assert driver.calls in (["execute"] * 5, ["execute", "execute", "capture", "execute", "launch", "launch", "launch"])


def test_what_is_not_finite_is_refused(backend: DeviceBackend) -> None:
    sampler = Lifter(backend, hypotheses=1, steps=1)._on_device
    assert sampler is not None
    with pytest.raises(ModelError, match="not finite"):
        sampler(np.full((1, 9, 17, 2), np.nan, np.float32), np.zeros((1, 9, 17, 3), np.float32), [])


def test_without_kernels_or_a_gpu_backend_the_host_does_it(backend: DeviceBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Lifter(open_backend(MODEL, backend="onnxruntime"))._on_device is None
    monkeypatch.setattr(ops, "cuda_status", lambda: (False, "not built"))
    lifter = Lifter(backend, hypotheses=2, steps=1)
    assert lifter._on_device is None
    expected = Lifter(open_backend(MODEL, backend="onnxruntime"), hypotheses=2, steps=1)(keypoints(2), CAMERA, [1, 2])
    np.testing.assert_allclose(lifter(keypoints(2), CAMERA, [1, 2]), expected, rtol=0, atol=2e-5)
