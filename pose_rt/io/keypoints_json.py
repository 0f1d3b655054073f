"""JSON of other 2D detectors: COCO results, AlphaPose, OpenPose (a file a frame, or a list), MMPose. People of every frame, in order."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.skeleton import COCO17, H36M17, SKELETONS, Skeleton
from ..errors import InputError

_COCO_FIRST = (17, 26, 133, 136)
"""Numbers of joints whose first 17 are COCO's: COCO, Halpe-26, COCO-WholeBody, Halpe-136."""
_BODY25 = (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11)
_OPENPOSE18 = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)


class Person(NamedTuple):
    """One person of one frame: `xy` (J, 2) px, NaN = not seen; `score` (J,); an id where the tool gave one."""

    xy: np.ndarray
    score: np.ndarray
    track: int | None = None


Frames = list[list[Person]]


def read_json_frames(path: Path) -> tuple[Frames, Skeleton | None]:
    """The people of every frame of a file or a folder, and the joint order where the format says it.

    Raises:
        InputError: not JSON, or of no known form.
    """
    if path.is_dir():
        files = sorted(path.glob("*.json"), key=lambda f: _natural(f.name))
        if not files:
            raise InputError(f"'{path}' has no .json files in it")
        return [_openpose_frame(_parse(f), f) for f in files], COCO17
    value = _parse(path)
    try:
        return _read(value, path)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise InputError(f"'{path}': an entry is not of the form that the first ones have ({type(error).__name__}: {error})") from error


def _read(value: Any, path: Path) -> tuple[Frames, Skeleton | None]:
    if isinstance(value, dict) and "people" in value:
        return [_openpose_frame(value, path)], COCO17
    if isinstance(value, dict) and "instance_info" in value:
        named = str(value.get("meta_info", {}).get("dataset_name", ""))
        return _mmpose(value["instance_info"], H36M17 if "h36m" in named else None)
    if isinstance(value, dict) and "annotations" in value:
        value = value["annotations"]
    if isinstance(value, list) and value:
        first = next((entry for entry in value if entry), value[0])
        if isinstance(first, dict) and "people" in first:
            return [_openpose_frame(entry, path) for entry in value], COCO17
        if isinstance(first, dict) and "image_id" in first and "keypoints" in first:
            return _coco_results(value), COCO17
        if isinstance(first, dict) and ("instances" in first or "keypoints" in first):
            return _mmpose(value if "instances" in first else [{"instances": value}], None)
        if isinstance(first, list):
            return _mmpose([{"instances": people} for people in value], None)
    if value == []:
        raise InputError(f"'{path}' has no frames")
    raise InputError(
        f"'{path}' is of no known form", "wanted COCO results, AlphaPose, OpenPose or MMPose JSON, or pose-rt's own JSON lines (.jsonl)"
    )


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"'{path}' is no JSON ({error})") from error


def _natural(text: str) -> tuple[Any, ...]:
    """Sort key in which 10 comes after 9."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text))


def _triples(values: Any) -> tuple[np.ndarray, np.ndarray]:
    """x, y, score one after the other -> (J, 2) and (J,); a point at (0, 0) without a score was not seen."""
    flat = np.array([np.nan if v is None else v for v in values], np.float32)
    if flat.size % 3:
        raise ValueError(f"{flat.size} numbers, wanted x, y and score of each joint")
    points = flat.reshape(-1, 3)
    unseen = (points[:, 2] <= 0) & (points[:, :2] == 0).all(1)
    points[unseen, :2] = np.nan
    return points[:, :2], points[:, 2]


def _coco_order(xy: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(xy) not in _COCO_FIRST:
        raise ValueError(f"{len(xy)} joints, wanted one of {', '.join(map(str, _COCO_FIRST))}, whose first 17 are {COCO17.name}'s")
    return xy[:17], score[:17]


def _coco_results(entries: list[dict[str, Any]]) -> Frames:
    """COCO results and AlphaPose: a flat list of people, each with its picture; AlphaPose adds an id, "idx"."""
    by_picture: dict[Any, list[Person]] = {}
    for entry in entries:
        if "keypoints" not in entry:
            continue
        xy, score = _coco_order(*_triples(entry["keypoints"]))
        track = entry.get("track_id", entry.get("idx"))
        by_picture.setdefault(entry["image_id"], []).append(Person(xy, score, _id(track)))
    ordered = sorted(by_picture, key=lambda name: _natural(str(name)))
    numbers = [_number(name) for name in ordered]
    if None not in numbers and len(set(numbers)) == len(numbers):
        first, last = min(n for n in numbers if n is not None), max(n for n in numbers if n is not None)
        if last - first < 4 * len(numbers):  # frame numbers, some of them without anybody; otherwise names of pictures
            by_number = {n: by_picture[name] for n, name in zip(numbers, ordered, strict=True)}
            return [by_number.get(n, []) for n in range(first, last + 1)]
    return [by_picture[name] for name in ordered]


def _number(name: Any) -> int | None:
    digits = re.findall(r"\d+", str(name))
    return int(digits[-1]) if digits else None


def _id(value: Any) -> int | None:
    if isinstance(value, list):
        value = value[0] if value else None
    return int(value) if isinstance(value, (int, float)) and value >= 0 else None


def _openpose_frame(value: Any, path: Path) -> list[Person]:
    if not isinstance(value, dict) or "people" not in value:
        raise InputError(f"'{path}' is no frame of OpenPose (it has no 'people')")
    people = []
    for person in value["people"]:
        xy, score = _triples(person["pose_keypoints_2d"])
        order = {25: _BODY25, 18: _OPENPOSE18}.get(len(xy))
        if order is None:
            raise InputError(f"'{path}': a person has {len(xy)} joints, wanted OpenPose's 25 or 18")
        people.append(Person(xy[list(order)], score[list(order)], _id(person.get("person_id"))))
    return people


def _mmpose(frames: list[dict[str, Any]], skeleton: Skeleton | None) -> tuple[Frames, Skeleton | None]:
    """MMPose: frames of instances with (J, 2) keypoints and J scores; the joint order is COCO's unless the file says H36M."""
    out: Frames = []
    for frame in frames:
        people = []
        for instance in frame["instances"]:
            points = np.array(instance["keypoints"], np.float32)
            xy = points[0] if points.ndim == 3 else points
            score = np.array(instance.get("keypoint_scores", np.ones(len(xy))), np.float32).reshape(-1)
            if xy.shape != (len(score), 2):
                raise ValueError(f"keypoints {xy.shape} with {len(score)} scores, wanted (J, 2) and J")
            if skeleton is None and len(xy) not in (s.num_joints for s in SKELETONS.values() if s.num_joints != 17):
                xy, score = _coco_order(xy, score)
            people.append(Person(xy, score, _id(instance.get("track_id"))))
        out.append(people)
    joints = next((len(p.xy) for frame in out for p in frame), 17)
    return out, skeleton if skeleton is not None else COCO17 if joints == 17 else None
