"""MTFL: faces with five points, a JSON list of {image_name, landmarks}."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from pose_rt.errors import InputError

from .annotations import Annotations, gather, parse

NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
PAIRS = ((0, 1), (3, 4))


def read_mtfl(path: Path, images: Path) -> Annotations:
    """The faces of `training.json` or `testing.json`; the whole picture is the box (empty here).

    Raises:
        InputError: another layout or another number of points.
    """
    value = parse(path, "training.json or testing.json of MTFL")
    if not isinstance(value, list) or not all(isinstance(e, dict) and {"image_name", "landmarks"} <= e.keys() for e in value):
        raise InputError(f"{path}: not in MTFL's layout", "wanted [{image_name, landmarks: 5 x [x, y]}, ...]")
    rows = []
    for i, entry in enumerate(value):
        points = np.array(entry["landmarks"], np.float64).reshape(-1, 2)
        if len(points) != 5:
            raise InputError(f"{path}: the entry of {entry['image_name']} has {len(points)} points, wanted 5")
        name = str(entry["image_name"]).replace("\\", "/")
        rows.append({"file": images / name, "box": np.zeros(4), "joints": points, "visible": np.ones(5), "image_id": i})
    return gather(path, rows, Counter(), names=NAMES, pairs=PAIRS)
