"""A plain folder of pictures with keypoints in COCO's form, as ``--task images`` reads it: images/ and SPLIT.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pose_rt.core.skeleton import Skeleton
from pose_rt.errors import OutputError

MARGIN = 0.06
"""Of the larger side of the box of the joints: head, hands and feet reach beyond them (the run time's `track` takes the same)."""
_QUALITY = 92


class CocoFolder:
    """Pictures are written as they come; `save` writes the annotations of a split, whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, skeleton: Skeleton) -> None:
        self.folder, self.skeleton = folder, skeleton
        try:
            (folder / "images").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror})", "give another folder with --out") from error
        self._images: list[dict[str, Any]] = []
        self._people: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._people)

    def add(self, name: str, bgr: np.ndarray, people: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """A picture and the joints (J, 2) px of its people with their flags (J,): 0 not known, 1 hidden, 2 seen.

        A person's box is that of the joints which have a flag, grown by `MARGIN` (it may reach beyond the picture); its area is half of it.
        """
        height, width = bgr.shape[:2]
        if not cv2.imwrite(str(self.folder / "images" / name), bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]):
            raise OutputError(f"{self.folder / 'images' / name}: cannot be written", "free some space, or give another folder with --out")
        number = len(self._images) + 1
        self._images.append({"id": number, "file_name": name, "width": width, "height": height})
        for xy, flags in people:
            known = xy[flags > 0] if (flags > 0).any() else xy
            low, high = known.min(0), known.max(0)
            margin = MARGIN * float((high - low).max())
            low, span = low - margin, high - low + 2 * margin
            points = np.column_stack([np.where(flags[:, None] > 0, xy, 0), flags]).astype(float).round(2)
            self._people.append({
                "id": len(self._people) + 1, "image_id": number, "category_id": 1, "iscrowd": 0, "num_keypoints": int((flags > 0).sum()),
                "bbox": [round(float(v), 2) for v in (*low, *span)], "area": round(float(0.5 * span.prod()), 1),
                "keypoints": points.ravel().tolist(),
            })  # fmt: skip

    def save(self, split: str) -> Path:
        """SPLIT.json with what was added since the last call."""
        skeleton = self.skeleton
        category = {
            "id": 1, "name": "person", "keypoints": list(skeleton.joints), "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],
        }  # fmt: skip
        path = self.folder / f"{split}.json"
        temporary = path.with_suffix(".part")
        text = json.dumps({"images": self._images, "annotations": self._people, "categories": [category]})
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})", "free some space, or give another folder") from error
        self._images, self._people = [], []
        return path
