"""Human3.6M and HumanEva-I in the files that the literature of diverse motion prediction shares: two data classes of one code.

Files, after ``python -m training.data.convert FOLDER``: `data_3d_h36m.npz` or `data_3d_humaneva15.npz` (VideoPose3D), the multimodal
files and the joint limits (GSPS). Poses are metres, relative to the root, world axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose_rt.core.skeleton import H36M17, H36M32_TO_H36M17, Skeleton
from pose_rt.errors import InputError
from training.data.recordings import missing_file, unconverted_file
from training.data.store import Store, open_store

Motions = dict[str, dict[str, np.ndarray]]
"""Subject -> action -> (frames, J, 3)."""

_VIDEOPOSE3D = "VideoPose3D (github.com/facebookresearch/VideoPose3D, DATASETS.md), made from {}, licence needed"
_GSPS = "GSPS (github.com/wei-mao-2019/gsps, its download of data and multimodal files)"


@dataclass(frozen=True)
class PublishedSet:
    """What distinguishes one published data set from the other.

    Attributes:
        subset: joints of the file that are used, the root first.
        skeleton: of those joints.
        train, test: subjects.
        dropped: (subject, action) pairs that the protocol leaves out; they must be there.
        short_dropped: sequences shorter than a window are left out (else they are an error).
        keep_real: a drawn window that has pseudo futures stays as it is with this probability (stage 1).
        classes: actions of the classifier, in the order of its logits.
        keep_unmatched: accuracy counts windows without similar ones too (published protocol).
    """

    name: str
    motion_file: str
    limits_file: str
    origin: str
    joints_in_file: int
    subset: tuple[int, ...]
    skeleton: Skeleton
    history: int
    future: int
    rate_hz: int
    train: tuple[str, ...]
    test: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...]
    short_dropped: bool
    keep_real: float
    classes: tuple[str, ...]
    keep_unmatched: bool

    @property
    def parents(self) -> tuple[int, ...]:
        """Of the joints that are used; the root, joint 0, has -1."""
        return self.skeleton.parents or ()

    @property
    def frames(self) -> int:
        return self.history + self.future

    def label(self, action: str) -> int:
        """The class of an action such as "Walking 1 chunk0".

        Raises:
            InputError: an action that is no class.
        """
        name = action.split(" ")[0]
        if name not in self.classes:
            raise InputError(f"{self.name}: unknown action {name!r}", f"wanted one of {', '.join(self.classes)}")
        return self.classes.index(name)

    def motions(self, folder: Path, subjects: Sequence[str]) -> Motions:
        """The sequences of some subjects in the order of the file: root-relative joints, the root itself keeps its path.

        Raises:
            InputError: the file is missing, not converted, or not this data set.
        """
        store = open_published(folder, self.motion_file, self.origin)
        motions: Motions = {subject: {} for subject in subjects}
        for name in store.names:
            # Subjects of HumanEva have a slash in their names, actions have none.
            subject, _, action = name.rpartition("/")
            if subject in motions:
                motions[subject][action] = self.prepare(store[name], name)
        return self.select(motions)

    def select(self, motions: Motions) -> Motions:
        """The sequences that the protocol uses; subjects without any are left out."""
        for subject, action in self.dropped:
            if subject in motions and motions[subject].pop(action, None) is None:
                raise InputError(f"{self.motion_file}: has no {subject}, {action}, which the protocol leaves out: another version of it")
        kept: Motions = {}
        for subject, actions in motions.items():
            long = {action: joints for action, joints in actions.items() if len(joints) >= self.frames or not self.short_dropped}
            short = [action for action, joints in long.items() if len(joints) < self.frames]
            if short:
                raise InputError(
                    f"{self.motion_file}: {subject}, {short[0]} has {len(long[short[0]])} frames, wanted {self.frames} or more"
                )
            if long:
                kept[subject] = long
        if not kept:
            raise InputError(f"{self.motion_file}: no sequence of {', '.join(motions)} with at least {self.frames} frames")
        return kept

    def prepare(self, positions: np.ndarray, what: str) -> np.ndarray:
        """(frames, joints in the file, 3) -> (frames, J, 3) float32 relative to the root, whose own entry stays.

        Raises:
            InputError: another number of joints, or a number that is not finite.
        """
        if positions.ndim != 3 or positions.shape[1:] != (self.joints_in_file, 3):
            raise InputError(f"{what}: got {positions.shape}, wanted (frames, {self.joints_in_file}, 3)")
        if not np.isfinite(positions).all():
            raise InputError(f"{what}: holds numbers that are not finite", "get the file again from its publisher")
        joints = np.array(positions[:, list(self.subset)], np.float32)
        joints[:, 1:] -= joints[:, :1]
        return joints

    def limits(self, folder: Path) -> dict[str, tuple[float, float]]:
        """Joint limits: name of a cosine -> low, high."""
        store = open_published(folder, self.limits_file, _GSPS)
        return {name: (float(store[name][0]), float(store[name][1])) for name in store.names}

    def pseudo_clips(self, folder: Path) -> tuple[np.ndarray, Store]:
        """Unit bone directions (n, T, V, 3) of the candidate clips, and the index of those similar to each training window."""
        about = f"t_his{self.history}", f"t_pred{self.future}"
        candidates = open_published(folder, f"data_candi_{about[0]}_{about[1]}_*.npz", _GSPS)
        similar = open_published(folder, f"{about[0]}_*{about[1]}*.npz", _GSPS)
        return candidates["data_candidate"], similar


def open_published(folder: Path, pattern: str, origin: str) -> Store:
    """The converted form of the one published file in `folder`, or in its folder `data_multi_modal`, that fits a name.

    Raises:
        InputError: no such file, several, or one that has not been converted.
    """
    places = (folder, folder / "data_multi_modal")
    stem = pattern.removesuffix(".npz").removesuffix(".p")
    made = [path for place in places for path in sorted(place.glob(f"{stem}.arrays"))]
    if len(made) > 1:
        raise InputError(f"{folder}: several files fit {pattern} ({', '.join(p.name for p in made)})", "keep one of them")
    if made:
        return open_store(made[0])
    raw = [path for place in places for path in sorted(place.glob(pattern))]
    raise unconverted_file(raw[0]) if raw else missing_file(folder / pattern, origin)


_HUMANEVA_PARENTS = (-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1)
HUMANEVA15 = Skeleton(
    name="humaneva15",
    joints=(
        "pelvis", "thorax", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist", "left_hip",
        "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle", "head",
    ),
    edges=tuple((p, j) for j, p in enumerate(_HUMANEVA_PARENTS) if p >= 0),
    left=(2, 3, 4, 8, 9, 10),
    right=(5, 6, 7, 11, 12, 13),
    parents=_HUMANEVA_PARENTS,
)  # fmt: skip

H36M = PublishedSet(
    name="h36m", motion_file="data_3d_h36m.npz", limits_file="h36m_valid_angle.p",
    origin=_VIDEOPOSE3D.format("Human3.6M (vision.imar.ro/human3.6m)"),
    joints_in_file=32, subset=H36M32_TO_H36M17, skeleton=H36M17, history=25, future=100, rate_hz=50,
    train=("S1", "S5", "S6", "S7", "S8"), test=("S9", "S11"), dropped=(), short_dropped=False, keep_real=0.8,
    classes=(
        "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting", "SittingDown", "Smoking",
        "Photo", "Waiting", "Walking", "WalkDog", "WalkTogether",
    ),
    keep_unmatched=True,
)  # fmt: skip

HUMANEVA = PublishedSet(
    name="humaneva", motion_file="data_3d_humaneva15.npz", limits_file="humaneva_valid_angle.p",
    origin=_VIDEOPOSE3D.format("HumanEva-I (humaneva.is.tue.mpg.de)"),
    joints_in_file=15, subset=tuple(range(15)), skeleton=HUMANEVA15, history=15, future=60, rate_hz=60,
    train=("Train/S1", "Train/S2", "Train/S3"), test=("Validate/S1", "Validate/S2", "Validate/S3"),
    dropped=(("Train/S3", "Walking 1 chunk0"), ("Train/S3", "Walking 1 chunk2"), ("Validate/S3", "Walking 1 chunk4")),
    short_dropped=True, keep_real=0.3333, classes=("Box", "Gestures", "Jog", "ThrowCatch", "Walking"), keep_unmatched=False,
)  # fmt: skip

PUBLISHED_SETS = {s.name: s for s in (H36M, HUMANEVA)}
