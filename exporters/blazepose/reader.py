"""Reads a float TFLite file into plain nodes and NumPy constants.

Half-precision weights behind DEQUANTIZE and sparse weights behind DENSIFY become ordinary constants (still float16), so that the
nodes left are the arithmetic of the network and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite

_DTYPES = {
    tflite.TensorType.FLOAT32: np.dtype("<f4"),
    tflite.TensorType.FLOAT16: np.dtype("<f2"),
    tflite.TensorType.INT32: np.dtype("<i4"),
}
_OPERATORS = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
_DENSE, _SPARSE_CSR = 0, 1
_INDEX_VECTORS = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}


class UnsupportedModel(ValueError):
    """The file uses something this converter does not translate; the message names it."""


@dataclass(frozen=True)
class Node:
    """One operator; `inputs` and `outputs` are tensor numbers, `options` the fields of its options table."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Graph:
    """The network: nodes in order, static NHWC shapes and names by tensor number, constants by tensor number."""

    nodes: tuple[Node, ...]
    shapes: dict[int, tuple[int, ...]]
    names: dict[int, str]
    constants: dict[int, np.ndarray]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


_OPTION_FIELDS: dict[str, tuple[type, tuple[str, ...]]] = {
    "CONV_2D": (
        tflite.Conv2DOptions,
        ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FusedActivationFunction"),
    ),
    "DEPTHWISE_CONV_2D": (
        tflite.DepthwiseConv2DOptions,
        ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "DepthMultiplier", "FusedActivationFunction"),
    ),
    "MAX_POOL_2D": (
        tflite.Pool2DOptions,
        ("Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth", "FusedActivationFunction"),
    ),
    "ADD": (tflite.AddOptions, ("FusedActivationFunction",)),
    "CONCATENATION": (tflite.ConcatenationOptions, ("Axis", "FusedActivationFunction")),
    "RESIZE_BILINEAR": (tflite.ResizeBilinearOptions, ("AlignCorners", "HalfPixelCenters")),
    "DEPTH_TO_SPACE": (tflite.DepthToSpaceOptions, ("BlockSize",)),
    "PAD": (tflite.PadOptions, ()),
    "RESHAPE": (tflite.ReshapeOptions, ()),
    "LOGISTIC": (object, ()),
}


def _index_vector(kind: int, table: Any) -> np.ndarray:
    vector = _INDEX_VECTORS[kind]()
    vector.Init(table.Bytes, table.Pos)
    return np.asarray(vector.ValuesAsNumpy(), np.int64)


def decode_sparse(values: np.ndarray, shape: tuple[int, ...], segments: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Dense array of `shape` from rows stored sparsely along the last axis (CSR).

    Row r (all leading axes flattened) holds ``values[segments[r]:segments[r + 1]]`` at the columns ``indices`` of the same range.
    """
    dense = np.zeros((int(np.prod(shape[:-1])), shape[-1]), values.dtype)
    rows = np.repeat(np.arange(len(dense)), np.diff(segments))
    dense[rows, indices] = values[: len(indices)]
    return dense.reshape(shape)


def _constant(model: Any, tensor: Any) -> np.ndarray | None:
    buffer = model.Buffers(tensor.Buffer())
    if buffer.DataLength() == 0:
        return None
    name = tensor.Name().decode()
    if tensor.Type() not in _DTYPES:
        raise UnsupportedModel(f"{name}: tensor type {tensor.Type()} is not float32, float16 or int32")
    values = buffer.DataAsNumpy().view(_DTYPES[tensor.Type()])
    shape = tuple(int(n) for n in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
    sparsity = tensor.Sparsity()
    if sparsity is None:
        return values.reshape(shape).copy()
    dims = [sparsity.DimMetadata(i) for i in range(sparsity.DimMetadataLength())]
    plain_order = sparsity.TraversalOrderAsNumpy().tolist() == list(range(len(shape)))
    csr = [dim.Format() for dim in dims] == [_DENSE] * (len(shape) - 1) + [_SPARSE_CSR]
    if not plain_order or sparsity.BlockMapLength() or not csr:
        raise UnsupportedModel(f"{name}: sparse layout is not rows with a sparse last axis")
    last = dims[-1]
    segments = _index_vector(last.ArraySegmentsType(), last.ArraySegments())
    indices = _index_vector(last.ArrayIndicesType(), last.ArrayIndices())
    return decode_sparse(values, shape, segments, indices)


def _options(kind: str, operator: Any) -> dict[str, Any]:
    if kind not in _OPTION_FIELDS:
        raise UnsupportedModel(f"operator {kind} is not translated; known: {', '.join(sorted(_OPTION_FIELDS))}")
    table_type, fields = _OPTION_FIELDS[kind]
    if not fields:
        return {}
    table, options = operator.BuiltinOptions(), table_type()
    options.Init(table.Bytes, table.Pos)
    return {field: getattr(options, field)() for field in fields}


def read_tflite(path: Path) -> Graph:
    """Parse the first subgraph of a TFLite file.

    Raises:
        UnsupportedModel: not a TFLite file, or an operator, tensor type or sparse layout that has no translation here.
    """
    data = path.read_bytes()
    if not tflite.Model.ModelBufferHasIdentifier(data, 0):
        raise UnsupportedModel(f"{path}: not a TFLite file (no TFL3 mark)")
    model = tflite.Model.GetRootAsModel(data, 0)
    subgraph = model.Subgraphs(0)
    shapes: dict[int, tuple[int, ...]] = {}
    names: dict[int, str] = {}
    constants: dict[int, np.ndarray] = {}
    for i in range(subgraph.TensorsLength()):
        tensor = subgraph.Tensors(i)
        shapes[i] = tuple(int(n) for n in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
        names[i] = tensor.Name().decode()
        value = _constant(model, tensor)
        if value is not None:
            constants[i] = value
    nodes = []
    for i in range(subgraph.OperatorsLength()):
        operator = subgraph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = tuple(int(n) for n in operator.InputsAsNumpy())
        outputs = tuple(int(n) for n in operator.OutputsAsNumpy())
        if kind in ("DEQUANTIZE", "DENSIFY"):
            if inputs[0] not in constants:
                raise UnsupportedModel(f"{kind} of an activation: only constants are decoded")
            constants[outputs[0]] = constants[inputs[0]]
        else:
            nodes.append(Node(kind, inputs, outputs, _options(kind, operator)))
    return Graph(
        tuple(nodes),
        shapes,
        names,
        constants,
        tuple(int(n) for n in subgraph.InputsAsNumpy()),
        tuple(int(n) for n in subgraph.OutputsAsNumpy()),
    )
