"""Rewrites an fp32 ONNX graph in fp16, strongly typed: the precision of every value stands in the file.

Inputs and outputs stay fp32, cast inside; chosen layers stay fp32, with casts around them. Arithmetic on shapes is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pose_rt.errors import BackendError, ModelError

if TYPE_CHECKING:
    import onnx
    from onnx import ModelProto
else:
    ModelProto = Any

INSTALL = "pip install 'pose-rt[tensorrt]'"
_MOVES = frozenset(
    ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Concat", "Gather", "Expand", "Flatten", "Identity", "Pad",
     "DepthToSpace", "SpaceToDepth", "Clip", "Relu", "MaxPool", "Neg", "Abs", "Where", "Tile", "GatherElements", "Max", "Min")
)  # fmt: skip
"""Operators whose results are among their inputs' values (or limits): nothing to round."""
_FP32_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}
"""Inputs that are float32 whatever the data is."""
_STARTS_A_LAYER = frozenset(("Conv", "ConvTranspose", "MatMul", "Gemm", "LayerNormalization", "BatchNormalization", "Softmax"))
_LARGEST, _SMALLEST = 65504.0, 2.0**-24


def import_onnx() -> Any:
    """The package onnx, or a BackendError that says how to get it."""
    try:
        import onnx
    except ImportError as error:
        raise BackendError(f"fp16 models are made with the package onnx, which cannot be imported ({error})", INSTALL) from error
    return onnx


def load_model(model: Path | bytes) -> onnx.ModelProto:
    """A checked model from a file or its bytes, with a name for every node.

    Raises:
        BackendError: the package onnx is missing.
        ModelError: the file is missing, damaged or not a valid network.
    """
    onnx = import_onnx()
    where = "the model" if isinstance(model, bytes) else str(model)
    try:
        proto = onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load(str(model))
        onnx.checker.check_model(proto)
    except Exception as error:  # protobuf, onnx and the file system raise their own types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{where} is not a valid ONNX file: {reason[:300]}", "export it again with python -m exporters") from error
    taken: set[str] = set()
    for i, node in enumerate(proto.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{node.output[0] or i}"
        taken.add(node.name)
    return proto


def layers(proto: onnx.ModelProto) -> dict[str, list[str]]:
    """The nodes of each layer that computes with data: {name of its first node: names of its nodes}, in order.

    A layer begins with a convolution, a matrix product, a normalisation or a softmax and goes on to the next of these.
    """
    data = _Types(proto).data_nodes
    groups: dict[str, list[str]] = {}
    current = ""
    for node in proto.graph.node:
        if node.name not in data:
            continue
        if not current or node.op_type in _STARTS_A_LAYER:
            current = node.name
        groups.setdefault(current, []).append(node.name)
    return groups


class _Types:
    """What each value of an fp32 graph is: constant, shape arithmetic, or float data that fp16 may hold."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        onnx = import_onnx()
        float32 = onnx.TensorProto.FLOAT
        inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=False)
        graph = inferred.graph
        known = [*graph.value_info, *graph.input, *graph.output]
        self.floats = {v.name for v in known if v.type.tensor_type.elem_type == float32}
        self.constants: dict[str, np.ndarray] = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        self.data = {v.name for v in graph.input if v.name in self.floats and v.name not in self.constants}
        self.data_nodes: set[str] = set()
        self.folded: set[str] = set()
        for node in graph.node:
            if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute):
                raise ModelError(
                    f"node {node.name!r} ({node.op_type}) has a graph inside, which has no fp16 variant", "use --precision fp32"
                )
            if node.op_type == "Constant":
                value = next((a for a in node.attribute if a.name == "value"), None)
                if value is not None:
                    self.constants[node.output[0]] = onnx.numpy_helper.to_array(value.t)
                    self.folded.add(node.name)
                continue
            stored = self.constants.get(node.input[0]) if node.op_type == "Cast" and len(node.input) else None
            if stored is not None and stored.dtype == np.float16 and node.attribute[0].i == float32:
                self.constants[node.output[0]] = stored.astype(np.float32)  # weights that are kept in half the space
                self.folded.add(node.name)
                continue
            reads_data = node.op_type != "Shape" and any(name in self.data for name in node.input)
            outputs = [name for name in node.output if name in self.floats]
            if reads_data and outputs:
                self.data.update(outputs)
                self.data_nodes.add(node.name)


class Converter:
    """Makes every data layer but those in `keep` (names of nodes) compute in fp16."""

    def __init__(self, proto: onnx.ModelProto, keep: Iterable[str] = ()) -> None:
        self._onnx = import_onnx()
        self._types = _Types(proto)
        self._half_nodes = self._types.data_nodes - set(keep)
        self._outputs = {v.name for v in proto.graph.output}
        self._half: set[str] = set()
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._casts: dict[tuple[str, bool], str] = {}
        self._proto = proto

    def convert(self) -> onnx.ModelProto:
        """The strongly typed model."""
        for node in self._proto.graph.node:
            if node.name not in self._types.folded:
                self._convert_node(node)
        for value in self._proto.graph.output:
            if value.name in self._half:
                self._cast(f"{value.name}_fp16", value.name, False)
        result = self._with(self._nodes, self._constants.values())
        self._onnx.checker.check_model(result)
        return result

    def rounded(self) -> onnx.ModelProto:
        """After `convert`: the same graph in fp32, with every fp16 result rounded to fp16 and back.

        On a CPU, ONNX Runtime computes fp16 layers in fp32 and drops the rounding between them, which flatters the model; here it
        stands in the graph: sums in fp32 and results in fp16, as tensor cores do it.
        """
        half = {f"{name}_fp16" if name in self._outputs else name for name in self._half}
        half |= {target for (_, to_half), target in self._casts.items() if to_half}
        typed, self._nodes = self._nodes, []
        for original in typed:
            node = self._onnx.NodeProto()
            node.CopyFrom(original)
            self._nodes.append(node)
            if node.op_type == "Cast" and node.input[0] in half and node.output[0] not in half:
                node.attribute[0].i = self._kind(False)
            if node.op_type in _MOVES:
                continue
            for i, name in enumerate(original.output):
                if name in half:
                    if node.op_type == "Cast":
                        node.attribute[0].i = self._kind(False)
                    node.name, node.output[i] = f"{original.name}_exact", f"{name}_exact"
                    self._cast(f"{name}_exact", f"{name}_rounded", True)
                    self._cast(f"{name}_rounded", name, False)
        rounded, self._nodes = self._nodes, typed
        constants = []
        for tensor in self._constants.values():
            value = self._onnx.numpy_helper.to_array(tensor)
            constants.append(
                tensor if value.dtype != np.float16 else self._onnx.numpy_helper.from_array(value.astype(np.float32), tensor.name)
            )
        return self._with(rounded, constants)

    def _with(self, nodes: Iterable[onnx.NodeProto], constants: Iterable[onnx.TensorProto]) -> onnx.ModelProto:
        result = self._onnx.ModelProto()
        result.CopyFrom(self._proto)
        for field in ("node", "initializer", "value_info"):
            result.graph.ClearField(field)
        result.graph.node.extend(nodes)
        result.graph.initializer.extend(constants)
        return result

    def _convert_node(self, original: onnx.NodeProto) -> None:
        node = self._onnx.NodeProto()
        node.CopyFrom(original)
        half = node.name in self._half_nodes and not self._loses_a_constant(original)
        fp32_inputs = _FP32_INPUTS.get(node.op_type, ())
        for i, name in enumerate(original.input):
            if name:
                node.input[i] = self._input(name, half and i not in fp32_inputs)
        if half:
            for i, name in enumerate(original.output):
                if name in self._types.floats:
                    self._half.add(name)
                    node.output[i] = self._now(name)
            if node.op_type == "Cast":
                node.attribute[0].i = self._kind(True)
        self._nodes.append(node)

    def _loses_a_constant(self, node: onnx.NodeProto) -> bool:
        """Whether a constant has no place in fp16: beyond its range, or a small number, such as an epsilon, that becomes 0."""
        skipped = _FP32_INPUTS.get(node.op_type, ())
        for i, name in enumerate(node.input):
            value = self._types.constants.get(name)
            if value is None or value.dtype != np.float32 or i in skipped or not value.size:
                continue
            largest = np.abs(value).max()
            if largest > _LARGEST or 0 < largest < _SMALLEST:
                return True
        return False

    def _input(self, name: str, half: bool) -> str:
        """What to read in place of `name`: itself, a cast of it, or a constant in the wanted precision."""
        constant = self._types.constants.get(name)
        if constant is not None:
            if half and constant.dtype == np.float32:
                name, constant = f"{name}_fp16", constant.astype(np.float16)
            return self._constant(name, constant)
        if name not in self._types.floats or (name in self._half) == half:
            return self._now(name)
        key = (name, half)
        if key not in self._casts:
            self._casts[key] = f"{name}_as_{'fp16' if half else 'fp32'}"
            self._cast(self._now(name), self._casts[key], half)
        return self._casts[key]

    def _now(self, name: str) -> str:
        """An output of the graph keeps its name for the fp32 value; its fp16 value has another."""
        return f"{name}_fp16" if name in self._outputs and name in self._half else name

    def _kind(self, half: bool) -> int:
        return int(self._onnx.TensorProto.FLOAT16 if half else self._onnx.TensorProto.FLOAT)

    def _cast(self, source: str, target: str, half: bool) -> None:
        self._nodes.append(self._onnx.helper.make_node("Cast", [source], [target], f"Cast_{target}", to=self._kind(half)))

    def _constant(self, name: str, value: np.ndarray) -> str:
        if name not in self._constants:
            self._constants[name] = self._onnx.numpy_helper.from_array(value, name)
        return name
