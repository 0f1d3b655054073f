"""Tiny data of GFPose: the published pickles, and a folder in the format of cmu17."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np

STANDING = np.zeros((17, 3))
STANDING[:, 2] = [1, 1, 0.55, 0.1, 1, 0.55, 0.1, 1.25, 1.5, 1.6, 1.75, 1.5, 1.25, 1, 1.5, 1.25, 1]
STANDING[[1, 2, 3, 14, 15, 16], 0], STANDING[[4, 5, 6, 11, 12, 13], 0] = 0.15, -0.15


def write_h36m(folder: Path, train: int = 48, test: int = 30, seed: int = 0) -> None:
    """``h36m_train.pkl``, ``h36m_test.pkl``, ``h36m_sh_dt_ft.pkl``: people who stand before a camera at 4 m."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for split, count in (("train", train), ("test", test)):
        items = []
        for i in range(count):
            body = np.stack([STANDING[:, 0], 1 - STANDING[:, 2], 0 * STANDING[:, 0]], -1) + rng.normal(0, 0.05, (17, 3))
            camera_mm = 1000 * (body + np.array([0.0, 0.0, 4.0]))
            fx, cx = 1150.0, 500.0
            box = np.array([cx - fx / 4, cx - fx / 4, cx + fx / 4 - 1, cx + fx / 4 - 1])  # 2 m at the root's depth
            ratio = (box[2] - box[0] + 1) / 2000
            pixels = np.concatenate([camera_mm[:, :2] / camera_mm[:, 2:] * fx + cx, (camera_mm[:, 2:] - camera_mm[0, 2]) * ratio], -1)
            items.append({
                "joint_3d_image": pixels, "joint_3d_camera": camera_mm, "box": box, "root_depth": camera_mm[0, 2], "action": 2 + i % 15,
                "camera_param": {"cx": cx, "cy": cx, "fx": fx, "fy": fx},
            })  # fmt: skip
        (folder / f"h36m_{split}.pkl").write_bytes(ForkingPickler.dumps(items, 2))
        joints = np.array([item["joint_3d_image"][:, :2] for item in items]) + rng.normal(0, 3, (count, 17, 2))
        found[split] = {"joint3d_image": joints, "confidence": rng.random((count, 17, 1))}
    (folder / "h36m_sh_dt_ft.pkl").write_bytes(ForkingPickler.dumps(found, 2))


def write_cmu17(folder: Path, seed: int = 0) -> None:
    """``train.npz`` and ``test.npz`` with a few clips of a waving figure."""
    rng = np.random.default_rng(seed)
    for split, lengths in (("train", (220, 190)), ("test", (200,))):
        joints = []
        for n in lengths:
            t = np.arange(n)[:, None, None] / 50
            joints.append(STANDING + 0.06 * np.sin(2 * np.pi * (t * rng.uniform(0.3, 1, (1, 17, 1)) + rng.random((1, 17, 3)))))
        np.savez(
            folder / f"{split}.npz", pos_mm=(1000 * np.concatenate(joints)).astype(np.int16),
            start=np.cumsum([0, *lengths[:-1]]).astype(np.int32), length=np.array(lengths, np.int32),
            action=np.array(["wave"] * len(lengths)), name=np.array([f"c{i}" for i in range(len(lengths))]),
        )  # fmt: skip
