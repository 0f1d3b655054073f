"""The `pose_rt` entry of an ONNX file's metadata, read without a runtime: the fields of the file are walked, weights are skipped."""

from __future__ import annotations

import json
from typing import Any

_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _fields(data: memoryview) -> list[tuple[int, memoryview]]:
    """(number, content) of the length-delimited fields of a protobuf message."""
    at, found = 0, []
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        elif kind == _BYTES:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("a field that ends after the file")
            found.append((tag >> 3, data[at : at + length]))
            at += length
        else:
            raise ValueError(f"a field of wire type {kind}")
    return found


def read_metadata(model: bytes) -> dict[str, Any]:
    """What a model says of itself; empty where it says nothing, or is no ONNX file."""
    try:
        for number, content in _fields(memoryview(model)):
            if number == _METADATA_PROPS:
                entry = {key: bytes(value).decode() for key, value in _fields(content)}
                if entry.get(_KEY) == "pose_rt":
                    value = json.loads(entry.get(_VALUE, "{}"))
                    return value if isinstance(value, dict) else {}
    except (ValueError, IndexError):
        return {}
    return {}
