"""The TFLite converter against the operators' definitions, computed the slow way on small graphs."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("tflite")
ort = pytest.importorskip("onnxruntime")

from exporters.blazepose import command, compare  # noqa: E402
from exporters.blazepose.convert import OutputSpec, to_onnx  # noqa: E402
from exporters.blazepose.reader import Graph, Node, UnsupportedModel, decode_sparse, read_tflite  # noqa: E402
from exporters.blazepose.sources import TFLITE_NAMES, read_models  # noqa: E402

RELU6, NONE, SAME, VALID = 3, 0, 0, 1


def conv_options(padding: int, stride: int, activation: int = NONE, **more: int) -> dict[str, int]:
    return {"Padding": padding, "StrideH": stride, "StrideW": stride, "DilationHFactor": 1, "DilationWFactor": 1,
            "FusedActivationFunction": activation, **more}  # fmt: skip


def run(graph: Graph, spec: OutputSpec, image: np.ndarray) -> np.ndarray:
    model = to_onnx(graph, (spec,), {"pose_rt": "{}"})
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


def slow_conv(x: np.ndarray, kernel: np.ndarray, stride: int, pad: tuple[int, int], depthwise: bool) -> np.ndarray:
    """NHWC convolution of one image with OHWI (or 1HWC) weights and the given padding before and after."""
    x = np.pad(x, (pad, pad, (0, 0)))
    k = kernel.shape[1]
    n = (x.shape[0] - k) // stride + 1
    rows = []
    for i, j in np.ndindex(n, n):
        patch = x[i * stride : i * stride + k, j * stride : j * stride + k]
        rows.append((patch * kernel[0]).sum((0, 1)) if depthwise else np.einsum("hwc,ohwc->o", patch, kernel))
    return np.array(rows).reshape(n, n, -1)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad"), [(8, 3, 1, (1, 1)), (8, 3, 2, (0, 1)), (7, 3, 2, (1, 1)), (8, 5, 2, (1, 2)), (8, 2, 2, (0, 0))]
)
def test_convolution_with_same_padding_and_relu6(size: int, kernel: int, stride: int, pad: tuple[int, int], depthwise: bool) -> None:
    rng = np.random.default_rng(size * kernel + stride)
    # Small whole numbers: sums are exact in float32 and weights in float16.
    channels, filters = 4, 4
    weights = rng.integers(-3, 4, (1 if depthwise else filters, kernel, kernel, channels)).astype(np.float16)
    bias = rng.integers(-3, 4, filters).astype(np.float16)
    options = conv_options(SAME, stride, RELU6, **({"DepthMultiplier": 1} if depthwise else {}))
    node = Node("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", (0, 1, 2), (3,), options)
    out = -(-size // stride)
    graph = Graph((node,), {0: (1, size, size, channels), 3: (1, out, out, filters)}, {3: "y"}, {1: weights, 2: bias}, (0,), (3,))
    image = rng.integers(-2, 3, (2, channels, size, size)).astype(np.float32)
    got = run(graph, OutputSpec("y", "out", (filters, out, out)), image)
    for one, result in zip(image, got, strict=True):
        expected = slow_conv(one.transpose(1, 2, 0), weights.astype(np.float32), stride, pad, depthwise) + bias
        np.testing.assert_array_equal(result, np.clip(expected, 0, 6).transpose(2, 0, 1))


def test_explicit_padding_moves_into_the_convolutions() -> None:
    rng = np.random.default_rng(1)
    weights = rng.integers(-3, 4, (2, 3, 3, 2)).astype(np.float16)
    pads = np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    nodes = (Node("PAD", (0, 1), (2,), {}), Node("CONV_2D", (2, 3, 4), (5,), conv_options(VALID, 2)))
    shapes = {0: (1, 8, 8, 2), 2: (1, 10, 10, 2), 5: (1, 4, 4, 2)}
    graph = Graph(nodes, shapes, {5: "y"}, {1: pads, 3: weights, 4: np.zeros(2, np.float16)}, (0,), (5,))
    spec = OutputSpec("y", "out", (2, 4, 4))
    assert [n.op_type for n in to_onnx(graph, (spec,), {}).graph.node if n.op_type != "Cast"] == ["Conv"]
    image = rng.integers(-2, 3, (1, 2, 8, 8)).astype(np.float32)
    expected = slow_conv(image[0].transpose(1, 2, 0), weights.astype(np.float32), 2, (1, 1), False)
    np.testing.assert_array_equal(run(graph, spec, image)[0], expected.transpose(2, 0, 1))


def test_channel_padding_becomes_a_node() -> None:
    pads = np.array([[0, 0], [0, 0], [0, 0], [0, 2]], np.int32)
    graph = Graph((Node("PAD", (0, 1), (2,), {}),), {0: (1, 2, 2, 1), 2: (1, 2, 2, 3)}, {2: "y"}, {1: pads}, (0,), (2,))
    image = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    got = run(graph, OutputSpec("y", "out", (3, 2, 2)), image)
    np.testing.assert_array_equal(got[0, 0], image[0, 0])
    assert not got[0, 1:].any()


def test_bilinear_resize_uses_half_pixel_centres() -> None:
    sizes = np.array([4, 4], np.int32)
    node = Node("RESIZE_BILINEAR", (0, 1), (2,), {"AlignCorners": False, "HalfPixelCenters": True})
    graph = Graph((node,), {0: (1, 2, 2, 1), 2: (1, 4, 4, 1)}, {2: "y"}, {1: sizes}, (0,), (2,))
    got = run(graph, OutputSpec("y", "out", (1, 4, 4)), np.array([[[[0, 4], [8, 12]]]], np.float32))
    np.testing.assert_array_equal(got[0, 0, 0], [0, 1, 3, 4])
    np.testing.assert_array_equal(got[0, 0, :, 0], [0, 2, 6, 8])


def test_depth_to_space_and_reshape_follow_nhwc_order() -> None:
    nodes = (Node("DEPTH_TO_SPACE", (0,), (1,), {"BlockSize": 2}), Node("RESHAPE", (1,), (2,), {}))
    graph = Graph(nodes, {0: (1, 2, 2, 8), 1: (1, 4, 4, 2), 2: (1, 32)}, {2: "y"}, {}, (0,), (2,))
    image = np.arange(32, dtype=np.float32).reshape(1, 2, 2, 8)  # NHWC
    expected = image.reshape(2, 2, 2, 2, 2).transpose(0, 2, 1, 3, 4).reshape(32)
    got = run(graph, OutputSpec("y", "out", (32,)), np.ascontiguousarray(image.transpose(0, 3, 1, 2)))
    np.testing.assert_array_equal(got[0], expected)


def test_weights_are_stored_in_half_precision_only_where_nothing_is_lost() -> None:
    def stored(weights: np.ndarray) -> set[int]:
        node = Node("CONV_2D", (0, 1, 2), (3,), conv_options(SAME, 1))
        bias = np.zeros(1, np.float16)
        graph = Graph((node,), {0: (1, 2, 2, 1), 3: (1, 2, 2, 1)}, {3: "y"}, {1: weights, 2: bias}, (0,), (3,))
        model = to_onnx(graph, (OutputSpec("y", "out", (1, 2, 2)),), {})
        return {t.data_type for t in model.graph.initializer if t.name == "w1"}

    assert stored(np.full((1, 1, 1, 1), 0.5, np.float32)) == {onnx.TensorProto.FLOAT16}
    assert stored(np.full((1, 1, 1, 1), 0.1, np.float32)) == {onnx.TensorProto.FLOAT}


def test_branches_that_no_output_needs_are_cut() -> None:
    nodes = (Node("LOGISTIC", (0,), (1,), {}), Node("ADD", (0, 0), (2,), {"FusedActivationFunction": NONE}))
    graph = Graph(nodes, dict.fromkeys(range(3), (1, 2, 2, 1)), {1: "keep", 2: "cut"}, {}, (0,), (1, 2))
    model = to_onnx(graph, (OutputSpec("keep", "out", (1, 2, 2)),), {})
    assert [n.op_type for n in model.graph.node] == ["Sigmoid"]
    with pytest.raises(UnsupportedModel, match="other"):
        to_onnx(graph, (OutputSpec("other", "out", (1,)),), {})


def test_sparse_rows_are_decoded() -> None:
    values = np.array([1, 2, 3], np.float16)
    dense = decode_sparse(values, (3, 1, 1, 4), np.array([0, 2, 2, 3]), np.array([1, 3, 0]))
    np.testing.assert_array_equal(dense.reshape(3, 4), [[0, 1, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0]])


def test_a_file_that_is_not_tflite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(b"not a flatbuffer at all")
    with pytest.raises(UnsupportedModel, match="not a TFLite file"):
        read_tflite(path)


def test_networks_are_found_in_wheels_archives_and_folders(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.whl", "w") as wheel:
        wheel.writestr(f"mediapipe/modules/{TFLITE_NAMES['detector']}", b"detector")
    with tarfile.open(tmp_path / "p.tgz", "w:gz") as archive:
        info = tarfile.TarInfo(f"package/{TFLITE_NAMES['lite']}")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"lite"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / TFLITE_NAMES["full"]).write_bytes(b"full")
    sources = [tmp_path / "m.whl", tmp_path / "p.tgz", tmp_path / "folder"]
    assert read_models(sources, ["detector", "lite", "full"]) == {"detector": b"detector", "lite": b"lite", "full": b"full"}
    with pytest.raises(FileNotFoundError, match=r"heavy.*npm pack"):
        read_models(sources, ["heavy"])


@pytest.mark.parametrize("off", [0.0, 0.01, None])
def test_the_report_lies_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: float | None) -> None:
    """A network that is a sigmoid, against its formula in the place of Google's interpreter."""
    size = 256
    graph = Graph((Node("LOGISTIC", (0,), (1,), {}),), dict.fromkeys(range(2), (1, size, size, 3)), {1: "Identity"}, {}, (0,), (1,))
    spec = OutputSpec("Identity", "heatmap", (3, size, size))
    model = tmp_path / "blazepose_lite.onnx"
    onnx.save(to_onnx(graph, (spec,), {}), model)

    def interpreter(tflite: bytes, images: np.ndarray) -> dict[str, np.ndarray]:
        if off is None:
            raise ModuleNotFoundError("ai_edge_litert")
        return {"Identity": 1 / (1 + np.exp(-images)) + np.float32(off)}

    monkeypatch.setattr(compare, "tflite_outputs", interpreter)
    assert command._report("lite", b"its bytes", model, (spec,)) == (off != 0.01)
    report = json.loads((tmp_path / "blazepose_lite.parity.json").read_text())
    assert report["model"] == "blazepose_lite.onnx" and report["bytes"] == model.stat().st_size
    assert report["source"].startswith("pose_landmark_lite.tflite, sha256 ")
    if off is None:
        assert report["parity"] == []
    else:
        (one,) = report["parity"]
        assert (one["output"], one["seeds"], one["tolerance"]) == ("heatmap", [0, 1, 2], 1e-3)
        assert one["max"] == pytest.approx(off, abs=1e-6)
