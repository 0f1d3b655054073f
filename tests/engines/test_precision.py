"""fp16 variants: strongly typed with fp32 inputs and outputs, layers kept where they must be, errors measured with every rounding."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pose_rt import zoo
from pose_rt.backends.onnxruntime import OnnxRuntimeBackend
from pose_rt.errors import BackendError, ModelError

onnx = pytest.importorskip("onnx")

from pose_rt.engines.fp16_graph import Converter, layers, load_model  # noqa: E402
from pose_rt.engines.precision import Judge, fit_fp16, to_fp16  # noqa: E402
from pose_rt.engines.trials import BUDGET, Deviation, batch, deviation, trial_feeds, unit_of  # noqa: E402

BUNDLED = ["detector", "lite", "full", "lifter_s", "forecaster_s"]
HALF, FULL = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


def small(*nodes: Any, constants: dict[str, np.ndarray], metadata: dict[str, Any] | None = None) -> bytes:
    """A lifter-shaped network: xy, noisy, step -> clean, made of the given nodes."""
    make = onnx.helper
    shapes = {"xy": ["N", 4, 17, 2], "noisy": ["N", 4, 17, 3], "step": ["N"]}
    graph = make.make_graph(
        list(nodes), "small", [make.make_tensor_value_info(name, FULL, shape) for name, shape in shapes.items()],
        [make.make_tensor_value_info("clean", FULL, ["N", 4, 17, 3])],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )  # fmt: skip
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    meta = {"kind": "d3dp", "frames": 4, "rate_hz": 12.5, "timesteps": 1000, "scale": 1.0, "unit_m": 1.0, "input": "view"}
    make.set_model_props(model, {"pose_rt": json.dumps(meta | (metadata or {}))})
    return model.SerializeToString()


def node(op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(op, inputs, [output], name=f"{op}_{output}", **attributes)


def _matrices() -> tuple[np.ndarray, np.ndarray]:
    a = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    return a.astype(np.float32), a.T.astype(np.float32)


def two_layers(tiny: float = 0.5) -> bytes:
    """clean = (noisy A + 3000 - 3000) B + tiny: what the first layer adds and takes away costs fp16 the last bits."""
    a, b = _matrices()
    return small(
        node("MatMul", ["noisy", "a"], "wide"), node("Add", ["wide", "shift"], "shifted"), node("Sub", ["shifted", "shift"], "same"),
        node("MatMul", ["same", "b"], "back"),
        node("Add", ["back", "tiny"], "clean"),
        constants={"a": a, "b": b, "shift": np.float32(3000), "tiny": np.float32(tiny)},
    )  # fmt: skip


def types_of(model: bytes) -> dict[str, int]:
    proto = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
    known = [*proto.graph.value_info, *proto.graph.input, *proto.graph.output]
    return {v.name: v.type.tensor_type.elem_type for v in known}


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_model_has_a_strongly_typed_variant_near_it(name: str) -> None:
    path = zoo.load_path(name)
    half = to_fp16(path)
    proto = onnx.load_model_from_string(half)
    onnx.checker.check_model(proto, full_check=True)  # every operator's types agree
    full, variant = OnnxRuntimeBackend(path), OnnxRuntimeBackend(half)
    assert (variant.inputs, variant.metadata) == (full.inputs, full.metadata)
    assert [(o.name, o.dtype) for o in variant.outputs] == [(o.name, o.dtype) for o in full.outputs]
    computing = {name for group in layers(load_model(path)).values() for name in group}  # the rest shapes weights, once, when it is loaded
    read = {name for n in proto.graph.node if n.name in computing for name in n.input}
    assert not [t.name for t in proto.graph.initializer if t.name in read and t.data_type == FULL and np.prod(t.dims) > 8], "fp32 weights"
    heavy = {n.output[0] for n in proto.graph.node if n.op_type in ("Conv", "MatMul", "Gemm")}
    types = types_of(half)
    assert {types[v] for v in heavy if v in types} == {HALF}
    feeds = batch(trial_feeds(full.metadata, 3))
    wanted = full.run(feeds)
    found = deviation(full.metadata, feeds, wanted, variant.run(feeds))
    assert 0 < found.max < 10 * BUDGET[unit_of(full.metadata)]


@pytest.mark.parametrize("name", ["detector", "full"])
def test_models_that_fit_keep_nothing(name: str) -> None:
    fit = fit_fp16(zoo.load_path(name))
    assert fit.kept == () and fit.half and fit.refused is None
    assert fit.error.within(BUDGET[fit.error.unit])
    assert fit.model == to_fp16(zoo.load_path(name))


def test_the_search_keeps_the_guilty_layer_and_no_other() -> None:
    model = two_layers()
    groups = layers(load_model(model))
    assert list(groups) == ["MatMul_wide", "MatMul_back"]
    fit = fit_fp16(model, 5.0, "mm")
    assert fit.kept == ("MatMul_wide",)
    assert fit.refused is not None and fit.refused.max > 5.0 >= fit.error.max > 0
    types = types_of(fit.model)
    assert (types["wide"], types["back"]) == (FULL, HALF)
    again = fit_fp16(model, 5.0, known=fit.kept)
    assert (again.kept, again.model) == (fit.kept, fit.model)


def test_a_model_that_cannot_meet_its_budget_stays_as_it_is() -> None:
    model = two_layers()
    fit = fit_fp16(model, 1e-9)
    assert fit.model == model and not fit.half
    assert fit.error == Deviation(0.0, 0.0, "mm")
    assert fit.kept == ("MatMul_wide", "MatMul_back")


def test_roundings_stand_in_the_measured_graph() -> None:
    model = two_layers()
    judge = Judge(model)
    feeds = judge.feeds
    (a, b), f16, f32 = _matrices(), np.float16, np.float32
    wide = (feeds["noisy"].astype(f16).astype(f32) @ a.astype(f16).astype(f32)).astype(f16).astype(f32)
    shifted = (wide + f32(3000)).astype(f16).astype(f32)
    same = (shifted - f32(3000)).astype(f16).astype(f32)
    back = (same @ b.astype(f16).astype(f32)).astype(f16).astype(f32)
    wanted = (back + f32(0.5)).astype(f16).astype(f32)
    converter = Converter(judge.proto)
    converter.convert()
    got = OnnxRuntimeBackend(converter.rounded().SerializeToString()).run(feeds)["clean"]
    # The sum of three products in another order may fall to the other side of a rounding to steps of 2, here and there.
    assert np.mean(got == wanted) > 0.95
    assert np.abs(wanted - feeds["noisy"] - 0.5).mean() > 0.2, "the rounding to steps of 2 is what this is about"


def test_a_number_that_fp16_cannot_hold_keeps_its_node() -> None:
    for value, kept in ((1e-12, True), (1e6, True), (1e-3, False)):
        types = types_of(to_fp16(two_layers(tiny=value)))
        assert types["back"] == HALF
        assert ("clean_fp16" not in types) == kept


def test_names_and_files_that_are_wrong() -> None:
    with pytest.raises(ModelError, match="no layer 'nothing'"):
        to_fp16(two_layers(), ["nothing"])
    with pytest.raises(ModelError, match="not a valid ONNX file"):
        to_fp16(b"not a network")
    with pytest.raises(ValueError, match="wanted mm"):
        fit_fp16(two_layers(), 0.5, "px")
    with pytest.raises(ModelError, match="kind 'other'"):
        fit_fp16(small(node("Identity", ["noisy"], "clean"), constants={}, metadata={"kind": "other"}))


def test_a_graph_inside_a_node_is_named() -> None:
    make = onnx.helper
    then = make.make_graph([node("Identity", ["noisy"], "t")], "then", [], [make.make_tensor_value_info("t", FULL, None)])
    other = make.make_graph([node("Neg", ["noisy"], "e")], "else", [], [make.make_tensor_value_info("e", FULL, None)])
    branch = node("If", ["yes"], "clean", then_branch=then, else_branch=other)
    with pytest.raises(ModelError, match=r"If_clean.*\(If\)"):
        to_fp16(small(branch, constants={"yes": np.array(True)}))


def test_without_the_package_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(BackendError, match=r"pip install 'pose-rt\[tensorrt\]'"):
        to_fp16(b"")


def test_values_that_are_not_finite_are_infinitely_far() -> None:
    rng = np.random.default_rng(1)
    huge = (rng.standard_normal((3, 3)) * 1e5).astype(np.float32).clip(-6e4, 6e4)
    model = small(
        node("MatMul", ["noisy", "a"], "wide"), node("MatMul", ["wide", "b"], "clean"),
        constants={"a": huge, "b": np.linalg.inv(huge).astype(np.float32)},
    )  # fmt: skip
    assert Judge(model).rounded(()).max == np.inf


def test_recorded_inputs_are_spread_and_repeatable() -> None:
    metadata = OnnxRuntimeBackend(zoo.load_path("lifter_s")).metadata
    first, second = trial_feeds(metadata, 4), trial_feeds(metadata, 4)
    for one, other in zip(first, second, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert len({one["xy"].tobytes() for one in first}) == 4
    long = trial_feeds({**metadata, "frames": 243, "rate_hz": 50.0}, 2)
    assert long[0]["xy"].shape == (1, 243, 17, 2) and np.isfinite(long[1]["noisy"]).all()
