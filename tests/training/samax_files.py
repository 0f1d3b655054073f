"""Small data sets in the exact layouts of COCO, Human3.6M, MPII and MTFL, with drawn pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from training.sampling_argmax.figures import draw_picture, draw_poses, write_folder

SIDE = 96


def write_coco(root: Path, count: int = 6) -> Path:
    """`root`/coco/annotations/person_keypoints_{train,val}2017.json and the pictures; returns the root."""
    folder = root / "plain"
    write_folder(folder, {"train": count, "val": count}, size=(SIDE, SIDE))
    for split in ("train", "val"):
        value = json.loads((folder / f"{split}.json").read_text())
        target = root / "coco" / f"{split}2017"
        target.mkdir(parents=True)
        for picture in value["images"]:
            source = folder / "images" / picture["file_name"]
            picture["file_name"] = f"{picture['id']:012d}.jpg"
            picture["coco_url"] = f"http://images.example/{split}2017/{picture['file_name']}"
            source.rename(target / picture["file_name"])
        path = root / "coco" / "annotations" / f"person_keypoints_{split}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value))
    return root


def change(path: Path, edit: Any) -> None:
    """Read a JSON file, let `edit` change the value, write it back."""
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def write_h36m(root: Path, count: int = 6) -> Path:
    """Both protocol-2 files, their pictures, and MPII."""
    rng = np.random.default_rng(0)
    annotations = root / "h36m" / "annotations"
    annotations.mkdir(parents=True)
    rotation = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)
    for name in ("Sample_trainmin_train_Human36M_protocol_2.json", "Sample_64_test_Human36M_protocol_2.json"):
        images, people = [], []
        for i in range(count):
            world = rng.normal(0, 300, (17, 3)) + np.array((0, 4000, 900))
            file = f"s_09_act_{2 + i % 3:02d}_subact_01_ca_01/{name[:9]}_{i:06d}.jpg"
            path = root / "h36m" / "images" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), draw_picture(rng, draw_poses(rng, 1)[0], SIDE, SIDE).image)
            images.append({"id": i, "file_name": file, "width": SIDE, "height": SIDE})
            camera = {"R": rotation.tolist(), "t": [0.0, 0.0, 900.0], "f": [114.5, 114.4], "c": [48.0, 48.0]}
            people.append({"image_id": i, "bbox": [4, 4, 80, 80], "keypoints_world": world.tolist(), "cam_param": camera})
        (annotations / name).write_text(json.dumps({"images": images, "annotations": people}))
    mpii = root / "mpii"
    (mpii / "annotations").mkdir(parents=True)
    (mpii / "images").mkdir()
    people, images = [], []
    for i in range(3):
        cv2.imwrite(str(mpii / "images" / f"{i}.jpg"), draw_picture(rng, draw_poses(rng, 1)[0], SIDE, SIDE).image)
        images.append({"id": i, "file_name": f"{i}.jpg", "width": SIDE, "height": SIDE})
        points = np.column_stack([np.arange(16) + 20.0, np.arange(16) + 40.0, np.ones(16)])
        people.append(
            {"id": i, "image_id": i, "category_id": 1, "bbox": [10, 10, 60, 70], "area": 4200, "keypoints": points.ravel().tolist()}
        )
    category = {"id": 1, "name": "person", "keypoints": [f"mpii_{i}" for i in range(16)]}
    (mpii / "annotations" / "annot_mpii.json").write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    return root


def write_mtfl(root: Path, count: int = 6) -> Path:
    """training.json and testing.json with drawn faces."""
    rng = np.random.default_rng(1)
    folder = root / "mtfl"
    folder.mkdir(parents=True)
    for name in ("training", "testing"):
        entries = []
        for i in range(count):
            image = np.full((SIDE, SIDE, 3), 120, np.uint8)
            points = np.array([[32, 38], [64, 38], [48, 55], [36, 70], [60, 70]]) + rng.normal(0, 3, (5, 2))
            for x, y in points:
                cv2.circle(image, (round(x), round(y)), 4, (20, 20, 20), -1, cv2.LINE_AA)
            cv2.imwrite(str(folder / f"{name}_{i}.png"), image)
            entries.append({"image_name": f"{name}_{i}.png", "landmarks": points.tolist()})
        (folder / f"{name}.json").write_text(json.dumps(entries))
    return root
