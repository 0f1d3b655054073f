"""The data sets of 2D motion that MAS models: joints, frame rate, camera, what is masked, how paths are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from .skeleton import COCO17, H36M17, Skeleton


def _skeleton(name: str, joints: str, chains: tuple[str, ...]) -> Skeleton:
    """A skeleton from names and chains of them; left and right partners are found by their names."""
    names = tuple(joints.split())
    index = {joint: i for i, joint in enumerate(names)}
    edges: list[tuple[int, int]] = []
    for chain in chains:
        steps = [index[joint] for joint in chain.split()]
        edges += [pair for pair in pairwise(steps) if pair not in edges]
    left = tuple(i for i, joint in enumerate(names) if joint.startswith("left_"))
    right = tuple(index["right_" + names[i].removeprefix("left_")] for i in left)
    return Skeleton(name, names, tuple(edges), left, right)


NBA16 = _skeleton(
    "nba",
    "hip right_hip right_knee right_ankle left_hip left_knee left_ankle neck nose head left_shoulder left_elbow left_wrist"
    " right_shoulder right_elbow right_wrist",
    (
        "hip neck nose head", "neck left_shoulder left_elbow left_wrist", "neck right_shoulder right_elbow right_wrist",
        "hip left_hip left_knee left_ankle", "hip right_hip right_knee right_ankle",
    ),
)  # fmt: skip
HORSE17 = _skeleton(
    "horse",
    "left_eye right_eye nose neck tail left_shoulder left_elbow left_front_hoof right_shoulder right_elbow right_front_hoof"
    " left_hip left_knee left_back_hoof right_hip right_knee right_back_hoof",
    (
        "neck left_eye nose right_eye neck", "neck left_shoulder left_elbow left_front_hoof", "neck tail",
        "neck right_shoulder right_elbow right_front_hoof", "tail left_hip left_knee left_back_hoof",
        "tail right_hip right_knee right_back_hoof",
    ),
)  # fmt: skip
GYMNASTICS18 = _skeleton(
    "gymnastics",
    " ".join(COCO17.joints) + " ball",
    (
        "left_shoulder left_ear left_eye nose right_eye right_ear right_shoulder", "left_shoulder left_elbow left_wrist",
        "right_shoulder right_elbow right_wrist", "left_shoulder right_shoulder right_hip left_hip left_shoulder",
        "left_hip left_knee left_ankle", "right_hip right_knee right_ankle",
    ),
)  # fmt: skip
HUMANML22 = _skeleton(
    "humanml",
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot neck"
    " left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist",
    (
        "pelvis left_hip left_knee left_ankle left_foot", "pelvis right_hip right_knee right_ankle right_foot",
        "pelvis spine1 spine2 spine3 neck head", "spine3 left_collar left_shoulder left_elbow left_wrist",
        "spine3 right_collar right_shoulder right_elbow right_wrist",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class MotionSet:
    """One data set. Coordinates are x right, y up, in units of which the published sets say nothing and ours are metres.

    Attributes:
        fps: frames a second of the clips after every `stride`-th was kept.
        distance: of the camera; `scale` divides what it sees.
        vertical: least and largest angle of the camera above the horizon, radians.
        confidence: joints seen with less are masked; None has no mask.
        augmentations: by default: length_aug, scale_aug, shift_aug.
        accepted: frames (least, fewer than) that length_aug accepts; None accepts more than half of the clip.
        shortest: clips with fewer frames are left out.
        path: joints whose mean is the place of the body.
        relative: row 0 is the root's place, the other rows are joints relative to it.
        ball: index of a joint that counts only near the body.
        longest: frames that the bundled recipes train with.
    """

    name: str
    skeleton: Skeleton
    fps: float
    distance: float
    scale: float
    vertical: tuple[float, float] = (float(np.pi / 16), float(np.pi / 16))
    confidence: float | None = None
    augmentations: tuple[str, ...] = ()
    accepted: tuple[int, int] | None = None
    shortest: int = 1
    stride: int = 1
    path: tuple[int, ...] = (0,)
    relative: bool = False
    ball: int | None = None
    longest: int = 300
    texts: bool = field(default=False)

    @property
    def joints(self) -> int:
        return self.skeleton.num_joints

    def joints_of(self, motion: np.ndarray) -> np.ndarray:
        """Joints in one frame of reference from the rows of a motion (..., J, D): adds the root where rows are relative to it."""
        if not self.relative:
            return motion
        return np.concatenate([motion[..., :1, :], motion[..., 1:, :] + motion[..., :1, :]], -2)

    def rows_of(self, joints: np.ndarray) -> np.ndarray:
        """The opposite of `joints_of`."""
        if not self.relative:
            return joints
        return np.concatenate([joints[..., :1, :], joints[..., 1:, :] - joints[..., :1, :]], -2)


MOTION_SETS = {
    s.name: s
    for s in (
        MotionSet("nba", NBA16, 30.0, 7.0, 0.75, confidence=0.3, stride=2),
        MotionSet(
            "horse", HORSE17, 30.0, 7.0, 0.5, confidence=0.5, augmentations=("length_aug",), accepted=(90, 600), shortest=90,
            path=tuple(range(17)),
        ),
        MotionSet(
            "gymnastics", GYMNASTICS18, 20.0, 7.0, 0.66, confidence=0.01, augmentations=("length_aug",), accepted=(81, 240),
            path=tuple(range(17)), ball=17,
        ),
        MotionSet(
            "humanml", HUMANML22, 30.0, 3.0, 0.5, vertical=(float(-np.pi / 16), float(np.pi / 8)), augmentations=("length_aug",),
            shortest=11, texts=True,
        ),
        MotionSet("cmu17", H36M17, 10.0, 7.0, 1.0, relative=True, longest=60, shortest=16),
        MotionSet("tracks", H36M17, 10.0, 7.0, 1.0, confidence=0.3, relative=True, longest=60, shortest=16),
    )
}  # fmt: skip
