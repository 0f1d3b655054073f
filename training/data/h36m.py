"""Human3.6M in the files of VideoPose3D: world poses, detected keypoints and the public calibration of its four cameras."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pose_rt.core.camera import normalise_screen, world_to_camera
from pose_rt.core.skeleton import COCO17, H36M17, H36M32_TO_H36M17, Skeleton
from pose_rt.errors import InputError

from .convert import open_converted
from .recordings import DataSet, Recording, check_finite, screen, split_place, thin_out
from .store import Store

TRAIN_SUBJECTS, TEST_SUBJECTS = ("S1", "S5", "S6", "S7", "S8"), ("S9", "S11")
RATE_HZ = 50.0
ORIGIN = "VideoPose3D (github.com/facebookresearch/VideoPose3D, DATASETS.md; made from Human3.6M, vision.imar.ro/human3.6m)"


class CameraModel(NamedTuple):
    """One calibrated camera: `intrinsics` (9,) in normalised screen units, quaternion, place (m), picture size (px); float32."""

    name: str
    intrinsics: np.ndarray
    orientation: np.ndarray
    translation: np.ndarray
    size: tuple[int, int]


@lru_cache(maxsize=16)
def cameras(subject: str) -> tuple[CameraModel, ...]:
    """The four cameras of a subject.

    Raises:
        InputError: a subject without calibration.
    """
    table = json.loads(Path(__file__).with_name("h36m_cameras.json").read_text())
    if subject not in table["extrinsics"]:
        raise InputError(f"subject {subject}: no calibration", f"wanted one of {', '.join(table['extrinsics'])}")
    return tuple(
        _camera(name, inside, outside)
        for (name, inside), outside in zip(table["intrinsics"].items(), table["extrinsics"][subject], strict=True)
    )


def _camera(name: str, inside: dict[str, Any], outside: dict[str, Any]) -> CameraModel:
    width, height = inside["size"]
    center = normalise_screen(np.array(inside["center"], np.float32), width, height).astype(np.float32)
    focal = np.array(inside["focal_length"], np.float32) / np.float32(width) * np.float32(2)
    lens = np.array([*inside["radial"], *inside["tangential"]], np.float32)
    return CameraModel(
        name=name,
        intrinsics=np.concatenate([focal, center, lens]),
        orientation=np.array(outside["orientation"], np.float32),
        translation=np.array(outside["translation_mm"], np.float32) / np.float32(1000),
        size=(width, height),
    )


def load(
    folder: Path, subjects: tuple[str, ...], keypoints: str = "cpn_ft_h36m_dbb", *, downsample: int = 1, subset: float = 1.0
) -> DataSet:
    """Recordings of some subjects, from ``data_3d_h36m`` and ``data_2d_h36m_<keypoints>``; every call reads anew.

    Raises:
        InputError: a file is missing or not converted, subjects or actions do not match, a number is not finite.
    """
    poses, points = (open_converted(folder / name, ORIGIN) for name in ("data_3d_h36m.npz", f"data_2d_h36m_{keypoints}.npz"))
    recordings = []
    for subject in subjects:
        actions = [name for name in poses.names if name.startswith(f"{subject}/")]
        if not actions:
            known = sorted({name.split("/")[0] for name in poses.names})
            raise InputError(f"data_3d_h36m: has no subject {subject}", f"it has {', '.join(known)}")
        for entry in actions:
            world = poses[entry][:, list(H36M32_TO_H36M17)]
            for number, camera in enumerate(cameras(subject)):
                recording = _recording(entry, camera, world, _keypoints(points, f"{entry}/{number}", keypoints, len(world)))
                recordings.append(thin_out(check_finite(recording), downsample, subset))
    skeleton = _layout(points, keypoints)
    digests = {**poses.digests, **points.digests}
    return DataSet("h36m", recordings, skeleton, H36M17, 0, RATE_HZ / downsample, digests)


def _keypoints(points: Store, name: str, keypoints: str, length: int) -> np.ndarray:
    if name not in points.about["entries"]:
        raise InputError(f"data_2d_h36m_{keypoints}: has no {name}, which data_3d_h36m has")
    xy = points[name]
    if len(xy) < length:
        raise InputError(f"data_2d_h36m_{keypoints}: {name} has {len(xy)} frames, its poses have {length}")
    return xy[:length]  # videos run on after the motion capture has stopped


def _recording(entry: str, camera: CameraModel, world: np.ndarray, xy_px: np.ndarray) -> Recording:
    subject, action = entry.split("/", 1)
    pose = split_place(world_to_camera(world.astype(np.float32), camera.orientation, camera.translation), 0)
    return Recording(
        subject, action, camera.name, screen(xy_px, camera.size), pose.astype(np.float32), camera.intrinsics, camera.size,
        orientation=camera.orientation, translation=camera.translation,
    )  # fmt: skip


def _layout(points: Store, keypoints: str) -> Skeleton:
    """The joint order of the keypoints, by the left and right joints that the file names."""
    left, right = (tuple(side) for side in points.about["metadata"]["keypoints_symmetry"])
    for skeleton in (H36M17, COCO17):
        if set(zip(left, right, strict=True)) == set(zip(skeleton.left, skeleton.right, strict=True)):
            return skeleton
    raise InputError(f"data_2d_h36m_{keypoints}: left {left} and right {right} belong to neither {H36M17.name} nor {COCO17.name}")
