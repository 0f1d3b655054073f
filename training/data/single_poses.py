"""The published files of GFPose: what the converter makes of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.core.skeleton import H36M17
from pose_rt.errors import InputError

from .unpickle import pickled_object

POSES = {"train": "h36m_train.pkl", "test": "h36m_test.pkl"}
DETECTIONS = "h36m_sh_dt_ft.pkl"
_JOINTS = H36M17.num_joints
PATTERNS = (*POSES.values(), DETECTIONS)
_FIELDS: dict[str, tuple[int, ...]] = {
    "joint_3d_image": (_JOINTS, 3), "joint_3d_camera": (_JOINTS, 3), "box": (4,), "root_depth": (), "action": (),
}  # fmt: skip
_CAMERA = ("cx", "cy", "fx", "fy")


def reader(path: Path) -> Callable[[Path], Iterator[tuple[str, np.ndarray]]] | None:
    """The function that reads a file of this name; None for other files."""
    if path.name in POSES.values():
        return _poses
    return _detections if path.name == DETECTIONS else None


def _poses(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    items = pickled_object(path)
    if not isinstance(items, list) or not items:
        raise InputError(f"{path}: holds a {type(items).__name__}, wanted a list of poses")
    columns: dict[str, list[Any]] = {name: [] for name in (*_FIELDS, "camera")}
    for number, item in enumerate(items):
        try:
            for name, shape in _FIELDS.items():
                value = np.asarray(item[name], np.float64)
                if value.size != int(np.prod(shape)):
                    raise ValueError(f"{name} has the shape {value.shape}, wanted {shape}")
                columns[name].append(value.reshape(shape))
            columns["camera"].append([float(np.asarray(item["camera_param"][key]).reshape(())) for key in _CAMERA])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: pose {number}: {error!s}") from error
    for name, column in columns.items():
        yield name, np.asarray(column, np.int64 if name == "action" else np.float64)


def _detections(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    data = pickled_object(path)
    for split in ("train", "test"):
        try:
            joints, confidence = np.asarray(data[split]["joint3d_image"]), np.asarray(data[split]["confidence"])
        except (KeyError, TypeError, IndexError) as error:
            raise InputError(f"{path}: no joint3d_image and confidence of {split!r} ({error!s})") from error
        if joints.ndim != 3 or joints.shape[1] != _JOINTS or joints.shape[2] < 2 or len(confidence) != len(joints):
            raise InputError(f"{path}: {split}: got {joints.shape} and {confidence.shape}, wanted (N, 17, 2 or more) and (N, 17, 1)")
        yield f"{split}/joint3d_image", joints[..., :2].astype(np.float64)
        yield f"{split}/confidence", confidence.reshape(len(joints), _JOINTS, 1).astype(np.float64)
