"""What a data set says of its people: files, boxes, joints; and what was left out, and why."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.errors import InputError


@dataclass(frozen=True)
class Annotations:
    """N people of one data set.

    Attributes:
        files: picture of each.
        box: (N, 4) corners, px.
        joints: (N, K, 2) px, or (N, K, 3) px, px, mm from the root.
        visible: (N, K, dims) float32, 0 where there is no truth.
        image_id: (N,) int64.
        names: of the joints.
        pairs: joints that change places in a mirror.
        edges: pairs of joints that are drawn joined.
        extra: further arrays by name, N rows each.
        skipped: how many entries were left out, by reason.
    """

    files: tuple[Path, ...]
    box: np.ndarray
    joints: np.ndarray
    visible: np.ndarray
    image_id: np.ndarray
    names: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    edges: tuple[tuple[int, int], ...] = ()
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def mirror(self) -> list[int]:
        """(K,) index that exchanges left and right."""
        order = list(range(len(self.names)))
        for a, b in self.pairs:
            order[a], order[b] = b, a
        return order

    def describe(self) -> str:
        """One line: how many, and what was skipped."""
        left_out = "; ".join(f"{count} skipped: {reason}" for reason, count in self.skipped.items())
        return f"{len(self)} people with {len(self.names)} joints" + (f" ({left_out})" if left_out else "")


def parse(path: Path, wanted: str) -> Any:
    """The value of a JSON file.

    Raises:
        InputError: missing or not JSON.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such annotation file", f"wanted {wanted}; give its folder with --data or the file with --annotations")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a JSON file ({error})") from error


def gather(path: Path, rows: list[dict[str, Any]], skipped: Counter[str], **fixed: Any) -> Annotations:
    """`Annotations` from one dict a person with file, box, joints, visible, image_id and anything else.

    Raises:
        InputError: nobody is left.
    """
    if not rows:
        reasons = "; ".join(f"{count} {reason}" for reason, count in skipped.items()) or "it lists nobody"
        raise InputError(f"{path}: no person to use ({reasons})")
    known = {"file", "box", "joints", "visible", "image_id"}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    visible = np.array(columns["visible"], np.float32)
    joints = np.array(columns["joints"], np.float64)
    if visible.ndim == 2:
        visible = np.repeat(visible[..., None], joints.shape[-1], -1)
    return Annotations(
        tuple(columns["file"]), np.array(columns["box"], np.float64), joints, visible, np.array(columns["image_id"], np.int64),
        extra={name: np.array(values) for name, values in columns.items() if name not in known}, skipped=dict(skipped), **fixed,
    )  # fmt: skip


def pairs_by_name(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Joints whose names differ in left and right alone."""
    found = []
    for i, name in enumerate(names):
        for left, right in (("left", "right"), ("Left", "Right"), ("l_", "r_"), ("L_", "R_")):
            other = name.replace(left, right, 1)
            if left in name and other != name and other in names and (left[-1] != "_" or name.startswith(left)):
                found.append((i, names.index(other)))
                break
    return tuple(found)
