"""Human3.6M as GFPose publishes it: single poses in the pixels of a 1000 x 1000 crop, with their cameras and detected 2D.

``h36m_train.pkl``, ``h36m_test.pkl`` and ``h36m_sh_dt_ft.pkl`` are pickles; ``python -m training.data.convert DIR`` turns them into folders
of arrays once, and only those are read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose_rt.core.skeleton import H36M17, mirror_points
from pose_rt.errors import InputError, UsageError
from training.data.convert import converted
from training.data.single_poses import DETECTIONS, POSES
from training.data.store import open_store

CROP_PX = 1000.0
ACTIONS = tuple(range(2, 17))
"""Labels of the fifteen actions."""
_JOINTS = H36M17.num_joints


def normalise(pixels: np.ndarray) -> np.ndarray:
    """Pixels to the data's unit, float32: ``x, y -> v / 1000 * 2 - 1``, ``z -> v / 1000 * 2``; (..., 2 or 3)."""
    out = pixels.astype(np.float32) / np.float32(CROP_PX) * np.float32(2.0)
    out[..., :2] -= np.float32(1.0)
    return out


def denormalise(poses: np.ndarray) -> np.ndarray:
    """The inverse of `normalise`."""
    out = poses * np.float32(CROP_PX / 2)
    out[..., :2] += poses.dtype.type(CROP_PX / 2)
    return out


def with_noise(pixels: np.ndarray, kind: str, std: float, draw: np.ndarray) -> np.ndarray:
    """Poses in pixels with noise on all three axes, for denoising.

    Args:
        pixels: (B, 17, 3).
        kind: "gaussian": `std` times a normal draw; "uniform": `std` times a uniform one less a half.
        std: pixels, not negative.
        draw: (B, 17, 3).

    Raises:
        UsageError: another kind, or a negative `std`.
    """
    if std < 0:
        raise UsageError(f"std is {std:g}, wanted 0 or more", "give --std in pixels of the 1000 x 1000 crop")
    if kind not in ("gaussian", "uniform"):
        raise UsageError(f"noise is {kind!r}, wanted gaussian or uniform")
    return pixels + std * (draw if kind == "gaussian" else draw - 0.5)


def mirrored_pair(poses: np.ndarray) -> np.ndarray:
    """(B, 51) -> (2B, 51): the poses, then their mirror images."""
    return np.concatenate([poses, mirror_points(poses.reshape(-1, _JOINTS, 3), H36M17).reshape(poses.shape)])


def unmirrored_mean(poses: np.ndarray) -> np.ndarray:
    """(2B, 51) from `mirrored_pair` -> (B, 51): the mean of each pose and its image turned back."""
    first, second = poses.reshape(2, -1, _JOINTS, 3)
    return ((first + mirror_points(second, H36M17)) / 2).reshape(-1, poses.shape[1])


def world_to_camera(points: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """World points (..., 3) in the axes of a camera at `translation` (3, 1) with `rotation` (3, 3)."""
    out: np.ndarray = (points - translation[:, 0]) @ rotation.T
    return out


def camera_to_world(points: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """The inverse of `world_to_camera`."""
    out: np.ndarray = points @ rotation + translation[:, 0]
    return out


def rank_slice(count: int, rank: int, ranks: int) -> range:
    """The items of one of several processes: contiguous, the first ``count % ranks`` processes get one more."""
    each, more = divmod(count, ranks)
    start = rank * each + min(rank, more)
    return range(start, start + each + (rank < more))


@dataclass(frozen=True)
class Split:
    """The poses of one split.

    Attributes:
        two_d: (N, 17, 2), or (N, 17, 3) with the confidence in the last column; in the data's unit.
        three_d: (N, 17, 3).
        image: (N, 17, 3) the same in pixels; `camera_mm` (N, 17, 3), `box` (N, 4), `camera` (N, 4) cx, cy, fx, fy, `root_depth_mm` (N,),
            `action` (N,): for the metrics.
        repeat: how often all items come (hypothesis after hypothesis).
        digests: sha256 of the files.
    """

    two_d: np.ndarray
    three_d: np.ndarray
    image: np.ndarray
    camera_mm: np.ndarray
    box: np.ndarray
    camera: np.ndarray
    root_depth_mm: np.ndarray
    action: np.ndarray
    repeat: int = 1
    digests: dict[str, str] | None = None

    def __len__(self) -> int:
        return len(self.three_d) * self.repeat

    def pairs(
        self, items: np.ndarray, u: np.ndarray | None = None, *, condition_3d: float = 0.0, mirror: bool = False, reference: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Conditions (B, 17, 3) and targets (B, 17, 3) of items.

        Args:
            items: (B,) numbers, taken modulo the number of poses.
            u: (B, 3) uniform draws of training: is the condition in 3D, is it mirrored, is the target mirrored; None = neither.
            condition_3d: share of conditions that are the 3D pose itself.
            mirror: mirror half of the items.
            reference: by the published coins: the third draw mirrors the target, so that half the mirrored ones do not belong together.
        """
        rows = items % len(self.three_d)
        target = self.three_d[rows]
        flat = np.concatenate([self.two_d[rows, :, :2], np.zeros((len(rows), _JOINTS, 1), np.float32)], -1)
        if u is None:
            return flat, target
        condition = np.where((u[:, 0] < condition_3d)[:, None, None], target, flat)
        if mirror:
            coins = u[:, 1] < 0.5, (u[:, 2] if reference else u[:, 1]) < 0.5
            condition, target = (
                np.where(coin[:, None, None], mirror_points(poses, H36M17), poses)
                for coin, poses in zip(coins, (condition, target), strict=True)
            )
        return condition.astype(np.float32), target.astype(np.float32)


def load(folder: Path, split: str, *, exact_2d: bool = False, sample: int = 1, repeat: int = 1, confidence: bool = False) -> Split:
    """Read the converted files of "train" or "test".

    Args:
        exact_2d: the 2D is that of the 3D poses, not the detected one.
        sample: take every K-th pose.
        confidence: keep the detector's confidence as a third column of `two_d`.

    Raises:
        InputError: files that are missing, not converted, or of different lengths.
    """
    poses = open_store(_folder(folder / POSES[split]))
    image = np.asarray(poses["joint_3d_image"])
    three_d = normalise(image)
    digests = poses.digests
    if exact_2d:
        two_d = three_d[..., :2]
    else:
        found = open_store(_folder(folder / DETECTIONS))
        digests |= found.digests
        two_d = normalise(found[f"{split}/joint3d_image"])
        if len(two_d) != len(three_d):
            raise InputError(f"{folder / DETECTIONS}: has {len(two_d)} detections, {POSES[split]} has {len(three_d)} poses")
        if confidence:
            two_d = np.concatenate([two_d, found[f"{split}/confidence"].astype(np.float32)], -1)
    every = slice(None, None, sample)
    camera_mm, box, camera, depth, action = (poses[name][every] for name in ("joint_3d_camera", "box", "camera", "root_depth", "action"))
    return Split(two_d[every], three_d[every], image[every], camera_mm, box, camera, depth, action, repeat, digests)


def _folder(path: Path) -> Path:
    folder = converted(path)
    if not folder.is_dir():
        came = "is there, but not converted" if path.is_file() else "is not there"
        raise InputError(f"{path}: {came}", f"convert the published files once: python -m training.data.convert {path.parent}")
    return folder
