"""Windows to evaluate on, of any data set, and which of them have similar pasts: the multimodal ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose_rt.core.skeleton import H36M17
from pose_rt.errors import InputError
from training.data.bodies import apply, facing, rot_z
from training.data.motion import load_clips

from .data import camera_rotation, lifter_noise, root_relative
from .published import PUBLISHED_SETS, PublishedSet
from .retarget import bone_lengths, retarget

THRESHOLD_M = 0.5
"""Pasts whose last poses are nearer than this (L2 norm over the whole pose vector) count as similar."""


@dataclass(frozen=True)
class EvalWindows:
    """N windows: `history` (N, T_his, J, 3), what comes next in `truth` (N, T_pred, J, 3), metres, the root at zero.

    Attributes:
        parents: of the J joints.
        action: (N,) names.
        level: (N, 3, 3) rotation of a window into a common frame, in which similar pasts look alike; None: it is in that frame.
        observed: what is given to the model; differs from `history` by noise.
        groups: (N,) name of the recording each window comes from.
    """

    name: str
    parents: tuple[int, ...]
    rate_hz: int
    history: np.ndarray
    truth: np.ndarray
    action: np.ndarray
    observed: np.ndarray
    level: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.history)

    def similar_futures(self, window: int, rows: np.ndarray) -> np.ndarray:
        """The futures of other windows on the bones of this one (those of its first future frame), in its frame: (S, T_pred, J, 3)."""
        futures = self.truth[rows]
        if self.level is not None:
            turn = self.level[window].T @ self.level[rows]
            futures = futures @ np.swapaxes(turn, -1, -2)[:, None]
        lengths = bone_lengths(self.truth[window, 0], self.parents)
        return retarget(futures, lengths, self.parents).astype(np.float32)


def neighbours(
    windows: EvalWindows, threshold_m: float = THRESHOLD_M, track: Callable[[Sequence[int]], Iterable[int]] = iter
) -> list[np.ndarray]:
    """For each window the others with ``0 < d < threshold_m``, d the L2 distance of the last observed poses; duplicates are left out.

    Args:
        track: wraps the loop, for a progress bar.
    """
    last = windows.history[:, -1, 1:]
    if windows.level is not None:
        last = last @ np.swapaxes(windows.level, -1, -2)
    flat = last.reshape(len(windows), -1)
    found = []
    for i in track(range(len(windows))):
        distance = np.linalg.norm(flat - flat[i], axis=-1)
        found.append(np.flatnonzero((distance > 0) & (distance < threshold_m)))
    return found


def published_windows(about: PublishedSet, folder: Path) -> EvalWindows:
    """All windows of the test subjects, one every `history` frames, in the order of the file."""
    return cut_windows(about, about.motions(folder, about.test))


def cut_windows(about: PublishedSet, motions: dict[str, dict[str, np.ndarray]]) -> EvalWindows:
    """As `published_windows`, from sequences in memory.

    Raises:
        InputError: no sequence is longer than a window.
    """
    pieces, actions = [], []
    for sequences in motions.values():
        for action, joints in sequences.items():
            for start in range(0, len(joints) - about.frames, about.history):
                pieces.append(joints[start : start + about.frames])
                actions.append(action.split(" ")[0])
    if not pieces:
        raise InputError(f"{about.name}: no test sequence is longer than a window of {about.frames} frames")
    joints = np.stack(pieces)
    joints[:, :, 0] = 0.0
    history = joints[:, : about.history]
    return EvalWindows(
        about.name, about.parents, about.rate_hz, history, joints[:, about.history :], np.array(actions), history
    )  # fmt: skip


def cmu17_windows(
    folder: Path, history: int, future: int, stride: int = 25, seed: int = 0, noise_m: float = 0.0, split: str = "test"
) -> EvalWindows:
    """Every window of a split of cmu17 that starts a multiple of `stride` into its clip, before cameras of random heading, 10 degrees down.

    Args:
        noise_m: standard deviation of the correlated (0.9) noise on what is observed; history and truth stay clean.

    Raises:
        InputError: no such file, or no clip is long enough.
    """
    clips = root_relative(load_clips(folder, split))
    frames = history + future
    places = [
        (s + i, a)
        for s, n, a in zip(clips.start, clips.length, clips.action, strict=True)
        for i in range(0, n - frames, stride)
    ]  # fmt: skip
    if not places:
        raise InputError(f"{folder / split}.npz: no clip is longer than a window of {frames} frames", "give smaller windows")
    world = np.stack([clips.joints[start : start + frames] for start, _ in places])
    rng = np.random.default_rng(seed)
    count = len(world)
    camera = camera_rotation(rng.uniform(0, 2 * np.pi, count), np.full(count, np.deg2rad(10.0)), np.zeros(count))
    joints = apply(camera[:, None], world).astype(np.float32)
    observed = joints[:, :history]
    if noise_m > 0:
        observed = lifter_noise(observed, np.full(count, noise_m), np.full(count, 0.9), rng).astype(np.float32)
    # Similar pasts are those of people who would face the same way.
    level = rot_z(-facing(world[:, history - 1])) @ np.swapaxes(camera, -1, -2)
    actions = np.array([str(action) for _, action in places])
    return EvalWindows(
        "cmu17", H36M17.parents or (), 50, joints[:, :history], joints[:, history:], actions, observed, level.astype(np.float32)
    )  # fmt: skip


def open_windows(dataset: str, folder: Path, history: int, future: int, stride: int, seed: int, noise_m: float) -> EvalWindows:
    """The test windows of a data set for a model of the given sizes.

    Raises:
        InputError: data is missing, or the model is made for another data set.
    """
    if dataset == "cmu17":
        return cmu17_windows(folder, history, future, stride, seed, noise_m)
    about = PUBLISHED_SETS[dataset]
    if (history, future) != (about.history, about.future):
        cure = "give a model that was trained on it"
        raise InputError(f"the model sees {history} + {future} frames, {dataset} has {about.history} + {about.future}", cure)
    return published_windows(about, folder)
