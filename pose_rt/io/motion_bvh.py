"""BVH motion capture files: hierarchy, channels, forward kinematics, and which of their joints make H36M-17."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..core.skeleton import H36M17
from ..errors import InputError

_CURE = "check that it is a BVH file with a HIERARCHY and a MOTION part"
_AXES = {"x": 0, "y": 1, "z": 2}


@dataclass
class Joint:
    """One node of the hierarchy: `channels` names what each frame gives for it, `tip` is the offset of its End Site."""

    name: str
    parent: int
    offset: np.ndarray
    channels: list[str] = field(default_factory=list)
    tip: np.ndarray | None = None


@dataclass(frozen=True)
class Bvh:
    """A parsed file: joints in file order, `positions` (T, n, 3) and `tips` (T, n, 3; NaN without one) in the file's unit."""

    joints: list[Joint]
    positions: np.ndarray
    tips: np.ndarray
    frame_time_s: float


def read_bvh(path: Path) -> Bvh:
    """Parse a file and place its joints in space.

    Raises:
        InputError: not a BVH file, or one that breaks off.
    """
    tokens = iter(path.read_text(encoding="utf-8", errors="replace").split())
    try:
        joints = _hierarchy(tokens)
        frames, frame_time, values = _motion(tokens)
    except (StopIteration, ValueError, IndexError) as error:
        raise InputError(f"'{path}' is no BVH file, or breaks off ({error or 'too early'})", _CURE) from error
    width = sum(len(joint.channels) for joint in joints)
    if frames < 1 or not frame_time > 0 or values.size != frames * width:
        raise InputError(f"'{path}' has {values.size} numbers, wanted {frames} frames of {width} channels", _CURE)
    if not np.isfinite(values).all():
        raise InputError(f"'{path}' holds numbers that are not finite", "export it again")
    positions, tips = _kinematics(joints, values.reshape(frames, width))
    return Bvh(joints, positions, tips, frame_time)


def _expect(tokens: Iterator[str], word: str) -> None:
    got = next(tokens)
    if got.lower() != word.lower():
        raise ValueError(f"got {got[:20]!r}, wanted {word}")


def _hierarchy(tokens: Iterator[str]) -> list[Joint]:
    _expect(tokens, "HIERARCHY")
    joints: list[Joint] = []
    open_joints: list[int] = []
    while True:
        word = next(tokens)
        if word in ("ROOT", "JOINT"):
            name = next(tokens)
            while (more := next(tokens)) != "{":  # names may hold blanks
                name += f" {more}"
            _expect(tokens, "OFFSET")
            joints.append(Joint(name, open_joints[-1] if open_joints else -1, _three(tokens)))
            open_joints.append(len(joints) - 1)
        elif word == "CHANNELS":
            joints[open_joints[-1]].channels = [next(tokens).lower() for _ in range(int(next(tokens)))]
        elif word == "End":
            _expect(tokens, "Site")
            _expect(tokens, "{")
            _expect(tokens, "OFFSET")
            joints[open_joints[-1]].tip = _three(tokens)
            _expect(tokens, "}")
        elif word == "}":
            open_joints.pop()
        elif word == "MOTION":
            break
        else:
            raise ValueError(f"got {word[:20]!r} in the hierarchy")
    known = {f"{axis}{kind}" for axis in _AXES for kind in ("position", "rotation")}
    for joint in joints:
        if unknown := set(joint.channels) - known:
            raise ValueError(f"joint {joint.name} has unknown channels {sorted(unknown)}")
    return joints


def _three(tokens: Iterator[str]) -> np.ndarray:
    return np.array([float(next(tokens)) for _ in range(3)])


def _motion(tokens: Iterator[str]) -> tuple[int, float, np.ndarray]:
    _expect(tokens, "Frames:")
    frames = int(next(tokens))
    _expect(tokens, "Frame")
    _expect(tokens, "Time:")
    frame_time = float(next(tokens))
    return frames, frame_time, np.array(list(tokens), np.float64)


def _rotation(axis: int, degrees: np.ndarray) -> np.ndarray:
    """(T, 3, 3) about one axis."""
    angle = np.deg2rad(degrees)
    sine, cosine = np.sin(angle), np.cos(angle)
    matrix = np.zeros((len(degrees), 3, 3))
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1.0
    matrix[:, a, a], matrix[:, b, b], matrix[:, a, b], matrix[:, b, a] = cosine, cosine, -sine, sine
    return matrix


def _kinematics(joints: list[Joint], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions and tips: ``p = p_parent + R_parent t``, ``R = R_parent R_1 R_2 R_3`` in the order of the channels."""
    frames = len(values)
    positions, tips = np.zeros((frames, len(joints), 3)), np.full((frames, len(joints), 3), np.nan)
    rotations: list[np.ndarray] = []
    column = 0
    for index, joint in enumerate(joints):
        moved, turn = np.repeat(joint.offset[None], frames, 0), np.repeat(np.eye(3)[None], frames, 0)
        for channel in joint.channels:
            axis = _AXES[channel[0]]
            if channel.endswith("position"):
                moved[:, axis] = values[:, column]
            else:
                turn = turn @ _rotation(axis, values[:, column])
            column += 1
        if joint.parent >= 0:
            before = rotations[joint.parent]
            positions[:, index] = positions[:, joint.parent] + np.einsum("tij,tj->ti", before, moved)
            turn = before @ turn
        else:
            positions[:, index] = moved
        rotations.append(turn)
        if joint.tip is not None:
            tips[:, index] = positions[:, index] + turn @ joint.tip
    return positions, tips


# Names in the files of CMU, Mixamo, 3ds Max, Xsens, Rokoko, Bandai and others, first match first. {s} is left, l and so on.
_SIDED = {
    "hip": ("{s}upleg", "{s}thigh", "{s}upperleg", "{s}hip", "{s}hipjoint"),
    "knee": ("{s}leg", "{s}knee", "{s}lowleg", "{s}lowerleg", "{s}calf", "{s}shin"),
    "ankle": ("{s}foot", "{s}ankle"),
    "shoulder": ("{s}arm", "{s}uparm", "{s}upperarm", "{s}shoulder"),
    "elbow": ("{s}forearm", "{s}elbow", "{s}lowarm", "{s}lowerarm"),
    "wrist": ("{s}hand", "{s}wrist"),
}
_MIDDLE = {
    "pelvis": ("hips", "pelvis", "hip", "root"),
    "spine": ("spine1", "chest", "spine", "lowerback", "abdomen"),
    "thorax": ("neck", "neck1", "upperneck"),
    "nose": ("head",),
}
_SIDES = {"left": ("left", "l"), "right": ("right", "r")}


def _plain(name: str) -> str:
    """``mixamorig:LeftUpLeg`` -> ``leftupleg``; ``thigh_l`` and ``Thigh.L`` -> ``lthigh``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"^.*[:|]", "", name))
    parts = [w for w in re.split(r"[^A-Za-z0-9]+", words.lower()) if w]
    if len(parts) > 1 and parts[-1] in ("l", "r", "left", "right"):
        parts = [parts[-1], *parts[:-1]]
    return "".join(parts)


def to_h36m17(bvh: Bvh, path: Path) -> np.ndarray:
    """The H36M-17 joints (T, 17, 3) of a file, in its own axes and unit.

    Thorax and spine are made of their neighbours where a file has none; the nose is the base of the head moved towards its tip, since
    motion capture has no face.

    Raises:
        InputError: limbs cannot be found by their names.
    """
    found = {_plain(joint.name): index for index, joint in reversed(list(enumerate(bvh.joints)))}

    def find(names: tuple[str, ...]) -> np.ndarray | None:
        index = next((found[n] for n in names if n in found), None)
        return None if index is None else bvh.positions[:, index]

    joints: dict[str, np.ndarray | None] = {name: find(names) for name, names in _MIDDLE.items()}
    for side, words in _SIDES.items():
        for part, patterns in _SIDED.items():
            joints[f"{side}_{part}"] = find(tuple(p.format(s=s) for p in patterns for s in words))
    missing = [name for name, value in joints.items() if value is None and name not in ("spine", "thorax", "nose")]
    if missing:
        names = ", ".join(joint.name for joint in bvh.joints[:12])
        raise InputError(
            f"'{path}' has no joint for {', '.join(missing)} (its joints: {names} ...)", "rename them as in CMU or Mixamo files"
        )

    def known(name: str) -> np.ndarray:
        value = joints[name]
        assert value is not None
        return value

    shoulders = (known("left_shoulder") + known("right_shoulder")) / 2
    if joints["thorax"] is None:
        joints["thorax"] = shoulders
    if joints["spine"] is None:
        joints["spine"] = (known("pelvis") + known("thorax")) / 2
    base = joints["nose"]
    if base is None:
        base = known("thorax") + 0.5 * (known("thorax") - known("spine"))
    index = found.get("head")
    tip = base + (base - known("thorax")) if index is None or np.isnan(bvh.tips[0, index]).any() else bvh.tips[:, index]
    joints["nose"], joints["head"] = base + 0.4 * (tip - base), tip
    return np.stack([known(name) for name in H36M17.joints], axis=1)
