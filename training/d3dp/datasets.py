"""What a run is trained and looked at on, for each data set: batches by number, and a quick measure of a network."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from pose_rt.core.skeleton import SKELETONS
from pose_rt.models.d3dp import MixSTE
from training.data import h36m, mpi3dhp
from training.data.chunks import Chunks, ChunkStream
from training.data.motion import load_clips
from training.data.recordings import DataSet
from training.data.store import sha256_file

from .config import TrainConfig
from .protocol import Lifted, Protocol, combine, lift_recording, seeded
from .quick import quick_evaluation, quick_set
from .sampling import Lifter, rows_for
from .trainer import BatchStream

Batches = Callable[[int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Material:
    """The data of a run: the settings as the data complete them, batches by step, sha256 of files, and a measure in millimetres."""

    config: TrainConfig
    batches: Batches
    digests: dict[str, str]
    columns: tuple[str, ...]
    measure: Callable[[MixSTE, int], tuple[float, ...]]


def lifter_of(network: MixSTE | None, config: TrainConfig, device: str = "cpu") -> Lifter:
    """The sampler of a network with the constants of its run."""
    skeletons = (SKELETONS[config.skeleton_in], SKELETONS[config.skeleton_out])
    root = mpi3dhp.ROOT if config.skeleton_out == "mpi17" else 0
    network = MixSTE(config.model()) if network is None else network
    rows = rows_for(config.frames, config.width, device)
    return Lifter(network, config.unit_m, config.timesteps, config.scale, rows, *skeletons, root, device)


def load_data(args: argparse.Namespace, config: TrainConfig, split: str) -> DataSet:
    """The recordings of "train" or "test" that the command line names."""
    if config.dataset == "h36m":
        subjects = tuple(s.strip() for s in (args.subjects_train if split == "train" else args.subjects_test).split(","))
        share = args.subset if split == "train" else 1.0
        data = h36m.load(args.data, subjects, config.keypoints, downsample=args.downsample, subset=share)
    elif split == "train":
        data = mpi3dhp.load_train(args.data, downsample=args.downsample, subset=args.subset)
    else:
        data = mpi3dhp.load_test(args.data, downsample=args.downsample)
    return data.select(args.actions)


def prepare(args: argparse.Namespace, config: TrainConfig) -> Material:
    """Load what the settings name."""
    return _cmu17(args.data, config) if config.dataset == "cmu17" else _recorded(args, config)


def _cmu17(folder: Path, config: TrainConfig) -> Material:
    windows = quick_set(load_clips(folder, "test"), config)
    digests = {f"{split}.npz": sha256_file(folder / f"{split}.npz") for split in ("train", "test")}

    def measure(network: MixSTE, step: int) -> tuple[float, ...]:
        return quick_evaluation(network.cpu(), config, windows)

    columns = ("mpjpe_mm", "pa_mpjpe_mm", "pa_newest_mm")
    return Material(config, BatchStream(load_clips(folder, "train"), config), digests, columns, measure)


def _recorded(args: argparse.Namespace, config: TrainConfig) -> Material:
    train = load_data(args, config, "train")
    config = replace(config, skeleton_in=train.skeleton_in.name, skeleton_out=train.skeleton_out.name, rate_hz=train.rate_hz)
    stream = ChunkStream(Chunks(train, config.frames, config.mirror), config.batch, config.unit_m)
    steps = config.steps if config.epochs is None else config.epochs * stream.steps_per_epoch
    config = replace(config, steps_per_epoch=stream.steps_per_epoch, steps=steps)
    test = None if args.no_eval else load_data(args, config, "test")
    digests = {**train.digests, **(test.digests if test is not None else {})}

    def measure(network: MixSTE, step: int) -> tuple[float, ...]:
        if test is None:
            return (math.nan,)
        lifter = lifter_of(network, config, str(next(network.parameters()).device))
        return (1000.0 * quick_error(lifter, config, test, seeded(config.seed * 1_000_003 + step)),)

    return Material(config, stream, digests, ("p_best_mm",), measure)


def quick_error(lifter: Lifter, config: TrainConfig, test: DataSet, draw: Callable[[tuple[int, ...]], np.ndarray]) -> float:
    """P-Best (metres) of one hypothesis after one iteration with flip over all frames: what the published training chooses by.

    All windows of a recording are one batch on Human3.6M, four on MPI-INF-3DHP, whose frames must be valid to count.
    """
    protocol = Protocol(1, 1, 1 << 30 if config.dataset == "h36m" else 4)
    results: list[Lifted] = []
    for recording in test.recordings:
        lifted = lift_recording(lifter, recording, config.frames, protocol, draw)
        if recording.valid is not None:
            lifted = _valid_only(lifted, recording.pose, recording.valid, lifter.root)
        results.append(lifted)
    return float(combine([r for r in results if r.frames])["p1"]["P_Best"][-1])


def _valid_only(lifted: Lifted, pose: np.ndarray, valid: np.ndarray, root: int) -> Lifted:
    truth = pose.copy()
    truth[:, root] = 0.0
    frames = int(valid.sum())
    error = np.linalg.norm(lifted.poses["P_Best"][:, valid] - truth[valid], axis=-1).mean((1, 2)) if frames else np.zeros(1)
    return replace(lifted, frames=frames, errors={"p1": {"P_Best": error}})
