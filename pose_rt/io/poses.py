"""Poses that the prior made or mended: names of joints, what a saved run did not see, and arrays, films and Rerun files of poses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..core.skeleton import BLAZEPOSE33, H36M17, blazepose_to_h36m
from ..core.types import COMPLETED, Frame, Packet, Pose3D
from ..errors import UsageError
from .motion import Motion
from .output import check_output_path, whole_file
from .results import read_jsonl
from .sinks.jsonl import PROVENANCE, numbers

GROUPS: dict[str, tuple[int, ...]] = {
    "right_leg": (1, 2, 3), "left_leg": (4, 5, 6), "legs": (1, 2, 3, 4, 5, 6), "left_arm": (11, 12, 13), "right_arm": (14, 15, 16),
    "arms": (11, 12, 13, 14, 15, 16), "lower_body": (0, 1, 2, 3, 4, 5, 6, 7),
}  # fmt: skip
"""Names for several joints at once."""


def joint_list(text: str) -> tuple[int, ...]:
    """Joints of H36M-17 from names, numbers and groups with commas between.

    Raises:
        UsageError: an unknown name, or nothing left.
    """
    found: set[int] = set()
    for part in (p.strip().lower() for p in text.split(",")):
        if part in GROUPS:
            found.update(GROUPS[part])
        elif part in H36M17.joints:
            found.add(H36M17.joints.index(part))
        elif part.isdigit() and int(part) < H36M17.num_joints:
            found.add(int(part))
        else:
            wanted = f"wanted auto, or some of {', '.join((*GROUPS, *H36M17.joints))}, or numbers 0 to {H36M17.num_joints - 1}"
            raise UsageError(f"--missing: '{part}' is no joint", wanted)
    if len(found) == H36M17.num_joints:
        raise UsageError(
            "--missing names every joint: nothing is left to go by", "make poses out of nothing with: pose-rt generate poses N"
        )
    return tuple(sorted(found))


def unseen(motion: Motion, path: Path, min_score: float) -> np.ndarray:
    """(T, 17) bool: joints of a motion that are not finite, and (JSON lines with 2D) whose 2D score is low or that left the picture."""
    gone: np.ndarray = ~np.isfinite(motion.joints_m).all(-1)
    if path.suffix.lower() not in (".jsonl", ".ndjson", ".json"):
        return gone
    result = read_jsonl(path)
    if (result.header.get("skeleton2d") or {}).get("name") != BLAZEPOSE33.name:
        return gone
    size = np.array([result.header["width"], result.header["height"]], np.float32)
    row = 0
    for record in result.frames:
        for person in record.get("persons", []):
            if int(person["id"]) != motion.track or person.get("kpts3d") is None:
                continue
            points = np.array(person["kpts2d"], np.float32)  # null becomes NaN
            xy, score = blazepose_to_h36m(points[None, :, :2], points[None, :, 2])
            assert score is not None
            inside = np.isfinite(xy[0]).all(-1) & (xy[0] >= 0).all(-1) & (xy[0] <= size).all(-1)
            gone[row] |= ~inside | ~(score[0] >= min_score)
            row += 1
    return gone


@dataclass(frozen=True)
class PoseArrays:
    """Poses over time of one person, or one after the other.

    Attributes:
        joints_m: (T, 17, 3) metres relative to the root, camera axes.
        time_s: (T,).
        track: id of the person.
        hypotheses_m: (T, H, 17, 3) or None; sigma_m (T, 17) or None; provenance (T, 17) uint8 or None; root_m (T, 3) or None.
    """

    joints_m: np.ndarray
    time_s: np.ndarray
    track: int = 0
    hypotheses_m: np.ndarray | None = None
    sigma_m: np.ndarray | None = None
    provenance: np.ndarray | None = None
    root_m: np.ndarray | None = None

    @property
    def rate_hz(self) -> float:
        """Median rate; 1 for a single frame."""
        return 1.0 if len(self.time_s) < 2 else 1.0 / float(np.median(np.diff(self.time_s)))

    def packets(self) -> Iterator[Packet]:
        """What the drawing and the Rerun sink take: a packet for each frame, with a black picture."""
        black = np.zeros((48, 64, 3), np.uint8)
        for i, joints in enumerate(self.joints_m):
            pose = Pose3D(
                joints_m=joints[None].astype(np.float32),
                hypotheses_m=(joints[None] if self.hypotheses_m is None else self.hypotheses_m[i])[None].astype(np.float32),
                sigma_m=np.zeros((1, len(joints)), np.float32) if self.sigma_m is None else self.sigma_m[i : i + 1],
                root_m=None if self.root_m is None else self.root_m[i : i + 1].astype(np.float32),
                provenance=np.zeros((1, len(joints)), np.uint8) if self.provenance is None else self.provenance[i : i + 1],
                track=np.array([self.track], np.int64),
                skeleton=H36M17,
            )
            yield Packet(Frame(black, i, round(self.time_s[i] * 1e9), 0), pose=pose)


def write_arrays(path: Path, poses: PoseArrays, header: dict[str, Any], *, overwrite: bool = False, source: Path | None = None) -> Path:
    """Save as .npz that `read_motion` reads again; whole or not at all."""
    path = check_output_path(path, overwrite=overwrite, suffixes=(".npz",), inputs=[] if source is None else [source])
    arrays: dict[str, Any] = {
        "joints_m": poses.joints_m, "fps": np.float64(poses.rate_hz), "time_s": poses.time_s, "person": np.int64(poses.track),
    }  # fmt: skip
    for name in ("hypotheses_m", "sigma_m", "provenance", "root_m"):
        if (value := getattr(poses, name)) is not None:
            arrays[name] = value
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file, about=json.dumps({"skeleton": H36M17.name, "joints": list(H36M17.joints), "unit": "m", **header}), **arrays
        )
    return path


def write_jsonl(path: Path, source: Path, people: list[PoseArrays], about: dict[str, Any], *, overwrite: bool = False) -> Path:
    """A saved run again, with the 3D of these people in place of its own; `about` joins the header's settings."""
    path = check_output_path(path, overwrite=overwrite, suffixes=(".jsonl", ".ndjson", ".json"), inputs=[source])
    result = read_jsonl(source)
    at = {p.track: 0 for p in people}
    by_id = {p.track: p for p in people}
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        header = {**result.header, "settings": {**result.header.get("settings", {}), **about}}
        file.write(json.dumps(header, separators=(",", ":")) + "\n")
        for record in result.frames:
            for person in record.get("persons", []):
                poses = by_id.get(int(person["id"]))
                if poses is None or person.get("kpts3d") is None:
                    continue
                _replace(person, poses, at[poses.track])
                at[poses.track] += 1
            file.write(json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n")
    return path


def _replace(person: dict[str, Any], poses: PoseArrays, row: int) -> None:
    person["kpts3d"] = numbers(poses.joints_m[row], 4)
    if poses.sigma_m is not None and poses.provenance is not None:
        old = person.get("sigma3d") or [0.0] * H36M17.num_joints
        done = poses.provenance[row] == COMPLETED
        person["sigma3d"] = [
            round(float(max(s, o or 0.0)) if d else float(o or 0.0), 4) for s, o, d in zip(poses.sigma_m[row], old, done, strict=True)
        ]
        person["provenance"] = [PROVENANCE[int(p)] for p in poses.provenance[row]]
    if poses.root_m is not None and np.isfinite(poses.root_m[row]).all():
        person["root"] = numbers(poses.root_m[row], 4)


def write_rerun(path: Path, poses: PoseArrays, *, overwrite: bool = False) -> Path:
    """The poses and their hypotheses on the timelines of frame and time, for the Rerun viewer."""
    from .draw import Style
    from .sinks.rerun import RerunSink

    sink = RerunSink(path, overwrite=overwrite, style=Style())
    try:
        for packet in poses.packets():
            sink.write(packet)
    finally:
        sink.close()
    return path


def write_picture(path: Path, poses: list[Pose3D], *, overwrite: bool = False, size: tuple[int, int] = (960, 720)) -> Path:
    """3D rooms in a row below one another: a picture (.png, .jpg) of one or several groups of people."""
    import cv2

    path = check_output_path(path, overwrite=overwrite, suffixes=(".png", ".jpg", ".jpeg"))
    image = np.concatenate([_room(pose, size) for pose in poses])
    done, data = cv2.imencode(path.suffix.lower(), image)
    assert done
    with whole_file(path) as temporary:
        temporary.write_bytes(data.tobytes())
    return path


def write_film(path: Path, poses: PoseArrays, *, overwrite: bool = False, size: tuple[int, int] = (960, 720)) -> Path:
    """The 3D room over time as a film; completed joints are dashed as in the live view."""
    from ..stream.protocols import SourceInfo
    from .sinks.video import VideoSink

    rate = Fraction(poses.rate_hz).limit_denominator(1000)
    sink = VideoSink(path, SourceInfo(size[0], size[1], rate, False, None, None, "poses"), lambda p: _frame(p, size), overwrite=overwrite)
    try:
        for packet in poses.packets():
            sink.write(packet)
    finally:
        sink.close()
    return path


def _frame(packet: Packet, size: tuple[int, int]) -> np.ndarray:
    assert packet.pose is not None
    return _room(packet.pose, size)


def _room(pose: Pose3D, size: tuple[int, int]) -> np.ndarray:
    from .draw import Style
    from .motion_film import draw_film_frame

    black = np.zeros((size[1], size[0], 3), np.uint8)
    return draw_film_frame(Packet(Frame(black, 0, 0, 0), pose=pose), Style(layout="3d"))


def row_of_people(joints_m: np.ndarray, apart_m: float = 1.1, most: int = 8) -> list[Pose3D]:
    """Poses (N, 17, 3) side by side, at most so many a room, as people of a pose each."""
    rooms = []
    for first in range(0, len(joints_m), most):
        part = joints_m[first : first + most].astype(np.float32)
        count = len(part)
        floor = part[..., 1].max(1)
        root = np.stack([(np.arange(count) - (count - 1) / 2) * apart_m, -floor, np.full(count, 4.0 + 0.3 * count)], -1)
        flat = np.zeros((count, H36M17.num_joints))
        rooms.append(
            Pose3D(part, part[:, None], flat.astype(np.float32), root.astype(np.float32), flat.astype(np.uint8), np.arange(count), H36M17)
        )
    return rooms
