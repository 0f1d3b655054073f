"""Training chunks of recordings in the published order: every clip tiled by windows, its mirror image after it, shuffled each epoch.

All chunks and their mirror images are laid out once, so that a batch is a few straight copies. For the training subjects of
Human3.6M that is 1.1 GB.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pose_rt.core.skeleton import mirror_points
from pose_rt.core.windows import chunk_starts, chunk_table, epoch_orders, take_windows
from pose_rt.errors import InputError

from .recordings import DataSet


class Chunks:
    """The chunks of a data set: row i belongs to row i of `chunk_table`.

    Args:
        data: the recordings.
        frames: F, the length of a chunk; edges are replicated.
        mirror: add the mirror image of every chunk.

    Attributes:
        xy: (N, F, 17, 2) float32, normalised screen coordinates.
        pose: (N, F, 17, 3) float32 metres, the root at zero.
    """

    def __init__(self, data: DataSet, frames: int, mirror: bool = True) -> None:
        if not data.recordings:
            raise InputError(f"{data.name}: no recordings to train on", "choose other --subjects-train or --actions")
        self.table = chunk_table([len(r) for r in data.recordings], frames, mirror)
        self.xy = torch.empty((len(self.table), frames, data.skeleton_in.num_joints, 2))
        self.pose = torch.empty((len(self.table), frames, data.skeleton_out.num_joints, 3))
        place = 0
        for recording in data.recordings:
            starts = chunk_starts(len(recording), frames)
            relative = recording.pose.copy()
            relative[:, data.root] = 0.0
            for values, store, skeleton in ((recording.xy, self.xy, data.skeleton_in), (relative, self.pose, data.skeleton_out)):
                store[place : place + len(starts)] = torch.from_numpy(take_windows(values, starts, frames))
                if mirror:
                    flipped = mirror_points(take_windows(values, starts, frames), skeleton)
                    store[place + len(starts) : place + 2 * len(starts)] = torch.from_numpy(flipped)
            place += len(starts) * (2 if mirror else 1)

    def __len__(self) -> int:
        return len(self.table)


class ChunkStream:
    """Batch number i of a run, the same whenever it is asked for: epochs are permutations of one seeded stream, as published.

    Args:
        chunks: what is drawn from.
        batch: chunks a batch; the last batch of an epoch may be smaller.
        unit_m: poses are divided by it.
        seed: of the stream of permutations.
    """

    def __init__(self, chunks: Chunks, batch: int, unit_m: float = 1.0, seed: int = 1234) -> None:
        self.chunks, self.batch, self.unit_m, self._seed = chunks, batch, unit_m, seed
        self._orders: Iterator[np.ndarray] = epoch_orders(len(chunks), seed)
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.chunks) // self.batch)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """xy (B, F, 17, 2) and the clean target (B, F, 17, 3) in network units."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch < self._epoch:
            self._orders, self._epoch = epoch_orders(len(self.chunks), self._seed), -1
        while self._epoch < epoch:
            self._order = torch.from_numpy(next(self._orders))
            self._epoch += 1
        rows = self._order[place * self.batch : (place + 1) * self.batch]
        pose = self.chunks.pose.index_select(0, rows)
        return self.chunks.xy.index_select(0, rows), pose if self.unit_m == 1.0 else pose / self.unit_m
