"""cmu17 as if only 2D existed: windows of its motion, each seen by one camera that stands anywhere around; no two views of one window.

Axes as in `pose_rt.diffusion.multiview`: x right, y up, z away. Row 0 is the pelvis's path, the other joints are relative to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pose_rt.core.motion_sets import MOTION_SETS, MotionSet
from training.data.motion import CLIP_RATE_HZ, Clips, load_clips

from .batches import Batch, Normaliser, pad

_SUPPORTED = ("playground_climb",)
"""Actions left out: what holds the climber up is not in the data, so a model of them floats."""


@dataclass(frozen=True)
class Projections:
    """Draws windows and looks at them.

    Attributes:
        clips: of one split.
        spec: the data set.
        shortest, longest: frames of a window.
        tilt: standard deviation of the camera's vertical angle around the data set's, radians.
    """

    clips: Clips
    spec: MotionSet
    shortest: int = 20
    longest: int = 60
    tilt: float = 0.04

    def windows(self, rng: np.random.Generator, count: int, lengths: np.ndarray | None = None) -> list[np.ndarray]:
        """Rows (T, 17, 3) of random windows in MAS's axes, in metres, turned anywhere, mirrored half the time."""
        step = CLIP_RATE_HZ / self.spec.fps
        usable = np.flatnonzero(self.clips.length >= self.spec.shortest * step)
        weight = self.clips.length[usable].astype(np.float64) ** 0.75
        chosen = usable[rng.choice(len(usable), count, p=weight / weight.sum())]
        out = []
        for row, clip in enumerate(chosen.tolist()):
            available = int((self.clips.length[clip] - 1) / step) + 1
            low, high = min(self.shortest, available), min(self.longest, available)
            frames = int(rng.integers(low, high + 1)) if lengths is None else min(int(lengths[row]), available)
            first = rng.uniform(0, self.clips.length[clip] - 1 - (frames - 1) * step)
            time = self.clips.start[clip] + first + np.arange(frames) * step
            floor = np.minimum(time.astype(np.int64), self.clips.start[clip] + self.clips.length[clip] - 2)
            share = (time - floor)[:, None, None].astype(np.float32)
            joints = self.clips.joints[floor] * (1 - share) + self.clips.joints[floor + 1] * share
            out.append(self._turned(rng, joints))
        return out

    def _turned(self, rng: np.random.Generator, joints: np.ndarray) -> np.ndarray:
        joints = joints[..., [0, 2, 1]] - joints[:, 0, [0, 2, 1]].mean(0)
        if rng.random() < 0.5:
            joints = joints[:, self.spec.skeleton.mirror] * np.array([-1, 1, 1], np.float32)
        c, s = np.cos(yaw := rng.uniform(-np.pi, np.pi)), np.sin(yaw)
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)
        return self.spec.rows_of(joints @ turn)

    def look(self, rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
        """One camera's picture of rows (T, 17, 3): (T, 17, 2). The motion is turned already, so the camera stands in front."""
        from pose_rt.diffusion.multiview import Views

        vertical = rng.uniform(*self.spec.vertical) + rng.normal(0.0, self.tilt)
        views = Views(np.zeros(1), np.array([vertical]), self.spec.distance, self.spec.scale)
        return views.perspective(rows[None])[0, 0].transpose(2, 0, 1)

    def clips2d(self, rng: np.random.Generator, count: int, lengths: np.ndarray | None = None) -> list[np.ndarray]:
        """Random 2D clips (T, 17, 2)."""
        return [self.look(rng, rows) for rows in self.windows(rng, count, lengths)]

    def batch(self, rng: np.random.Generator, count: int, normaliser: Normaliser) -> Batch:
        """A normalised batch of new clips."""
        return pad([normaliser(clip) for clip in self.clips2d(rng, count)])


def open_projections(folder: Path, split: str) -> Projections:
    """cmu17's train or test split.

    Raises:
        InputError: the data is not there.
    """
    clips = load_clips(folder, split)
    keep = ~np.isin(clips.action, _SUPPORTED)
    chosen = replace(clips, start=clips.start[keep], length=clips.length[keep], action=clips.action[keep], name=clips.name[keep])
    spec = MOTION_SETS["cmu17"]
    return Projections(chosen, spec, longest=spec.longest)
