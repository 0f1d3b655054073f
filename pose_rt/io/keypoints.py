"""2D keypoints that another detector made: one person's clip from .npz arrays, pose-rt's JSON lines, or the JSON of other tools."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.skeleton import SKELETONS, Skeleton
from ..errors import InputError, UsageError
from .keypoints_json import Person, read_json_frames
from .results import read_jsonl

_OUTSIDE, _MARGIN = 0.5, 0.25
_SIGHT = 1.5
"""Of a person's size: where no ids were given, nobody moves farther from one frame to the next."""


@dataclass(frozen=True)
class KeypointClip:
    """One person's keypoints over time.

    Attributes:
        xy_px: (F, J, 2) float32, NaN = not seen.
        score: (F, J) float32, 0 where not seen.
        skeleton: order of the joints; None = the file does not say.
        width, height, fps: of the pictures; None = the file does not say.
        people: frames of every person of the file by id, this one's first.
    """

    xy_px: np.ndarray
    score: np.ndarray
    skeleton: Skeleton | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    people: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.xy_px)


class Given(NamedTuple):
    """What the caller says about a file, instead of or beyond what the file says itself."""

    skeleton: str | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None


def read_keypoints(path: Path, given: Given | None = None, *, person: int | None = None, min_score: float = 0.05) -> KeypointClip:
    """Read a clip and make sure that it can be lifted.

    Args:
        path: .npz, .jsonl, .json, or a folder of OpenPose's JSON files.
        given: skeleton, size and rate where the file does not tell, or tells wrongly.
        person: id of the person; None = who is seen in most frames.
        min_score: joints below it count as not seen.

    Raises:
        UsageError: no such file, or skeleton, size or rate are known neither from the file nor from the caller.
        InputError: not a file of keypoints, another number of joints, no frame, nobody seen, or points outside of the picture.
    """
    given = Given() if given is None else given
    if not path.exists():
        raise UsageError(f"'{path}': no such file")
    if path.suffix.lower() == ".npz":
        clip = _read_npz(path)
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        clip = _read_own(path, person)
    elif path.is_dir() or path.suffix.lower() == ".json":
        frames, skeleton = read_json_frames(path)
        clip = replace(_one_person(frames, person, path), skeleton=skeleton)
    else:
        raise UsageError(f"'{path}' ends in '{path.suffix}'", "wanted .npz, .json, .jsonl or a folder of OpenPose's JSON files")
    return _checked(path, _completed(path, clip, given), min_score)


def _read_npz(path: Path) -> KeypointClip:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"'{path}' is not an .npz file of plain arrays ({error})") from error
    if "xy_px" not in arrays:
        raise InputError(f"'{path}' has no array xy_px (it has {', '.join(arrays) or 'none'})", "save xy_px (F, J, 2) in pixels")
    xy = arrays["xy_px"]
    if xy.ndim != 3 or xy.shape[2] != 2 or xy.dtype.kind not in "fiu":
        raise InputError(f"'{path}': xy_px is {xy.dtype} {xy.shape}, wanted numbers (F, J, 2)")
    score = arrays.get("score", np.ones(xy.shape[:2], np.float32))
    if score.shape != xy.shape[:2]:
        raise InputError(f"'{path}': score is {score.shape}, wanted {xy.shape[:2]} as xy_px has it")
    skeleton = str(arrays["skeleton"]) if "skeleton" in arrays else None
    if skeleton is not None and skeleton not in SKELETONS:
        raise InputError(f"'{path}': its skeleton is '{skeleton}', wanted one of {', '.join(SKELETONS)}")
    size, fps = ([float(arrays[k]) if k in arrays else None for k in keys] for keys in (("width", "height"), ("fps",)))
    width, height = (None if value is None else int(value) for value in size)
    known = None if skeleton is None else SKELETONS[skeleton]
    return KeypointClip(xy.astype(np.float32), score.astype(np.float32), known, width, height, fps[0], ((0, len(xy)),))


def _read_own(path: Path, person: int | None) -> KeypointClip:
    result = read_jsonl(path)
    header = result.header
    frames: list[list[Person]] = []
    for record in result.frames:
        people = []
        for entry in record.get("people", []):
            points = np.array([[np.nan if v is None else v for v in point] for point in entry["kpts2d"]], np.float32)
            people.append(Person(points[:, :2], points[:, 2], entry["id"]))
        frames.append(people)
    clip = _one_person(frames, person, path)
    numerator, denominator = header["fps"]
    skeleton = SKELETONS.get(header["skeleton2d"]["name"])
    return replace(clip, skeleton=skeleton, width=header["width"], height=header["height"], fps=numerator / denominator)


def _one_person(frames: Sequence[Sequence[Person]], wanted: int | None, path: Path) -> KeypointClip:
    """The clip of one person, chosen by id; people without ids get some first, by where they stand."""
    if all(p.track is None for frame in frames for p in frame):
        frames = follow(frames)
    counts: dict[int, int] = {}
    for frame in frames:
        for p in frame:
            if p.track is not None:
                counts[p.track] = counts.get(p.track, 0) + 1
    if not counts:
        raise InputError(f"'{path}': nobody is seen in any of its {len(frames)} frames")
    chosen = max(counts, key=lambda track: (counts[track], -track)) if wanted is None else wanted
    if chosen not in counts:
        raise UsageError(f"'{path}' has no person {wanted}", f"it has {', '.join(map(str, sorted(counts)))}")
    joints = next(len(p.xy) for frame in frames for p in frame)
    xy, score = np.full((len(frames), joints, 2), np.nan, np.float32), np.zeros((len(frames), joints), np.float32)
    for i, frame in enumerate(frames):
        for p in frame:
            if p.track == chosen:
                if len(p.xy) != joints:
                    raise InputError(f"'{path}': a person of frame {i} has {len(p.xy)} joints, those before have {joints}")
                xy[i], score[i] = p.xy, p.score
    others = sorted((item for item in counts.items() if item[0] != chosen), key=lambda item: -item[1])
    return KeypointClip(xy, score, people=((chosen, counts[chosen]), *others))


def follow(frames: Sequence[Sequence[Person]]) -> list[list[Person]]:
    """Give ids to people by the nearest middle in the last frame they were seen in, closest pairs first."""
    last: dict[int, tuple[np.ndarray, float]] = {}
    count = 0
    out: list[list[Person]] = []
    for frame in frames:
        places = [_place(p.xy) for p in frame]
        distance = {
            (i, track): float(np.hypot(*(middle - known[0]))) / max(size, known[1], 1e-6)
            for i, (middle, size) in enumerate(places) for track, known in last.items()
        }  # fmt: skip
        ids: dict[int, int] = {}
        for (i, track), d in sorted(distance.items(), key=lambda item: item[1]):
            if d < _SIGHT and i not in ids and track not in ids.values():
                ids[i] = track
        for i in range(len(frame)):
            if i not in ids:
                ids[i], count = count, count + 1
            last[ids[i]] = places[i]
        out.append([p._replace(track=ids[i]) for i, p in enumerate(frame)])
    return out


def _place(xy: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle and size (diagonal of the box) of what is seen of a person."""
    seen = xy[np.isfinite(xy).all(-1)]
    if len(seen) == 0:
        return np.full(2, np.inf), 0.0
    return seen.mean(0), float(np.hypot(*(seen.max(0) - seen.min(0))))


def likely_skeleton(xy: np.ndarray) -> Skeleton | None:
    """Which order of 17 joints these are (F, 17, 2): in each, some joints lie amid others. None where no order or several would do.

    H36M-17's pelvis and thorax and MPI-INF-3DHP's pelvis are midpoints; COCO-17 begins with a face, whose five points lie close together.
    """
    if xy.shape[1:] != (17, 2):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # frames in which nothing was seen
        size = np.linalg.norm(np.nanmax(xy, 1) - np.nanmin(xy, 1), axis=-1)
        error: dict[str, float] = {}
        for name, rules in _MIDDLES.items():
            off = [np.linalg.norm(xy[:, joint] - xy[:, list(amid)].mean(1), axis=-1) / np.maximum(size, 1e-6) for joint, amid in rules]
            error[name] = float(np.nanmedian(np.max(off, 0)))
    best, second = sorted(error, key=lambda name: error[name] if np.isfinite(error[name]) else np.inf)[:2]
    clear = error[best] < _AMID and not error[second] < 3 * max(error[best], 0.01)
    return SKELETONS[best] if clear else None


_AMID = 0.06
_MIDDLES: dict[str, tuple[tuple[int, tuple[int, ...]], ...]] = {
    "h36m17": ((0, (1, 4)), (8, (11, 14))),
    "coco17": ((0, (1, 2)), (0, (3, 4))),
    "mpi17": ((14, (8, 11)), (1, (2, 5))),
}


def _completed(path: Path, clip: KeypointClip, given: Given) -> KeypointClip:
    joints = clip.xy_px.shape[1]
    if given.skeleton is not None:
        if given.skeleton not in SKELETONS:
            raise UsageError(f"--skeleton: got '{given.skeleton}', wanted one of {', '.join(SKELETONS)}")
        clip = replace(clip, skeleton=SKELETONS[given.skeleton])
    if clip.skeleton is None:
        fitting = [s for s in SKELETONS.values() if s.num_joints == joints]
        likely = fitting[0] if len(fitting) == 1 else likely_skeleton(clip.xy_px)
        if likely is None:
            names = ", ".join(s.name for s in fitting or SKELETONS.values())
            raise UsageError(f"'{path}' has {joints} joints and does not say which", f"give --skeleton, one of {names}")
        clip = replace(clip, skeleton=likely)
    assert clip.skeleton is not None
    if clip.skeleton.num_joints != joints:
        raise InputError(f"'{path}' has {joints} joints, {clip.skeleton.name} has {clip.skeleton.num_joints}", "give another --skeleton")
    likely = likely_skeleton(clip.xy_px)
    if likely is not None and likely is not clip.skeleton:
        raise InputError(
            f"'{path}': the joints lie as those of {likely.name} do, not {clip.skeleton.name}", f"give --skeleton {likely.name}"
        )
    if given.size is not None:
        clip = replace(clip, width=given.size[0], height=given.size[1])
    if given.fps is not None:
        clip = replace(clip, fps=given.fps)
    if clip.width is None or clip.height is None:
        raise UsageError(f"'{path}' does not say how large the pictures are", "give --size WIDTHxHEIGHT")
    if clip.fps is None:
        raise UsageError(f"'{path}' does not say how many frames a second it has", "give --fps")
    return clip


def _checked(path: Path, clip: KeypointClip, min_score: float) -> KeypointClip:
    if len(clip) == 0:
        raise InputError(f"'{path}' has no frames")
    assert clip.width is not None and clip.height is not None and clip.fps is not None
    if clip.width < 1 or clip.height < 1:
        raise InputError(f"'{path}': the pictures are {clip.width} x {clip.height} px", "give --size WIDTHxHEIGHT")
    if not (np.isfinite(clip.fps) and 0 < clip.fps <= 1000):
        raise InputError(f"'{path}': {clip.fps} frames a second, wanted more than 0 and at most 1000", "give --fps")
    seen = np.isfinite(clip.xy_px).all(-1) & np.isfinite(clip.score) & (clip.score >= min_score)
    if not seen.any():
        raise InputError(f"'{path}': no joint is seen in any of its {len(clip)} frames", "give a lower --min-score if there are scores")
    x, y = clip.xy_px[seen].T
    mx, my = _MARGIN * clip.width, _MARGIN * clip.height
    outside = ((x < -mx) | (x > clip.width + mx) | (y < -my) | (y > clip.height + my)).mean()
    if outside > _OUTSIDE:
        size = f"{clip.width} x {clip.height}"
        raise InputError(f"'{path}': {outside:.0%} of the points lie far outside of {size} px", "give the right --size WIDTHxHEIGHT")
    if max(np.ptp(x), np.ptp(y)) < 3.0:
        raise InputError(f"'{path}': all points lie within {max(np.ptp(x), np.ptp(y)):.2g} px", "give pixels, not normalised coordinates")
    xy = np.where(seen[..., None], clip.xy_px, np.float32(np.nan))
    return replace(clip, xy_px=xy, score=np.where(seen, clip.score, np.float32(0)))
