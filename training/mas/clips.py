"""Folders of 2D clips in the layout of the published data sets, their split, and augmentations.

``<folder>/motions/*.npy`` (T, J, 3): x, y, confidence; ``Mean.npy`` and ``Std.npy`` (J, 2) beside it, measured where they are missing;
humanml has ``texts/<name>.txt`` too, lines "caption.tokens" or "caption#tokens". A ``split.json`` ({"train": [...], "test": [...]})
fixes the split; without one the first tenth of the sorted names is the test split (published: of the folder's own order).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from pose_rt.core.motion_sets import MotionSet
from pose_rt.errors import InputError

from .batches import Batch, Normaliser, measure, pad

_TEST_SHARE = 0.1
_TRIES = 10_000
_BALL_REACH = 3.0


class Random(Protocol):
    """What augmentations draw from; a NumPy Generator is one."""

    def integers(self, low: int, high: int) -> int: ...

    def normal(self, loc: float, scale: float, size: int | None = None) -> np.ndarray | float: ...


@dataclass(frozen=True)
class Clip:
    """`motion` (T, J, 2) normalised, `mask` (T, J, 1) or None, and a caption."""

    motion: np.ndarray
    mask: np.ndarray | None
    name: str = ""
    captions: tuple[str, ...] = ()


def split_names(names: Sequence[str], split: str, shuffle: random.Random | None = None, size: int | None = None) -> list[str]:
    """The names of a split: the first tenth is the test split, the rest is for training; shuffled, then cut to `size`."""
    count = int(len(names) * _TEST_SHARE)
    chosen = list(names[:count] if split == "test" else names[count:])
    if shuffle is not None:
        shuffle.shuffle(chosen)
    return chosen[:size]


def to_clip(values: np.ndarray, spec: MotionSet, normaliser: Normaliser, name: str = "", captions: tuple[str, ...] = ()) -> Clip:
    """(T, J, 3) with confidences, as it is in a file, to a clip."""
    values = values[:: spec.stride]
    return Clip(normaliser(values[..., :2]), seen_mask(values, spec), name, captions)


def seen_mask(values: np.ndarray, spec: MotionSet) -> np.ndarray | None:
    """(T, J, 1) float64, 1 where the confidence is high enough and the ball is near the body; None for a set without a mask."""
    if spec.confidence is None:
        return None
    seen = values[..., 2:3] >= spec.confidence
    if spec.ball is not None:
        away = np.linalg.norm(values[:, list(spec.path), :2].mean(1) - values[:, spec.ball, :2], axis=-1)
        seen[:, spec.ball, 0] &= away < _BALL_REACH
    return seen.astype(np.float64)


def cut(clip: Clip, spec: MotionSet, rng: Random) -> Clip:
    """length_aug: a random part of the clip whose length the data set accepts; a clip that is too short stays whole.

    Raises:
        InputError: no part was accepted in ten thousand tries.
    """
    length = len(clip.motion)
    low, high = spec.accepted or (length // 2 + 1, length + 1)
    if length < low:
        return clip
    for _ in range(_TRIES):
        a, b = int(rng.integers(0, length)), int(rng.integers(0, length))
        start, end = min(a, b), max(a, b)
        if low <= end - start < high:
            return Clip(clip.motion[start:end], None if clip.mask is None else clip.mask[start:end], clip.name, clip.captions)
    raise InputError(f"{clip.name}: no part of its {length} frames has {low} to {high - 1}", "train without length_aug")


def augment(
    clip: Clip, names: Sequence[str], spec: MotionSet, normaliser: Normaliser, rng: Random, scale: float = 0.1, shift: float = 0.1
) -> Clip:
    """length_aug, then scale_aug (``x e^n``, n of standard deviation `scale`), then shift_aug (``x + n`` per axis, `shift`).

    The last two act on the data's own unit. `names` says which of them.
    """
    if "length_aug" in names:
        clip = cut(clip, spec, rng)
    motion = clip.motion
    if "scale_aug" in names:
        motion = normaliser(normaliser.back(motion) * np.exp(rng.normal(0, scale)))
    if "shift_aug" in names:
        motion = normaliser(normaliser.back(motion) + np.asarray(rng.normal(0, shift, 2)))
    return Clip(motion, clip.mask, clip.name, clip.captions)


def collate(clips: Sequence[Clip], captions: Sequence[str] = ()) -> Batch:
    """Clips to one padded batch."""
    return pad([clip.motion for clip in clips], [clip.mask for clip in clips], captions)


class FolderSource:
    """Clips of one split of a folder, drawn with replacement and augmented."""

    def __init__(self, spec: MotionSet, clips: list[Clip], normaliser: Normaliser, augmentations: Sequence[str]) -> None:
        self.spec, self.clips, self.normaliser, self._augmentations = spec, clips, normaliser, tuple(augmentations)

    def normalised(self, normaliser: Normaliser) -> FolderSource:
        """The same clips normalised by another mean and standard deviation."""
        clips = [replace(clip, motion=normaliser(self.normaliser.back(clip.motion))) for clip in self.clips]
        return FolderSource(self.spec, clips, normaliser, self._augmentations)

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """`count` clips; those longer than the data set's longest are cut at random places."""
        chosen = []
        for index in rng.integers(0, len(self.clips), count).tolist():
            clip = augment(self.clips[index], self._augmentations, self.spec, self.normaliser, rng)
            extra = len(clip.motion) - self.spec.longest
            start = int(rng.integers(0, extra + 1)) if extra > 0 else 0
            part = slice(start, start + self.spec.longest)
            chosen.append(Clip(clip.motion[part], None if clip.mask is None else clip.mask[part], clip.name, clip.captions))
        captions = [str(clip.captions[rng.integers(len(clip.captions))]) for clip in chosen if clip.captions]
        return collate(chosen, captions)


def open_folder(
    spec: MotionSet, folder: Path, split: str, size: int | None, augmentations: Sequence[str] | None, seed: int
) -> FolderSource:
    """Read a folder.

    Raises:
        InputError: no such folder, no clips, a file of another shape, no clip long enough.
    """
    names = _names(folder, split, size, seed)
    raw = {name: _read(folder, name, spec) for name in names}
    kept = {name: values for name, values in raw.items() if len(values[:: spec.stride]) >= spec.shortest}
    if not kept:
        raise InputError(f"{folder}: none of the {len(raw)} clips of the {split} split has {spec.shortest} frames", "make longer clips")
    normaliser = _normaliser(folder, list(kept.values()), spec)
    clips = [to_clip(values, spec, normaliser, name, _captions(folder, name) if spec.texts else ()) for name, values in kept.items()]
    return FolderSource(spec, clips, normaliser, spec.augmentations if augmentations is None else augmentations)


def _names(folder: Path, split: str, size: int | None, seed: int) -> list[str]:
    found = sorted(path.stem for path in (folder / "motions").glob("*.npy"))
    if not found:
        raise InputError(f"{folder / 'motions'}: holds no .npy clips", "name the data set's folder with --datapath")
    recorded = folder / "split.json"
    if recorded.is_file():
        wanted = json.loads(recorded.read_text())[split]
        missing = sorted(set(wanted) - set(found))
        if missing:
            raise InputError(f"{recorded}: names {missing[0]}, which is not there", "make the data set again")
        return list(wanted)[:size]
    return split_names(found, split, random.Random(seed), size)


def _read(folder: Path, name: str, spec: MotionSet) -> np.ndarray:
    path = folder / "motions" / f"{name}.npy"
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    wanted = 3 if spec.confidence is not None else 2
    if values.ndim != 3 or values.shape[1] != spec.joints or values.shape[2] < wanted:
        raise InputError(f"{path}: has shape {values.shape}, wanted (T, {spec.joints}, 3) for {spec.name}")
    return np.asarray(values)


def _normaliser(folder: Path, clips: list[np.ndarray], spec: MotionSet) -> Normaliser:
    mean, std = folder / "Mean.npy", folder / "Std.npy"
    if mean.is_file() and std.is_file():
        return Normaliser(np.load(mean, allow_pickle=False), np.load(std, allow_pickle=False))
    masks = None if spec.confidence is None else [np.asarray(seen_mask(c, spec)) for c in clips]
    return measure([c[..., :2] for c in clips], masks)


def _captions(folder: Path, name: str) -> tuple[str, ...]:
    path = folder / "texts" / f"{name}.txt"
    if not path.is_file():
        raise InputError(f"{path}: no such captions, which {folder.name} needs for every clip")
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line.replace("#", ".").split(".")[0].strip() for line in lines if line.strip())
