"""3D motion of people in files: what ``pose-rt video`` saved (.jsonl, .npz), arrays of a user (.npz), motion capture (.bvh).

Whatever a file's axes and unit are, what comes out is H36M-17, metres, x right, y down, z forward, relative to the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.skeleton import H36M17, H36M32_TO_H36M17
from ..errors import InputError, UsageError
from .motion_bvh import read_bvh, to_h36m17
from .results import read_jsonl, read_npz
from .sources.base import check_media_path

Up = Literal["auto", "-y", "y", "z"]
Unit = Literal["auto", "m", "cm", "mm"]
MOTION_SUFFIXES = (".npz", ".jsonl", ".ndjson", ".json", ".bvh")
MAX_GAP_S = 0.25
"""Holes up to this long are bridged by straight lines; longer ones stay holes."""

_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_ARRAYS = ("joints_m", "joints", "positions_3d", "positions", "poses", "keypoints3d", "kpts3d", "pos_mm", "pose_3d")
_RATES = ("fps", "rate_hz", "rate", "frame_rate")
_DOWN, _HEAD, _ANKLES = 1, 10, [3, 6]


@dataclass(frozen=True)
class Motion:
    """One person over time.

    Attributes:
        joints_m: (T, 17, 3) float32, H36M-17, metres, relative to the root, camera axes; NaN where nothing is known.
        time_s: (T,) float64, ascending.
        root_m: (T, 3) float32 path of the root, or None.
        track: the person's id.
        name: of the file.
        notes: what was assumed in reading it.
    """

    joints_m: np.ndarray
    time_s: np.ndarray
    root_m: np.ndarray | None
    track: int
    name: str
    notes: tuple[str, ...] = field(default=())

    @property
    def rate_hz(self) -> float:
        """Median rate; 0 for a single frame."""
        return 0.0 if len(self.time_s) < 2 else 1.0 / float(np.median(np.diff(self.time_s)))


def read_motion(path: str | Path, *, rate_hz: float | None = None, up: Up = "auto", unit: Unit = "auto") -> list[Motion]:
    """The people of a file, in order of their ids.

    Args:
        rate_hz: of arrays that do not say theirs; ignored where the file has times of its own.
        up: axis that points up in a user's file ("-y" = camera axes); "auto": the one along which the head is over the feet.
        unit: of a user's file; "auto": from the size of the body.

    Raises:
        UsageError: no such file, or an ending that is not understood.
        InputError: not what its ending says, another skeleton, no 3D, no rate.
    """
    path = check_media_path(path, "a file of motion")
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson", ".json"):
        return _from_jsonl(path)
    if suffix == ".bvh":
        bvh = read_bvh(path)
        joints, notes = to_camera_axes(to_h36m17(bvh, path), up, unit, str(path))
        return [_motion(joints, np.arange(len(joints)) * bvh.frame_time_s, 0, path, notes)]
    if suffix != ".npz":
        raise UsageError(f"'{path}' ends in '{path.suffix}', wanted {', '.join(MOTION_SUFFIXES)}", "convert it to one of these")
    arrays = _load_npz(path)
    return _from_saved_npz(path) if "header" in arrays else [_from_arrays(arrays, path, rate_hz, up, unit)]


def _load_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # zip, header and pickle errors come in many kinds
        cure = "published pickles are converted with: python -m training.data.convert FILE" if "pickle" in str(error) else None
        raise InputError(f"'{path}' cannot be read as NumPy arrays ({error})", cure) from error


def _motion(absolute: np.ndarray, time_s: np.ndarray, track: int, path: Path, notes: Sequence[str]) -> Motion:
    root = absolute[:, :1]
    return Motion((absolute - root).astype(np.float32), time_s, root[:, 0].astype(np.float32), track, path.name, tuple(notes))


def _from_arrays(arrays: dict[str, np.ndarray], path: Path, rate_hz: float | None, up: Up, unit: Unit) -> Motion:
    name = next((n for n in _ARRAYS if n in arrays), None)
    if name is None and len(arrays) == 1:
        name = next(iter(arrays))
    if name is None:
        raise InputError(f"'{path}' has the arrays {', '.join(arrays) or '(none)'}, wanted one of {', '.join(_ARRAYS)}")
    joints = arrays[name]
    if joints.ndim == 3 and joints.shape[1:] == (32, 3):
        joints = joints[:, list(H36M32_TO_H36M17)]
    if joints.ndim != 3 or joints.shape[1:] != (H36M17.num_joints, 3) or joints.dtype.kind not in "fiu":
        wanted = f"wanted (frames, 17, 3) in the order of H36M-17 ({', '.join(H36M17.joints[:4])} ...) or (frames, 32, 3)"
        raise InputError(f"'{path}': {name} is {joints.dtype} {joints.shape}, {wanted}", "map your skeleton to it first")
    rate = next((float(arrays[n]) for n in _RATES if n in arrays and arrays[n].size == 1), rate_hz)
    if rate is None or not 0 < rate < 10_000:
        raise InputError(f"'{path}' does not say its frame rate", "give --rate HZ, or add an array fps")
    if not np.isfinite(joints).any():
        raise InputError(f"'{path}': every joint of every frame is unknown", "give a file in which joints are known")
    known: Unit = "mm" if name.endswith("_mm") and unit == "auto" else "m" if name.endswith("_m") and unit == "auto" else unit
    placed, notes = to_camera_axes(joints.astype(np.float64), up, known, str(path))
    return _motion(placed, np.arange(len(joints)) / rate, 0, path, notes)


def to_camera_axes(joints: np.ndarray, up: Up, unit: Unit, what: str) -> tuple[np.ndarray, list[str]]:
    """(T, 17, 3) of any axes and unit -> metres with y down, and sentences about what was found out.

    Raises:
        InputError: the body is too small or too large for any unit, or nothing is finite.
    """
    notes = []
    if unit == "auto":
        spine = np.linalg.norm(joints[:, 8] - joints[:, 0], axis=-1)  # pelvis to thorax: half a metre on grown people
        length = float(np.nanmedian(spine)) if np.isfinite(spine).any() else float("nan")
        unit = "m" if 0.15 < length < 1.5 else "cm" if 15 < length < 150 else "mm" if 150 <= length < 1500 else "auto"
        if unit == "auto":
            raise InputError(f"{what}: pelvis and thorax are {length:.3g} apart, which is no human size in m, cm or mm", "give --unit")
        if unit != "m":
            notes.append(f"read as {unit}, for the size of the body")
    joints = joints * _METRES[unit]
    if up == "auto":
        tall = np.nanmean(joints[:, _HEAD] - joints[:, _ANKLES].mean(1), axis=0)
        axis = int(np.argmax(np.abs(tall)))
        found: dict[tuple[int, bool], Up] = {(1, False): "-y", (1, True): "y", (2, True): "z"}
        guess = found.get((axis, bool(tall[axis] > 0)))
        if guess is None:
            guess = "-y"
            notes.append("which axis points up is not clear (nobody stands upright); taken as camera axes, y down")
        elif guess != "-y":
            notes.append(f"{guess} points up, for the head is there")
        up = guess
    if up == "y":
        joints = joints * np.array([1.0, -1.0, -1.0])
    elif up == "z":
        joints = np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], -1)
    return joints, notes


def _from_jsonl(path: Path) -> list[Motion]:
    result = read_jsonl(path)
    _check_skeleton(result.header, path)
    rows: dict[int, list[tuple[float, Any, Any]]] = {}
    for record in result.frames:
        for person in record.get("persons", []):
            if person.get("kpts3d") is not None:
                rows.setdefault(int(person["id"]), []).append((float(record["pts_s"]), person["kpts3d"], person.get("root")))
    return _people(path, {track: list(zip(*found, strict=True)) for track, found in rows.items()})


def _from_saved_npz(path: Path) -> list[Motion]:
    result = read_npz(path)
    _check_skeleton(result.header, path)
    a = result.arrays
    time_s = np.repeat(a["pts_s"], np.diff(a["offsets"]))
    people: dict[int, Any] = {}
    for track in np.unique(a["person"]).tolist():
        chosen = (a["person"] == track) & a["has3d"]
        if chosen.any():
            people[track] = [time_s[chosen], a["kpts3d"][chosen], a["root"][chosen]]
    return _people(path, people)


def _check_skeleton(header: dict[str, Any], path: Path) -> None:
    skeleton = header.get("skeleton3d")
    if skeleton is None:
        raise InputError(f"'{path}' holds 2D only", "make it anew without --no-3d")
    if skeleton.get("name") != H36M17.name:
        raise InputError(f"'{path}' has the 3D skeleton {skeleton.get('name')!r}, wanted {H36M17.name!r}")


def _people(path: Path, people: dict[int, Any]) -> list[Motion]:
    if not people:
        raise InputError(f"'{path}' holds no 3D pose", "nobody was seen, or the run was too short for the lifter")
    motions = []
    for track, (times, joints, roots) in sorted(people.items()):
        array = np.array(joints, np.float32)  # null becomes NaN
        place = np.array([[np.nan] * 3 if root is None else root for root in roots], np.float32)
        known = None if not np.isfinite(place).any() else place
        motions.append(Motion(array - array[:, :1], np.asarray(times, np.float64), known, track, path.name))
    return motions


def resample(motion: Motion, times_s: np.ndarray) -> np.ndarray:
    """The joints at given times, (n, 17, 3) float32: straight lines between frames, NaN in gaps over `MAX_GAP_S` and outside the motion.

    A joint that is missing in some frames is bridged on its own.
    """
    flat = motion.joints_m.reshape(len(motion.time_s), -1).astype(np.float64)
    out = np.full((len(times_s), flat.shape[1]), np.nan)
    for column in range(flat.shape[1]):
        known = np.isfinite(flat[:, column])
        if not known.any():
            continue
        times, values = motion.time_s[known], flat[known, column]
        after = np.searchsorted(times, times_s - 1e-9)
        inside = (after < len(times)) & (times_s >= times[0] - 1e-9)
        before = np.clip(after - 1, 0, None)
        after = np.clip(after, 0, len(times) - 1)
        close = (times[after] - times[before] <= MAX_GAP_S + 1e-9) | (np.abs(times[after] - times_s) < 1e-9)
        good = inside & close
        out[good, column] = np.interp(times_s[good], times, values)
    return out.reshape(len(times_s), *motion.joints_m.shape[1:]).astype(np.float32)


def history_before(motion: Motion, frames: int, rate_hz: float, at_s: float | None = None) -> tuple[np.ndarray, float]:
    """The last `frames` at `rate_hz` up to a moment (default: the end), and that moment: (frames, 17, 3) float32, seconds.

    Raises:
        InputError: the motion is too short there, or has a gap.
    """
    begin, end = float(motion.time_s[0]), float(motion.time_s[-1])
    moment = end if at_s is None else at_s
    if not begin - 1e-6 <= moment <= end + 1e-6:
        raise InputError(
            f"'{motion.name}', person {motion.track}: lasts from {begin:.2f} to {end:.2f} s, there is nothing at {moment:.2f} s"
        )
    needed = (frames - 1) / rate_hz
    if moment - needed < begin - 1e-6:
        have = f"has {moment - begin:.2f} s before {moment:.2f} s"
        raise InputError(
            f"'{motion.name}', person {motion.track}: {have}, the forecaster wants {needed:.2f} s", "give a longer motion or a later --at"
        )
    history = resample(motion, np.clip(moment - np.arange(frames - 1, -1, -1) / rate_hz, begin, end))
    if np.isnan(history).any():
        wrong = np.flatnonzero(np.isnan(history).any((1, 2)))
        when = moment - (frames - 1 - wrong[0]) / rate_hz
        cure = f"fill it, or give an --at outside the {needed:.2f} s after it"
        raise InputError(
            f"'{motion.name}', person {motion.track}: joints are unknown for more than {MAX_GAP_S} s around {when:.2f} s", cure
        )
    return history, moment
