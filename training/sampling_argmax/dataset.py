"""Batches of crops, decoded and cut in worker processes. What is drawn for a person depends on (seed, epoch, person) alone."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .annotations import Annotations
from .transforms import CropTransform, Draws, Sample

_END_OF_JPEG = b"\xff\xd9"
_TAIL = 65536


class Batch(NamedTuple):
    """Crops and targets of a batch.

    Attributes:
        images: (B, 3, H, W) uint8 RGB.
        target, weight: (B, K dims).
        box: (B, 4) corners of the crops.
        row: (B,) int64, of the annotations.
        broken: files that could not be read, whose people are missing in the batch.
    """

    images: Tensor
    target: Tensor
    weight: Tensor
    box: Tensor
    row: Tensor
    broken: tuple[str, ...]


def read_picture(path: Path) -> np.ndarray | None:
    """(h, w, 3) uint8 BGR; None for a missing, broken or cut-off file."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if data[:2] == b"\xff\xd8" and data.rfind(_END_OF_JPEG, max(0, len(data) - _TAIL)) < 0:
        return None  # the decoder would fill the rest with grey
    if not data:
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(image)


class People(Dataset[tuple[int, Sample | str]]):
    """Samples by (epoch, row); a picture that cannot be read gives its path instead.

    Args:
        parts: annotations, and the transform of each; rows count through them.
        seed: of the augmentation.
    """

    def __init__(self, parts: Sequence[tuple[Annotations, CropTransform]], seed: int) -> None:
        self.parts, self.seed = list(parts), seed
        self._starts = np.cumsum([0, *(len(a) for a, _ in self.parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, place: tuple[int, int]) -> tuple[int, Sample | str]:
        epoch, row = place
        part = int(np.searchsorted(self._starts, row, side="right")) - 1
        (annotations, transform), i = self.parts[part], row - int(self._starts[part])
        picture = read_picture(annotations.files[i])
        if picture is None:
            return row, str(annotations.files[i])
        draws = Draws(int(np.random.SeedSequence((self.seed, epoch, row)).generate_state(1)[0]))
        return row, transform(picture, annotations.box[i], annotations.joints[i], annotations.visible[i], draws)

    def order(self, epoch: int) -> np.ndarray:
        """Rows of an epoch in random order: all of the first part, and as many random ones of each other part."""
        rng = np.random.default_rng((self.seed, epoch, 7))
        first = int(self._starts[1])
        rows = [np.arange(first)]
        for start, end in zip(self._starts[1:-1], self._starts[2:], strict=True):
            count = int(end - start)
            rows.append(start + (rng.permutation(count)[:first] if count >= first else rng.integers(0, count, first)))
        return rng.permutation(np.concatenate(rows))

    def steps(self, batch: int) -> int:
        """Batches an epoch: whole ones, at least one."""
        rows = int(self._starts[1]) * len(self.parts)
        return max(1, rows // batch)


def _collate(entries: list[tuple[int, Sample | str]]) -> Batch:
    good = [(row, value) for row, value in entries if not isinstance(value, str)]
    broken = tuple(value for _, value in entries if isinstance(value, str))
    if not good:
        empty = torch.empty(0)
        return Batch(empty, empty, empty, empty, torch.empty(0, dtype=torch.int64), broken)
    images, target, weight, box = (torch.from_numpy(np.stack(values)) for values in zip(*(value for _, value in good), strict=True))
    return Batch(images, target, weight, box, torch.tensor([row for row, _ in good]), broken)


def _prepare_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that trains, which ends the workers
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def batches(people: People, places: Sequence[Sequence[tuple[int, int]]], workers: int) -> Iterator[Batch]:
    """The batches of these (epoch, row) places in order, made ahead by `workers` processes (0 = in this one)."""
    loader = DataLoader(
        people, batch_sampler=[list(batch) for batch in places], num_workers=workers, collate_fn=_collate, worker_init_fn=_prepare_worker,
        prefetch_factor=4 if workers else None,
    )  # fmt: skip
    return iter(loader)


def training_places(people: People, epoch: int, batch: int, start: int, rank: int = 0, devices: int = 1) -> list[list[tuple[int, int]]]:
    """Places of the batches of an epoch from batch `start` on; each device takes every `devices`-th person of a batch."""
    order = people.order(epoch)
    return [
        [(epoch, int(row)) for row in order[i * batch : (i + 1) * batch][rank::devices]] for i in range(start, people.steps(batch))
    ]  # fmt: skip


def plain_places(count: int, batch: int) -> list[list[tuple[int, int]]]:
    """All rows in their order."""
    return [[(0, row) for row in range(i, min(i + batch, count))] for i in range(0, count, batch)]
