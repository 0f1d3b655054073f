"""K DDIM steps that stay on the device: TensorRT and ONNX Runtime's CUDA, our kernels between their runs, against the host's sampler.

On a GPU the engine is real. Emulated (tests/emulate_cuda.sh) the kernels run on host threads and ONNX Runtime computes on a GPU made of
host memory: that proves the order of work, the buffers and the streams.
"""

import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pose_rt import ops
from pose_rt.backends import Backend, open_backend
from pose_rt.core.camera import Camera
from pose_rt.core.skeleton import H36M17
from pose_rt.errors import BackendError
from pose_rt.stages.lifter import Lifter

if "san" in os.environ.get("LD_PRELOAD", ""):  # before it is imported: it starts a thread, which TSan has its opinion of
    pytest.skip("ONNX Runtime is not built for sanitizers", allow_module_level=True)

from tests.engines.fake_backend import fake_backend, fake_cuda_backend
from tests.engines.fake_gpu import FakeDriver

pytestmark = pytest.mark.gpu
MODEL = Path(__file__).parents[2] / "pose_rt/zoo/models/lifter_s.onnx"


@pytest.fixture(params=["tensorrt", "cuda"])
def backend(request: pytest.FixtureRequest, device: ModuleType, emulated: bool, monkeypatch: pytest.MonkeyPatch) -> Backend:
    if emulated:
        monkeypatch.setattr(ops, "cuda_status", lambda: (True, "emulated"))
        if request.param == "cuda":
            return fake_cuda_backend(MODEL)
        return fake_backend(MODEL, FakeDriver(), people=1)  # 10 rows: more are run in parts
    try:
        return open_backend(MODEL, backend=request.param, name="lifter_s")
    except BackendError as error:
        pytest.skip(error.message)


@pytest.mark.parametrize(("hypotheses", "steps", "flip"), [(1, 1, False), (3, 2, False), (3, 4, True)])
@pytest.mark.parametrize("warm", [False, True])
def test_the_lifter_gives_what_it_gives_on_the_host(backend: Backend, hypotheses: int, steps: int, flip: bool, warm: bool) -> None:
    rng = np.random.default_rng(0)
    xy = (rng.normal(size=(5, 9, H36M17.num_joints, 2)) * 60 + [320, 240]).astype(np.float32)
    camera = Camera.from_fov(640, 480, 60.0)
    options = {"hypotheses": hypotheses, "steps": steps, "flip": flip}
    on_device, on_host = Lifter(backend, **options), Lifter(open_backend(MODEL, backend="onnxruntime"), **options)
    assert on_device._on_device is not None and on_host._on_device is None
    tracks = [1, 2, 3, 4, 5]
    previous = on_host(xy, camera, tracks) if warm else None
    np.testing.assert_allclose(
        on_device(xy, camera, tracks, previous), on_host(xy, camera, tracks, previous), atol=1e-3
    )  # metres: fp32 sums in another order, over K steps


def test_nothing_waits_between_the_steps(backend: Backend, emulated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not emulated:
        pytest.skip("counts the calls of the emulated driver")
    driver = backend._cuda._library
    sampler = Lifter(backend, hypotheses=1, steps=4)._on_device
    rng = np.random.default_rng(0)
    driver.calls.clear()
    sampler(
        rng.normal(size=(2, 9, 17, 2)).astype(np.float32), rng.normal(size=(2, 9, 17, 3)).astype(np.float32),
        [rng.normal(size=(2, 9, 17, 3)).astype(np.float32) for _ in range(3)],
    )  # fmt: skip
    assert driver.calls in (["execute"] * 4, ["execute", "execute", "capture", "execute", "launch", "launch"])
