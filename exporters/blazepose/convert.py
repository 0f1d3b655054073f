"""TFLite graph -> ONNX graph: NHWC -> NCHW, explicit padding folded into the convolutions, weights kept in half precision.

Half-precision weights are stored as they are, each behind a Cast that the runtime folds when it loads the file: half the size and
not a bit lost. Activations stay 4-D until the named outputs, so that the only transposes are the detector's few small heads.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exporters.blazepose.reader import Graph, Node, UnsupportedModel

OPSET = 17
_SAME, _VALID = 0, 1
_ACTIVATIONS = {0: None, 1: "Relu", 3: "Relu6"}


@dataclass(frozen=True)
class OutputSpec:
    """A wanted output: the TFLite name it comes from, its ONNX name and its shape behind the batch axis."""

    source: str
    name: str
    shape: tuple[int, ...]


DETECTOR_OUTPUTS = (OutputSpec("Identity", "boxes", (2254, 12)), OutputSpec("Identity_1", "scores", (2254, 1)))
LANDMARK_OUTPUTS = (
    OutputSpec("Identity", "landmarks", (39, 5)),
    OutputSpec("Identity_1", "presence", (1,)),
    OutputSpec("Identity_3", "heatmap", (39, 64, 64)),
    OutputSpec("Identity_4", "world", (39, 3)),
)
SEGMENTATION_OUTPUT = OutputSpec("Identity_2", "segmentation", (1, 256, 256))


def _pads(length: int, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """Padding before and after one axis; TFLite's SAME puts the odd pixel after."""
    if padding == _VALID:
        return 0, 0
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


@dataclass
class _Builder:
    graph: Graph
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initialisers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    padded: dict[int, tuple[int, tuple[int, int, int, int]]] = field(default_factory=dict)
    public: dict[int, str] = field(default_factory=dict)

    def value(self, tensor: int) -> str:
        return self.public.get(tensor, f"t{tensor}")

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"{op}_{output}", **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        if name not in self.initialisers:
            self.initialisers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name: str, value: np.ndarray) -> str:
        """A weight as float32 in the graph; stored as float16 where that loses nothing."""
        half = value.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), value.astype(np.float32)):
            return self.constant(name, value.astype(np.float32))
        if name not in self.initialisers:
            self.constant(name, half)
            self.add("Cast", [name], f"{name}_f32", to=TensorProto.FLOAT)
        return f"{name}_f32"

    def activate(self, node: Node, produced: str, output: str) -> None:
        """Name the result of a node whose fused activation, if any, is still to come."""
        kind = _ACTIVATIONS.get(node.options.get("FusedActivationFunction", 0), "")
        if kind == "Relu6":
            low = self.constant("zero", np.array(0, np.float32))
            high = self.constant("six", np.array(6, np.float32))
            self.add("Clip", [produced, low, high], output)
        elif kind == "Relu":
            self.add("Relu", [produced], output)

    def raw_name(self, node: Node) -> str:
        """Where a node with a fused activation puts its result before the activation."""
        kind = node.options.get("FusedActivationFunction", 0)
        if kind not in _ACTIVATIONS:
            raise UnsupportedModel(f"{node.kind}: fused activation {kind} is not translated")
        output = self.value(node.outputs[0])
        return output if _ACTIVATIONS[kind] is None else f"{output}_raw"

    def convolution(self, node: Node) -> None:
        source, weights, bias = node.inputs
        kernel = self.graph.constants[weights]
        options = node.options
        strides = (options["StrideH"], options["StrideW"])
        dilations = (options["DilationHFactor"], options["DilationWFactor"])
        if node.kind == "DEPTHWISE_CONV_2D":
            if options["DepthMultiplier"] != 1:
                raise UnsupportedModel(f"DEPTHWISE_CONV_2D: depth multiplier {options['DepthMultiplier']} is not translated")
            kernel, groups = kernel.transpose(3, 0, 1, 2), kernel.shape[3]
        else:
            kernel, groups = kernel.transpose(0, 3, 1, 2), 1
        explicit = (0, 0, 0, 0)
        if source in self.padded:
            source, explicit = self.padded[source]
            if options["Padding"] != _VALID:
                raise UnsupportedModel(f"{node.kind}: SAME padding on top of an explicit PAD")
        _, height, width, _ = self.graph.shapes[source]
        reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel.shape[2:], strict=True)]
        top, bottom = _pads(height, reach[0], strides[0], options["Padding"])
        left, right = _pads(width, reach[1], strides[1], options["Padding"])
        produced = self.add(
            "Conv",
            [self.value(source), self.weight(f"w{weights}", kernel), self.weight(f"b{bias}", self.graph.constants[bias])],
            self.raw_name(node),
            kernel_shape=list(kernel.shape[2:]),
            strides=list(strides),
            dilations=list(dilations),
            group=groups,
            pads=[top + explicit[0], left + explicit[1], bottom + explicit[2], right + explicit[3]],
        )
        self.activate(node, produced, self.value(node.outputs[0]))

    def pad(self, node: Node) -> None:
        """A spatial PAD before VALID convolutions is remembered and becomes theirs; a channel PAD becomes a node."""
        (n0, n1), (top, bottom), (left, right), (c0, c1) = self.graph.constants[node.inputs[1]].tolist()
        users = [user for user in self.graph.nodes if node.outputs[0] in user.inputs]
        if not (n0 or n1 or c0 or c1) and all("CONV_2D" in user.kind for user in users):
            self.padded[node.outputs[0]] = (node.inputs[0], (top, left, bottom, right))
            return
        amounts = self.constant(f"pads{node.outputs[0]}", np.array([n0, c0, top, left, n1, c1, bottom, right], np.int64))
        self.add("Pad", [self.value(node.inputs[0]), amounts], self.value(node.outputs[0]))

    def add_tensors(self, node: Node) -> None:
        produced = self.add("Add", [self.value(i) for i in node.inputs], self.raw_name(node))
        self.activate(node, produced, self.value(node.outputs[0]))

    def max_pool(self, node: Node) -> None:
        options = node.options
        _, height, width, _ = self.graph.shapes[node.inputs[0]]
        top, bottom = _pads(height, options["FilterHeight"], options["StrideH"], options["Padding"])
        left, right = _pads(width, options["FilterWidth"], options["StrideW"], options["Padding"])
        produced = self.add(
            "MaxPool",
            [self.value(node.inputs[0])],
            self.raw_name(node),
            kernel_shape=[options["FilterHeight"], options["FilterWidth"]],
            strides=[options["StrideH"], options["StrideW"]],
            pads=[top, left, bottom, right],
        )
        self.activate(node, produced, self.value(node.outputs[0]))

    def resize(self, node: Node) -> None:
        if node.options["AlignCorners"] or not node.options["HalfPixelCenters"]:
            raise UnsupportedModel("RESIZE_BILINEAR: only half-pixel centres are translated")
        _, height, width, _ = self.graph.shapes[node.inputs[0]]
        new_height, new_width = self.graph.constants[node.inputs[1]].tolist()
        scales = np.array([1, 1, new_height / height, new_width / width], np.float32)
        name = self.constant("scales_" + "_".join(f"{s:g}" for s in scales[2:]), scales)
        self.add(
            "Resize",
            [self.value(node.inputs[0]), "", name],
            self.value(node.outputs[0]),
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def depth_to_space(self, node: Node) -> None:
        self.add("DepthToSpace", [self.value(node.inputs[0])], self.value(node.outputs[0]), blocksize=node.options["BlockSize"], mode="DCR")

    def logistic(self, node: Node) -> None:
        self.add("Sigmoid", [self.value(node.inputs[0])], self.value(node.outputs[0]))

    def reshape(self, node: Node) -> None:
        """NHWC order is what a reshape of a feature map means: transpose first, unless the map is one pixel."""
        source, shape = node.inputs[0], self.graph.shapes[node.inputs[0]]
        name = self.value(source)
        if len(shape) != 4:
            raise UnsupportedModel(f"RESHAPE of a tensor of {len(shape)} axes")
        if shape[1] * shape[2] != 1:
            name = self.add("Transpose", [name], f"{name}_nhwc", perm=[0, 2, 3, 1])
        target = self.graph.shapes[node.outputs[0]]
        self.add("Reshape", [name, self.shape((0, *target[1:]))], self.value(node.outputs[0]))

    def shape(self, shape: tuple[int, ...]) -> str:
        return self.constant("shape_" + "_".join(map(str, shape)), np.array(shape, np.int64))

    def concatenation(self, node: Node) -> None:
        if len(self.graph.shapes[node.inputs[0]]) == 4 or node.options["FusedActivationFunction"]:
            raise UnsupportedModel("CONCATENATION: only of reshaped heads, without activation")
        self.add("Concat", [self.value(i) for i in node.inputs], self.value(node.outputs[0]), axis=node.options["Axis"])


_TRANSLATORS = {
    "CONV_2D": _Builder.convolution,
    "DEPTHWISE_CONV_2D": _Builder.convolution,
    "PAD": _Builder.pad,
    "ADD": _Builder.add_tensors,
    "MAX_POOL_2D": _Builder.max_pool,
    "RESIZE_BILINEAR": _Builder.resize,
    "DEPTH_TO_SPACE": _Builder.depth_to_space,
    "LOGISTIC": _Builder.logistic,
    "RESHAPE": _Builder.reshape,
    "CONCATENATION": _Builder.concatenation,
}


def _nchw(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else shape


def _needed(graph: Graph, outputs: list[int]) -> set[int]:
    """Positions of the nodes that the given tensors depend on."""
    wanted, kept = set(outputs), set()
    for i in range(len(graph.nodes) - 1, -1, -1):
        if wanted & set(graph.nodes[i].outputs):
            kept.add(i)
            wanted |= set(graph.nodes[i].inputs)
    return kept


def to_onnx(graph: Graph, outputs: tuple[OutputSpec, ...], metadata: dict[str, str]) -> onnx.ModelProto:
    """Translate the part of the graph that the wanted outputs need.

    Args:
        graph: what `read_tflite` gave.
        outputs: the outputs to keep; everything that only others need is cut.
        metadata: string properties to store in the file.

    Raises:
        UnsupportedModel: an operator or option without a translation, or an output that the file does not have.
    """
    by_name = {graph.names[i]: i for i in graph.outputs}
    missing = [spec.source for spec in outputs if spec.source not in by_name]
    if missing:
        raise UnsupportedModel(f"outputs {', '.join(missing)} are not in the file, which has {', '.join(by_name)}")
    kept = _needed(graph, [by_name[spec.source] for spec in outputs])
    pruned = replace(graph, nodes=tuple(node for i, node in enumerate(graph.nodes) if i in kept))
    # An output that has the wanted shape already gets its public name; the others need a last reshape.
    ready = {by_name[spec.source]: spec.name for spec in outputs if _nchw(graph.shapes[by_name[spec.source]])[1:] == spec.shape}
    builder = _Builder(pruned, public={graph.inputs[0]: "image", **ready})
    for node in pruned.nodes:
        _TRANSLATORS[node.kind](builder, node)
    for spec in outputs:
        if by_name[spec.source] not in ready:
            builder.add("Reshape", [builder.value(by_name[spec.source]), builder.shape((0, *spec.shape))], spec.name)
    infos = [helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, ["N", *spec.shape]) for spec in outputs]
    _, height, width, channels = graph.shapes[graph.inputs[0]]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", channels, height, width])
    model = helper.make_model(
        helper.make_graph(builder.nodes, "blazepose", [image], infos, list(builder.initialisers.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="pose-rt",
        ir_version=8,
    )
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model
