"""Training windows of the published data sets, drawn in the order in which the published code draws them.

Pseudo futures: for every training window the published files list clips whose first frames resemble its end. Put on the subject's
bones and with the true history in front, they are further ground truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pose_rt.errors import InputError

from .published import Motions, PublishedSet
from .retarget import bone_lengths, join


class Pair(NamedTuple):
    """Windows (B, 3V, T) and up to S pseudo windows of each (B, S, 3V, T), zeros where there are fewer."""

    motions: np.ndarray
    similar: np.ndarray


def to_channels(joints: np.ndarray) -> np.ndarray:
    """(..., T, J, 3) -> (..., 3V, T) without the root, channels joint-major."""
    nodes = joints[..., 1:, :]
    return np.ascontiguousarray(np.swapaxes(nodes.reshape(*nodes.shape[:-2], 3 * nodes.shape[-2]), -1, -2))


def body_pool(directions: np.ndarray, motions: Motions, subject: str, about: PublishedSet) -> np.ndarray:
    """The candidate clips (n, T, V, 3) on the bones that `subject` has in the first frame of its first action: (n, T, J, 3)."""
    first = next(iter(motions[subject].values()))[0].copy()
    first[0] = 0.0
    return join(directions * bone_lengths(first, about.parents)[:, None], about.parents)


class PublishedWindows:
    """Draws windows; one `RandomState` decides everything, as NumPy's global one does in the published code.

    Args:
        about: the data set.
        motions: of the training subjects.
        directions: (n, T, V, 3) unit bone directions of the candidate clips, or None: no pseudo windows (stage 2).
        similar: subject -> action -> for each start frame the rows of `directions`.
    """

    def __init__(
        self,
        about: PublishedSet,
        motions: Motions,
        directions: np.ndarray | None = None,
        similar: dict[str, dict[str, list[np.ndarray]]] | None = None,
    ) -> None:
        self.about, self.motions, self.similar = about, motions, similar or {}
        self._directions = directions
        self._lengths = {
            subject: bone_lengths(_rooted(next(iter(actions.values()))[0]), about.parents) for subject, actions in motions.items()
        }
        if not any(len(joints) > about.frames for actions in motions.values() for joints in actions.values()):
            raise InputError(f"{about.name}: no training sequence is longer than a window of {about.frames} frames")

    def _place(self, random: np.random.RandomState) -> tuple[str, str, int]:
        """Subject, action and start of a window: the last legal start is never drawn, as published."""
        while True:
            subject = str(random.choice(list(self.motions)))
            action = str(random.choice(list(self.motions[subject])))
            spare = len(self.motions[subject][action]) - self.about.frames
            if spare > 0:
                return subject, action, int(random.randint(spare))

    def _window(self, subject: str, action: str, start: int) -> np.ndarray:
        return _rooted(self.motions[subject][action][start : start + self.about.frames])

    def _candidates(self, subject: str, action: str, start: int) -> np.ndarray:
        rows = self.similar.get(subject, {}).get(action)
        return rows[start] if rows is not None and start < len(rows) else np.zeros(0, np.int64)

    def _pseudo(self, subject: str, rows: np.ndarray, window: np.ndarray) -> np.ndarray:
        """The clips `rows` on the subject's bones, with the history of `window` in front: (n, T, J, 3)."""
        assert self._directions is not None
        clips = join(self._directions[rows] * self._lengths[subject][:, None], self.about.parents).astype(np.float32)
        clips[:, : self.about.history] = window[: self.about.history]
        return clips

    def stage1_batches(self, random: np.random.RandomState, samples: int, batch: int) -> Iterator[np.ndarray]:
        """Batches (B, 3V, T): real windows, some of them with a pseudo future."""
        for _ in range(samples // batch):
            windows = []
            for _ in range(batch):
                subject, action, start = self._place(random)
                window = self._window(subject, action, start)
                rows = self._candidates(subject, action, start)
                if len(rows) and self._directions is not None and random.uniform() >= self.about.keep_real:
                    window = self._pseudo(subject, rows[[random.randint(len(rows))]], window)[0]
                windows.append(window)
            yield to_channels(np.stack(windows))

    def stage2_batches(self, random: np.random.RandomState, samples: int, batch: int, similar: int = 10) -> Iterator[Pair]:
        """Batches of real windows with up to `similar` pseudo windows; drawing those leaves the stream of numbers as it was."""
        for _ in range(samples // batch):
            windows, others = [], []
            for _ in range(batch):
                subject, action, start = self._place(random)
                window = self._window(subject, action, start)
                rows = self._candidates(subject, action, start)
                padded = np.zeros((similar, *window.shape), np.float32)
                if len(rows) and self._directions is not None:
                    chosen = rows
                    if len(rows) > similar:
                        state = random.get_state()
                        chosen = random.choice(rows, similar, replace=False)
                        random.set_state(state)
                    padded[: len(chosen)] = self._pseudo(subject, chosen, window)
                windows.append(window)
                others.append(padded)
            yield Pair(to_channels(np.stack(windows)), to_channels(np.stack(others)))

    def stage2_motions(self, random: np.random.RandomState, samples: int, batch: int) -> Iterator[np.ndarray]:
        """The windows of `stage2_batches`; the losses of stage 2 look at nothing else."""
        return (pair.motions for pair in self.stage2_batches(random, samples, batch, 0))


def _rooted(joints: np.ndarray) -> np.ndarray:
    """A copy with the root at zero."""
    window = joints.copy()
    window[..., 0, :] = 0.0
    return window


def load_training(about: PublishedSet, folder: Path, history: int, future: int, pseudo: bool) -> PublishedWindows:
    """The training windows of a published data set.

    Args:
        history, future: of the model; they must be the data set's.
        pseudo: read the multimodal files too (stage 1 uses them).

    Raises:
        InputError: a file is missing or not converted, or window sizes do not match.
    """
    if (history, future) != (about.history, about.future):
        wanted = f"{about.history} + {about.future}"
        raise InputError(f"{about.name}: windows of {history} + {future} frames, its files are made for {wanted}", "leave those sizes out")
    motions = about.motions(folder, about.train)
    if not pseudo:
        return PublishedWindows(about, motions)
    directions, store = about.pseudo_clips(folder)
    if directions.ndim != 4 or directions.shape[1:] != (about.frames, len(about.parents) - 1, 3):
        raise InputError(f"{about.name}: candidate clips {directions.shape}, wanted (n, {about.frames}, {len(about.parents) - 1}, 3)")
    similar: dict[str, dict[str, list[np.ndarray]]] = {}
    for name in store.names:
        if name.endswith("/index"):
            subject, _, action = name.removesuffix("/index").rpartition("/")
            offsets = store[f"{name.removesuffix('/index')}/offsets"]
            similar.setdefault(subject, {})[action] = np.split(store[name], offsets[1:-1])
    return PublishedWindows(about, motions, directions, similar)
