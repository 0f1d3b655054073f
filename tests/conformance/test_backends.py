"""One suite for every backend: the same small network behind each, the same promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_rt.backends import Backend, TensorInfo, open_backend
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


IMPLEMENTATIONS: dict[str, Callable[[Path], Backend]] = {"onnxruntime": onnxruntime_backend, "torch": torch_backend}


@pytest.fixture(params=IMPLEMENTATIONS)
def backend(request: pytest.FixtureRequest, file: Path) -> Backend:
    return IMPLEMENTATIONS[request.param](file)


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


def test_choice_says_why(file: Path) -> None:
    assert "as asked" in open_backend(file, backend="onnxruntime").choice


def test_without_tensorrt(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pose_rt.backends.tensorrt", None)
    with pytest.raises(BackendError, match=r"pip install 'pose-rt\[tensorrt\]'"):
        open_backend(file, backend="tensorrt")
    opened = open_backend(file, backend="auto")
    assert "ONNX Runtime" in opened.choice
    assert "TensorRT cannot be used" in opened.choice


def test_what_cannot_be_opened(tmp_path: Path, file: Path) -> None:
    with pytest.raises(UsageError, match="onnxruntime"):
        open_backend(file, backend="cuda")
    with pytest.raises(ModelError, match="no such model file"):
        open_backend(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_backend(tmp_path / "text.onnx", backend="onnxruntime")
    with pytest.raises(ValueError, match="threads"):
        open_backend(file, backend="onnxruntime", threads=0)
