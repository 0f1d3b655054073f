"""`backends.tensorrt` on the fake GPU, with an ONNX file in the place of an engine, and ONNX Runtime's CUDA backend on it."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import onnxruntime

from pose_rt.backends.cuda_memory import Cuda
from pose_rt.backends.onnxruntime import CUDA, OnnxRuntimeBackend, OnnxRuntimeCudaBackend
from pose_rt.backends.tensorrt import TensorRtBackend, machine
from pose_rt.engines import cache
from pose_rt.engines.profiles import shapes
from pose_rt.engines.runtime import Runtime
from tests.engines.fake_gpu import FakeDriver, HostSession, fake_tensorrt


def fake_sidecar(file: Path, where: cache.Machine, people: int = 4, **changes: Any) -> cache.Sidecar:
    """The sidecar of an "engine" of an ONNX file."""
    model = OnnxRuntimeBackend(file)
    spans = shapes(model.inputs, model.metadata, people)
    data = file.read_bytes()
    listed = {
        which: [[i.name, i.dtype.name, list(i.shape)] for i in infos]
        for which, infos in (("inputs", model.inputs), ("outputs", model.outputs))
    }
    key = cache.Key(file.stem, hashlib.sha256(data).hexdigest(), changes.pop("precision", "fp32"), cache.describe(spans), where)
    values = {
        "key": key, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "built": "2026-01-01T00:00:00+00:00", "build_s": 1.0,
        "layers": "fp32", "tensors": listed, "shapes": spans, "metadata": model.metadata, "verification": None,
    }  # fmt: skip
    return cache.Sidecar(**{**values, **changes})


def fake_backend(file: Path, driver: FakeDriver | None = None, people: int = 4, **options: Any) -> TensorRtBackend:
    """A backend whose engine holds at most `people` rows; longer batches are run in parts."""
    driver = driver or FakeDriver()
    cuda = Cuda(0, driver)
    runtime = Runtime(fake_tensorrt(driver), "TensorRT", "10.3.0")
    sidecar = fake_sidecar(file, machine(runtime, cuda), people)
    return TensorRtBackend(file, runtime=runtime, cuda=cuda, engine=(file.read_bytes(), sidecar), **options)


def fake_cuda_backend(file: Path, driver: FakeDriver | None = None) -> OnnxRuntimeCudaBackend:
    """ONNX Runtime's CUDA backend with the host's memory and arithmetic in the GPU's place."""
    driver = driver or FakeDriver()
    with (
        patch.object(onnxruntime, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"]),
        patch.object(onnxruntime, "preload_dlls", lambda: None, create=True),
        patch.object(onnxruntime, "InferenceSession", partial(HostSession, driver)),
    ):
        return OnnxRuntimeCudaBackend(file, cuda=Cuda(0, driver))
