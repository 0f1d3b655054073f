"""COCO's keypoint annotations, one's own pictures in the same form, and person boxes of a detector."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.core.skeleton import COCO17
from pose_rt.errors import InputError, UsageError

from .annotations import Annotations, gather, pairs_by_name, parse
from .crops import clip_box, xywh_to_xyxy

PAIRS = tuple((i, i + 1) for i in range(1, 17, 2))


def read_coco(path: Path, images: Path, *, category: str | None = None, joints: int | None = None, own: bool = False) -> Annotations:
    """People with keypoints of a COCO JSON file.

    Used are entries that are no crowd, have a positive area, a box that touches the picture, and some visible keypoint.

    Args:
        images: folder that pictures are looked up in, as train2017/NAME or val2017/NAME.
        category: name of the category, where several have keypoints.
        joints: number that the network has; None = the category's.
        own: one's own pictures: `file_name` alone counts, and areas and sizes may be missing.

    Raises:
        InputError: another layout, no keypoints, or another number of joints; says which entry.
        UsageError: a category that is not there.
    """
    value = parse(path, "a COCO keypoint file such as person_keypoints_train2017.json")
    if not isinstance(value, dict) or not {"images", "annotations", "categories"} <= value.keys():
        raise InputError(f"{path}: not in COCO's layout", "wanted an object with images, annotations and categories")
    chosen = _category(path, value["categories"], category)
    names = tuple(chosen["keypoints"])
    if joints is not None and len(names) != joints:
        raise InputError(f"{path}: category '{chosen['name']}' has {len(names)} joints, the network {joints}", "train with --task images")
    pictures = {entry["id"]: entry for entry in value["images"]}
    skipped: Counter[str] = Counter()
    rows = []
    for entry in value["annotations"]:
        if entry.get("category_id") != chosen["id"]:
            skipped["of another category"] += 1
            continue
        row = _person(path, entry, pictures, images, len(names), own, skipped)
        if row is not None:
            rows.append(row)
    edges = tuple((int(a) - 1, int(b) - 1) for a, b in chosen.get("skeleton") or ())
    pairs = PAIRS if names == COCO17.joints or (not own and len(names) == 17) else pairs_by_name(names)
    return gather(path, rows, skipped, names=names, pairs=pairs, edges=edges)


def _category(path: Path, categories: list[dict[str, Any]], wanted: str | None) -> dict[str, Any]:
    able = [c for c in categories if c.get("keypoints")]
    if not able:
        raise InputError(f"{path}: no category has keypoints", "wanted person_keypoints_*.json, not instances_*.json")
    if wanted is None:
        person = [c for c in able if c.get("name") == "person"] or able
        if len(person) > 1:
            raise UsageError(f"{path}: {len(able)} categories have keypoints", f"choose by --category: {_names(able)}")
        return person[0]
    for candidate in able:
        if candidate["name"] == wanted:
            return candidate
    raise UsageError(f"{path}: no category '{wanted}' with keypoints", f"it has {_names(able)}")


def _names(categories: list[dict[str, Any]]) -> str:
    return ", ".join(str(c["name"]) for c in categories)


def _person(
    path: Path, entry: dict[str, Any], pictures: dict[Any, dict[str, Any]], images: Path, joints: int, own: bool, skipped: Counter[str]
) -> dict[str, Any] | None:
    picture = pictures.get(entry.get("image_id"))
    if picture is None:
        skipped["of a picture that is not listed"] += 1
        return None
    if entry.get("iscrowd", 0):
        skipped["crowds"] += 1
        return None
    points = np.array(entry.get("keypoints") or [], np.float64)
    if not points.size or not points[2::3].any():
        skipped["without visible keypoints"] += 1
        return None
    if points.size != 3 * joints:
        raise InputError(f"{path}: entry {entry.get('id')} has {points.size / 3:g} joints, its category {joints}", "put the file right")
    points = points.reshape(-1, 3)
    box = xywh_to_xyxy(np.array(entry["bbox"], np.float64)) if "bbox" in entry else _box_round(points)
    if "width" in picture and "height" in picture:
        box = clip_box(box, picture["width"], picture["height"])
    area = entry.get("area", 1.0)
    if area <= 0 or box[2] <= box[0] or box[3] <= box[1]:
        skipped["with an empty box or one outside the picture"] += 1
        return None
    name = picture["file_name"]
    if not own:  # the last two parts of the address; without one, the folder that the annotation file is named after
        name = "/".join(str(picture["coco_url"]).split("/")[-2:]) if picture.get("coco_url") else f"{path.stem.split('_')[-1]}/{name}"
    return {
        "file": images / name, "box": box, "joints": points[:, :2], "visible": np.minimum(points[:, 2], 1.0),
        "image_id": entry["image_id"], "area": float(area), "annotation_id": int(entry.get("id", -1)),
    }  # fmt: skip


def _box_round(points: np.ndarray) -> np.ndarray:
    """A box round the visible joints, a tenth wider."""
    seen = points[points[:, 2] > 0, :2]
    low, high = seen.min(0), seen.max(0)
    margin = 0.1 * max(*(high - low), 1.0)
    return np.concatenate([low - margin, high + margin])


def read_detections(path: Path, truth: Annotations, *, joints: int = 17, least_score: float = 0.0) -> Annotations:
    """Person boxes of a detector: a JSON list of {image_id, bbox [x, y, w, h], score}, as `test_det_rcnn.json`.

    Pictures are those of `truth`, by image_id; a detection's score goes into ``extra["score"]``.

    Raises:
        InputError: another layout.
    """
    value = parse(path, "a list of detections")
    if not isinstance(value, list) or not all(isinstance(e, dict) and {"image_id", "bbox", "score"} <= e.keys() for e in value):
        raise InputError(f"{path}: not a list of detections", "wanted [{image_id, bbox: [x, y, w, h], score}, ...]")
    files = dict(zip(truth.image_id.tolist(), truth.files, strict=True))
    skipped: Counter[str] = Counter()
    rows = []
    for entry in value:
        if entry.get("category_id", 1) != 1:
            skipped["of another category"] += 1
        elif entry["image_id"] not in files:
            skipped["in pictures without annotated people"] += 1
        elif entry["score"] < least_score:
            skipped["below the least score"] += 1
        else:
            box = xywh_to_xyxy(np.array(entry["bbox"], np.float64))
            if box[2] <= box[0] or box[3] <= box[1]:
                skipped["with an empty box"] += 1
                continue
            rows.append(
                {"file": files[entry["image_id"]], "box": box, "joints": np.zeros((joints, 2)), "visible": np.zeros(joints),
                 "image_id": entry["image_id"], "score": float(entry["score"])}
            )  # fmt: skip
    return gather(path, rows, skipped, names=truth.names, pairs=truth.pairs, edges=truth.edges)
