"""Meshes in files: a sequence of OBJ files, and an animated skinned body as binary glTF 2.0."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.rotations import axis_angle_to_quaternion, continuous
from .output import whole_file, write_errors

_FLOAT, _UINT, _USHORT = 5126, 5125, 5123
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


def write_obj_sequence(folder: Path, vertices: np.ndarray, faces: np.ndarray) -> list[Path]:
    """``frame000.obj`` and so on: vertices (T, N, 3), triangles (F, 3); files of more frames than now are removed."""
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("frame*.obj"):
            stale.unlink()
        triangles = "".join(f"f {a} {b} {c}\n" for a, b, c in (faces + 1).tolist())
        paths = []
        for i, frame in enumerate(vertices):
            paths.append(folder / f"frame{i:03d}.obj")
            paths[-1].write_text("".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in frame.tolist()) + triangles)
    return paths


@dataclass
class _Buffer:
    """The binary part of a glTF file and the views on it."""

    data: bytearray = field(default_factory=bytearray)
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)

    def add(self, values: np.ndarray, kind: int, *, bounds: bool = False) -> int:
        """Append (n,) or (n, k) values as one accessor and return its number."""
        values = np.ascontiguousarray(values, {_FLOAT: np.float32, _UINT: np.uint32, _USHORT: np.uint16}[kind])
        self.data += bytes(-len(self.data) % 4)
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": values.nbytes})
        self.data += values.tobytes()
        width = 1 if values.ndim == 1 else values.shape[1]
        accessor = {"bufferView": len(self.views) - 1, "componentType": kind, "count": len(values), "type": _TYPES[width]}
        if bounds:
            accessor |= {"min": np.atleast_1d(values.min(0)).tolist(), "max": np.atleast_1d(values.max(0)).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def strongest(skin: np.ndarray, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """The joints that move each vertex most, (N, 4), and their weights, which sum to one: skin (N, J)."""
    order = np.argsort(-skin, axis=1, kind="stable")[:, :count]
    weights = np.take_along_axis(skin, order, 1).clip(0)
    return order, weights / np.maximum(weights.sum(1, keepdims=True), 1e-9)


def write_glb(
    path: Path,
    vertices: np.ndarray,
    joints: np.ndarray,
    parents: tuple[int, ...],
    skin: np.ndarray,
    faces: np.ndarray,
    turns: np.ndarray,
    root: np.ndarray,
    fps: float,
    names: tuple[str, ...] | None = None,
) -> Path:
    """Write an animated body; whole or not at all.

    Args:
        vertices, joints: (N, 3) and (J, 3) in the rest pose, y up, m.
        parents: of the joints, -1 for the root, which comes first.
        skin: (N, J) weights.
        faces: (F, 3).
        turns: (T, J, 3) axis times angle of each joint relative to its parent.
        root: (T, 3) path of the root joint, relative to its place at rest.
    """
    buffer, count = _Buffer(), len(joints)
    chosen, weights = strongest(skin)
    offsets = joints - np.where(np.array(parents)[:, None] >= 0, joints[np.maximum(parents, 0)], 0)
    binds = np.tile(np.eye(4), (count, 1, 1))
    binds[:, 3, :3] = -joints  # column-major: the translation is the last column
    mesh = {
        "attributes": {
            "POSITION": buffer.add(vertices, _FLOAT, bounds=True), "JOINTS_0": buffer.add(chosen, _USHORT),
            "WEIGHTS_0": buffer.add(weights, _FLOAT),
        },
        "indices": buffer.add(faces.reshape(-1), _UINT), "mode": 4,
    }  # fmt: skip
    inverse = buffer.add(binds.reshape(count, 16), _FLOAT)
    time = buffer.add(np.arange(len(turns)) / fps, _FLOAT, bounds=True)
    quaternions = continuous(axis_angle_to_quaternion(turns.astype(np.float64)))[..., [1, 2, 3, 0]]
    samplers = [{"input": time, "output": buffer.add(quaternions[:, j], _FLOAT)} for j in range(count)]
    samplers.append({"input": time, "output": buffer.add(offsets[0] + root, _FLOAT)})
    channels = [{"sampler": j, "target": {"node": j, "path": "rotation"}} for j in range(count)]
    channels.append({"sampler": count, "target": {"node": 0, "path": "translation"}})
    nodes: list[dict[str, Any]] = [
        {"name": names[j] if names else f"joint{j}", "translation": offsets[j].astype(float).tolist()} for j in range(count)
    ]
    for j in range(count):
        if children := [k for k, parent in enumerate(parents) if parent == j]:
            nodes[j]["children"] = children
    nodes.append({"name": "body", "mesh": 0, "skin": 0})
    content = {
        "asset": {"version": "2.0", "generator": "pose-rt"}, "scene": 0, "scenes": [{"nodes": [0, count]}], "nodes": nodes,
        "meshes": [{"primitives": [mesh]}], "skins": [{"joints": list(range(count)), "inverseBindMatrices": inverse, "skeleton": 0}],
        "animations": [{"samplers": samplers, "channels": channels}], "accessors": buffer.accessors, "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }  # fmt: skip
    return _write_glb(path, content, bytes(buffer.data))


def _write_glb(path: Path, content: dict[str, Any], data: bytes) -> Path:
    """Header, JSON chunk, binary chunk, each padded to four bytes."""
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    data += bytes(-len(data) % 4)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(data)))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", len(data), b"BIN\0") + data)
    return path
