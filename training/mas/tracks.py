"""Tracks of `pose-rt video` to clips of 2D motion: resampled, cut where a person is not well seen or jumps, in metres."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pose_rt.core.motion_sets import MOTION_SETS
from pose_rt.core.skeleton import BLAZEPOSE33, H36M17, Skeleton, to_h36m
from pose_rt.errors import InputError
from pose_rt.io.results import read_jsonl

SPEC = MOTION_SETS["tracks"]
BODY_M = 1.29
"""Thorax to pelvis to ankle along the bones of a grown person: what the size of a person in the picture is scaled to."""
_LIMBS = ((8, 7), (7, 0)), ((1, 2), (2, 3)), ((4, 5), (5, 6))


@dataclass(frozen=True)
class Cut:
    """What is good enough to learn from.

    Attributes:
        confidence: a joint with less counts as not seen.
        seen: least share of the 17 joints that must be seen in a frame.
        gap_s: longest time between two measurements of a person that is bridged.
        speed: largest speed of the pelvis, body lengths a second; faster is a track that has jumped to somebody else.
        seconds: shortest clip.
    """

    confidence: float = 0.3
    seen: float = 0.7
    gap_s: float = 0.25
    speed: float = 4.0
    seconds: float = SPEC.shortest / SPEC.fps


@dataclass(frozen=True)
class Track:
    """A person in a video: times (n,) s, points (n, 17, 2) px, scores (n, 17)."""

    source: str
    person: int
    time_s: np.ndarray
    xy_px: np.ndarray
    score: np.ndarray


@dataclass
class Kept:
    """What became of a track: clips (T, 17, 3) in the data set's rows with confidences, and seconds lost by reason."""

    clips: list[np.ndarray] = field(default_factory=list)
    begins_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    lost: dict[str, float] = field(default_factory=lambda: defaultdict(float))


def read_tracks(path: Path) -> list[Track]:
    """The people of a JSON lines file of `pose-rt video`, as H36M-17.

    Raises:
        InputError: not such a file, or a 2D skeleton without a map to H36M-17.
    """
    result = read_jsonl(path)
    name = (result.header.get("skeleton2d") or {}).get("name")
    known: dict[str, Skeleton] = {s.name: s for s in (BLAZEPOSE33, H36M17)}
    if name not in known:
        raise InputError(f"{path}: the 2D skeleton is {name!r}, wanted one of {', '.join(known)}")
    rows: dict[int, list[tuple[float, list[list[float]]]]] = defaultdict(list)
    for record in result.frames:
        for person in record.get("persons", []):
            rows[int(person["id"])].append((float(record["pts_s"]), person["kpts2d"]))
    tracks = []
    for person, found in sorted(rows.items()):
        points = np.array([p for _, p in found], np.float32)  # null becomes NaN
        xy, score = points[..., :2], points[..., 2]
        if name != H36M17.name:
            mapped, scores = to_h36m(xy, score, known[name])
            assert scores is not None
            xy, score = mapped, scores
        tracks.append(Track(path.stem, person, np.array([t for t, _ in found]), xy, np.nan_to_num(score)))
    return tracks


def cut_track(track: Track, cut: Cut) -> Kept:
    """Resample at the data set's rate, cut, and bring into metres: x right, y up, row 0 the path of the pelvis about its middle."""
    kept = Kept(seconds=float(track.time_s[-1] - track.time_s[0]))
    seen = (track.score >= cut.confidence) & np.isfinite(track.xy_px).all(-1)
    good = seen.mean(1) >= cut.seen
    kept.lost["not seen well"] = _share(~good, kept.seconds)
    rows = np.flatnonzero(good)
    if len(rows) < 2:
        return kept
    size = _body_px(track.xy_px[rows])
    step = np.diff(track.time_s[rows])
    speed = np.linalg.norm(np.diff(track.xy_px[rows, 0], axis=0), axis=-1) / np.maximum(step, 1e-6) / size
    breaks = (step > cut.gap_s) | (np.nan_to_num(speed, nan=np.inf) > cut.speed)
    kept.lost["jumps and gaps"] = float(step[breaks].sum())
    for part in np.split(rows, np.flatnonzero(breaks) + 1):
        begin, end = float(track.time_s[part[0]]), float(track.time_s[part[-1]])
        if end - begin < cut.seconds:
            kept.lost["too short"] += end - begin
            continue
        times = begin + np.arange(int((end - begin) * SPEC.fps + 1e-6) + 1) / SPEC.fps
        kept.clips.append(_clip(track, part, times, seen, size))
        kept.begins_s.append(begin)
    return kept


def _share(gone: np.ndarray, seconds: float) -> float:
    return float(gone.mean() * seconds)


def _body_px(xy: np.ndarray) -> float:
    """Length of the body along its bones, px: the 90th percentile over time, since a limb that points at the camera looks short."""
    torso, right, left = (
        sum(np.linalg.norm(xy[:, a] - xy[:, b], axis=-1) for a, b in limb) for limb in _LIMBS
    )  # fmt: skip
    return max(float(np.nanpercentile(torso + np.fmax(right, left), 90)), 1e-6)


def _clip(track: Track, part: np.ndarray, times: np.ndarray, seen: np.ndarray, size: float) -> np.ndarray:
    """(T, 17, 3): each joint interpolated between the frames that saw it; its confidence is 0 where none is near."""
    # Joints are bridged relative to the pelvis, so that one that is hidden for long goes along with the body.
    xy, score = np.zeros((len(times), 17, 2)), np.zeros((len(times), 17))
    pelvis = track.xy_px[part, :1]
    for j in range(17):
        known = np.flatnonzero(seen[part, j] & np.isfinite(pelvis).all((1, 2)))
        if not len(known):
            continue
        at, from_pelvis = track.time_s[part[known]], track.xy_px[part[known], j] - pelvis[known, 0] * (j > 0)
        for axis in range(2):
            xy[:, j, axis] = np.interp(times, at, from_pelvis[:, axis])
        near = np.abs(at[None] - times[:, None]).min(1) <= 1.0 / SPEC.fps
        score[:, j] = np.interp(times, at, track.score[part[known], j]) * near
    rows = xy * np.array([1.0, -1.0]) * (BODY_M / size)
    rows[:, 0] -= 0.5 * (rows[:, 0].min(0) + rows[:, 0].max(0))
    return np.concatenate([rows, score[..., None]], -1).astype(np.float32)
