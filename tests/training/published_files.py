"""Tiny files in exactly the formats that are published: NumPy archives with pickled dictionaries inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pose_rt.core.skeleton import COCO17, H36M17, Skeleton

Poses = dict[str, dict[str, np.ndarray]]
Points = dict[str, dict[str, list[np.ndarray]]]


def write_h36m(folder: Path, poses: Poses, points: Points, keypoints: str = "cpn_ft_h36m_dbb", layout: Skeleton = H36M17) -> None:
    """``data_3d_h36m.npz`` and ``data_2d_h36m_<keypoints>.npz``: {subject: {action: (n, 32, 3)}} and lists of four (m, 17, 2)."""
    metadata = {"layout_name": layout.name, "num_joints": 17, "keypoints_symmetry": [list(layout.left), list(layout.right)]}
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=np.array(poses, object))
    np.savez_compressed(
        folder / f"data_2d_h36m_{keypoints}.npz", positions_2d=np.array(points, object), metadata=np.array(metadata, object)
    )


def random_h36m(folder: Path, lengths: dict[str, dict[str, int]], seed: int = 0, layout: Skeleton = H36M17) -> None:
    """People about as large as people, in the middle of the room; the keypoints have a frame too many."""
    rng = np.random.default_rng(seed)
    poses: Poses = {}
    points: Points = {}
    for subject, actions in lengths.items():
        for action, n in actions.items():
            still = rng.normal(0, 0.3, (1, 32, 3)) + np.array([0.0, 0.0, 1.0])
            moving = np.cumsum(rng.normal(0, 0.01, (n, 32, 3)), 0)
            poses.setdefault(subject, {})[action] = (still + moving).astype(np.float32)
            drawn = [np.cumsum(rng.normal(0, 2, (n + 1, 17, 2)), 0) + rng.uniform(300, 700, (1, 17, 2)) for _ in range(4)]
            points.setdefault(subject, {})[action] = [d.astype(np.float32) for d in drawn]
    write_h36m(folder, poses, points, "detectron_pt_coco" if layout is COCO17 else "cpn_ft_h36m_dbb", layout)


def random_3dhp(folder: Path, train: dict[str, int], test: dict[str, int], seed: int = 0) -> None:
    """``data_train_3dhp_ori.npz`` (two cameras a sequence) and ``data_test_3dhp_ori.npz``; every fifth test frame is not valid."""
    rng = np.random.default_rng(seed)

    def clip(n: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
        still = rng.normal(0, 300, (1, 17, 3)) + np.array([0, 0, 3500.0])
        return {
            "data_3d": still + np.cumsum(rng.normal(0, 8, (n, 17, 3)), 0),
            "data_2d": rng.uniform(0.3, 0.7, (n, 17, 2)) * np.array(size),
        }

    training = {name: [{camera: clip(n, (2048, 2048)) for camera in ("0", "4")}] for name, n in train.items()}
    testing = {}
    for name, n in test.items():
        valid = (np.arange(n) % 5 != 0).astype(np.uint8)
        testing[name] = {**clip(n, (1920, 1080) if name in ("TS5", "TS6") else (2048, 2048)), "valid": valid}
    np.savez_compressed(folder / "data_train_3dhp_ori.npz", data=np.array(training, object))
    np.savez_compressed(folder / "data_test_3dhp_ori.npz", data=np.array(testing, object))
