"""Human3.6M in the layout of the 3D run (parallel lists of images and annotations), and MPII beside it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.errors import InputError

from .annotations import Annotations, gather, parse
from .crops import xywh_to_xyxy

NAMES = (
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "torso", "neck", "nose", "head",
    "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist", "thorax",
)  # fmt: skip
PAIRS = ((1, 4), (2, 5), (3, 6), (14, 11), (15, 12), (16, 13))
EDGES = tuple(
    (a, b) for a, b in zip(range(1, 17), (0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15), strict=True)
)  # fmt: skip
FROM_MPII = (6, 2, 1, 0, 3, 4, 5, -1, 8, -1, 9, 13, 14, 15, 12, 11, 10, 7)
"""MPII joint of each of the 18; -1 = none."""
_CORRUPT = ("s_09_act_05_subact_02", "s_09_act_10_subact_02", "s_09_act_13_subact_01")
FILES = {True: "Sample_trainmin_train_Human36M_protocol_2.json", False: "Sample_64_test_Human36M_protocol_2.json"}


def with_thorax(joints: np.ndarray) -> np.ndarray:
    """(..., 17, 3) -> (..., 18, 3): the middle of the shoulders."""
    return np.concatenate([joints, (joints[..., 11:12, :] + joints[..., 14:15, :]) / 2], -2)


def to_camera(world_mm: np.ndarray, rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    """R (X - t): (..., J, 3) mm with (..., 3, 3) and (..., 3)."""
    return np.einsum("...ij,...kj->...ki", np.asarray(rotation, np.float64), world_mm - np.asarray(position, np.float64)[..., None, :])


def to_pixels(camera_mm: np.ndarray, focal: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(..., J, 3) mm -> x, y in px (f X / (Z + 1e-8) + c) and Z in mm from the first joint."""
    xy = camera_mm[..., :2] / (camera_mm[..., 2:] + 1e-8) * np.asarray(focal, np.float64)[..., None, :]
    z = camera_mm[..., 2:] - camera_mm[..., :1, 2:]
    return np.concatenate([xy + np.asarray(centre, np.float64)[..., None, :], z], -1)


def from_pixels(uvd: np.ndarray, root_mm: np.ndarray, focal: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """x, y in px and z in mm from the root -> camera mm, with the root's true depth (N,)."""
    depth = uvd[..., 2] + np.asarray(root_mm)[..., None]
    xy = (uvd[..., :2] - np.asarray(centre, np.float64)[..., None, :]) / np.asarray(focal, np.float64)[..., None, :] * depth[..., None]
    return np.concatenate([xy, depth[..., None]], -1)


def read_h36m(path: Path, images: Path) -> Annotations:
    """People of a `Sample_*_Human36M_protocol_2.json`; the three corrupt sequences of S9 are left out.

    ``extra``: camera_mm (N, 18, 3), focal and centre (N, 2), action (N,).

    Raises:
        InputError: another layout or another number of joints.
    """
    value = parse(path, FILES[True])
    if not isinstance(value, dict) or not {"images", "annotations"} <= value.keys() or len(value["images"]) != len(value["annotations"]):
        raise InputError(f"{path}: not in the layout of the 3D run", "wanted parallel lists images and annotations")
    skipped: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for picture, entry in zip(value["images"], value["annotations"], strict=True):
        name = str(picture["file_name"])
        if any(part in name for part in _CORRUPT):
            skipped["of a corrupt sequence of S9"] += 1
            continue
        if "keypoints_world" not in entry or "cam_param" not in entry:
            raise InputError(f"{path}: the entry of {name} has no keypoints_world and cam_param", "wanted the annotations of protocol 2")
        world = np.array(entry["keypoints_world"], np.float64).reshape(-1, 3)
        if len(world) != 17:
            raise InputError(f"{path}: the entry of {name} has {len(world)} joints, wanted 17")
        camera = entry["cam_param"]
        joints = with_thorax(to_camera(world, np.array(camera["R"], np.float32), np.array(camera["t"], np.float32)))
        focal, centre = np.array(camera["f"], np.float32), np.array(camera["c"], np.float32)
        box = xywh_to_xyxy(np.array(entry["bbox"], np.float64))
        width, height = picture["width"], picture["height"]
        if box[2] <= 0 or box[3] <= 0 or box[0] >= width or box[1] >= height or box[2] <= box[0] or box[3] <= box[1]:
            skipped["with an empty box or one outside the picture"] += 1
            continue
        rows.append({
            "file": images / name, "box": box, "joints": to_pixels(joints, focal, centre), "visible": np.ones(18),
            "image_id": entry["image_id"], "camera_mm": joints, "focal": focal, "centre": centre, "action": action_of(name),
        })  # fmt: skip
    return gather(path, rows, skipped, names=NAMES, pairs=PAIRS, edges=EDGES)


def action_of(name: str) -> int:
    """0 to 14 from the part act_XX of a path (2 to 16); -1 where there is none."""
    found = re.search(r"act_(\d\d)", name)
    return int(found.group(1)) - 2 if found else -1


def read_mpii(path: Path, images: Path) -> Annotations:
    """MPII's people on the 18 joints: x and y count, z does not.

    Raises:
        InputError: another layout or another number of joints.
    """
    from .coco import read_coco

    found = read_coco(path, images, joints=16, own=True)
    source = np.array(FROM_MPII)
    there = source >= 0
    joints, visible = np.zeros((len(found), 18, 3)), np.zeros((len(found), 18, 3), np.float32)
    joints[:, there, :2] = found.joints[:, source[there]]
    visible[:, there, :2] = found.visible[:, source[there]]
    return Annotations(found.files, found.box, joints, visible, found.image_id, NAMES, PAIRS, EDGES, skipped=found.skipped)
