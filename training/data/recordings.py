"""What a lifter is trained and measured on: 2D keypoints and 3D poses of one person in front of one camera, frame by frame."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pose_rt.core.camera import normalise_screen
from pose_rt.core.skeleton import Skeleton
from pose_rt.errors import InputError


@dataclass(frozen=True)
class Recording:
    """One clip of one camera.

    Attributes:
        subject, action, camera: where it comes from; `action` in full ("Walking 1").
        xy: (T, 17, 2) float32, normalised screen coordinates (`normalise_screen`).
        pose: (T, 17, 3) float32 metres in camera axes, relative to the root joint, whose own entry is its place in space.
        intrinsics: (9,) float32 in normalised screen units with distortion, or (4,) in pixels; empty where they are not published.
        size: width and height of the picture, px.
        valid: (T,) bool, frames that count; None = all.
        activity: (T,) int64, a label a frame; None = unknown.
        orientation, translation: quaternion and place (m) of the camera in the world; None = unknown.
    """

    subject: str
    action: str
    camera: str
    xy: np.ndarray
    pose: np.ndarray
    intrinsics: np.ndarray
    size: tuple[int, int]
    valid: np.ndarray | None = None
    activity: np.ndarray | None = None
    orientation: np.ndarray | None = None
    translation: np.ndarray | None = None

    @property
    def name(self) -> str:
        return "/".join(part for part in (self.subject, self.action, self.camera) if part)

    @property
    def group(self) -> str:
        """The action without its take: "Walking 1" -> "Walking"."""
        return self.action.split(" ")[0]

    def __len__(self) -> int:
        return len(self.xy)


@dataclass(frozen=True)
class DataSet:
    """Recordings with what holds for all of them.

    Attributes:
        skeleton_in, skeleton_out: joint orders of `xy` and `pose`.
        root: root joint of the 3D order.
        rate_hz: frames a second.
        digests: file name -> sha256.
    """

    name: str
    recordings: list[Recording]
    skeleton_in: Skeleton
    skeleton_out: Skeleton
    root: int
    rate_hz: float
    digests: dict[str, str] = field(default_factory=dict)

    def select(self, actions: str = "*") -> DataSet:
        """The recordings whose action begins with one of a comma-separated list.

        Raises:
            InputError: none does.
        """
        if actions == "*":
            return self
        wanted = tuple(a.strip() for a in actions.split(",") if a.strip())
        kept = [r for r in self.recordings if r.action.startswith(wanted)]
        if not kept:
            known = sorted({r.group for r in self.recordings})
            raise InputError(f"actions: no recording of {self.name} begins with {actions!r}", f"it has {', '.join(known)}")
        return replace(self, recordings=kept)


def missing_file(path: Path, origin: str) -> InputError:
    """The error for data that is not there: the file, where it comes from and where it belongs."""
    cure = f"get it from {origin}, put it into {path.parent}/ and run: python -m training.data.convert {path.parent}"
    return InputError(f"{path}: no such file", cure)


def unconverted_file(path: Path) -> InputError:
    """The error for a published file that has not been converted."""
    return InputError(f"{path}: a pickle, which only the converter reads", f"run: python -m training.data.convert {path.parent}")


def split_place(camera: np.ndarray, root: int) -> np.ndarray:
    """Camera-space joints (T, J, 3) -> relative to the root joint, which keeps its absolute place (the "trajectory")."""
    relative = camera - camera[:, root : root + 1]
    relative[:, root] = camera[:, root]
    return relative


def screen(xy_px: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels (T, J, >= 2) -> normalised screen coordinates (T, J, 2) float32; a confidence channel is dropped."""
    return normalise_screen(xy_px[..., :2], *size).astype(np.float32)


def check_finite(recording: Recording) -> Recording:
    """The recording itself.

    Raises:
        InputError: no frame, or a number that is not finite.
    """
    if len(recording) == 0:
        raise InputError(f"{recording.name}: has no frames")
    for what, values in (("2D keypoints", recording.xy), ("3D poses", recording.pose)):
        bad = ~np.isfinite(values).all((1, 2))
        if bad.any():
            raise InputError(f"{recording.name}: {what} are not finite in {int(bad.sum())} frames, the first is {int(bad.argmax())}")
    return recording


def thin_out(recording: Recording, every: int = 1, share: float = 1.0) -> Recording:
    """Every n-th frame of a share of the recording; a share below 1 starts where the SHA-256 of its length says, as published."""
    keep = slice(None, None, every)
    if share < 1.0:
        frames = int(round(len(recording) // every * share) * every)
        start = min(deterministic_start(len(recording) - frames + 1, str(len(recording))), len(recording) - frames)
        keep = slice(start, start + frames, every)
    optional = {name: value[keep] for name in ("valid", "activity") if (value := getattr(recording, name)) is not None}
    return replace(recording, xy=recording.xy[keep], pose=recording.pose[keep], **optional)


def deterministic_start(choices: int, text: str) -> int:
    """A number in [0, choices] from the first four bytes of the SHA-256 of a text, the same on every machine."""
    return int(int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") / (2**32 - 1) * choices)
