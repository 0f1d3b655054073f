"""MPI-INF-3DHP in the files that P-STMO and D3DP use ("annot3", true scale): training clips of eight subjects, six test sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pose_rt.core.camera import MPI_INF_3DHP_TEST_CAMERAS
from pose_rt.core.skeleton import MPI17
from pose_rt.errors import InputError

from .convert import open_converted
from .recordings import DataSet, Recording, check_finite, screen, split_place, thin_out
from .store import Store

ROOT = 14
TRAIN_SIZE = (2048, 2048)
RATE_HZ = 25.0
ORIGIN = "P-STMO (github.com/paTRICK-swk/P-STMO, data preparation), made from MPI-INF-3DHP (vcai.mpi-inf.mpg.de/3dhp-dataset)"
ACTIVITIES = ("Standing/Walking", "Exercise", "Sitting", "Reaching/Crouching", "On the floor", "Sports", "Miscellaneous")
"""The seven activities of the test set, by their labels 1 to 7."""


def load_train(folder: Path, *, downsample: int = 1, subset: float = 1.0) -> DataSet:
    """All training clips of ``data_train_3dhp_ori``."""
    store = open_converted(folder / "data_train_3dhp_ori.npz", ORIGIN)
    recordings = []
    for name in dict.fromkeys(entry.rsplit("/", 1)[0] for entry in store.names):
        sequence, camera = name.rsplit("/", 1)
        subject, _, action = sequence.partition(" ")
        recording = _recording(store, name, (subject, action, camera), TRAIN_SIZE, np.zeros(0, np.float32))
        recordings.append(thin_out(recording, downsample, subset))
    return _data_set(recordings, store, downsample)


def load_test(folder: Path, *, downsample: int = 1) -> DataSet:
    """The six test sequences of ``data_test_3dhp_ori`` with their cameras and valid frames."""
    store = open_converted(folder / "data_test_3dhp_ori.npz", ORIGIN)
    recordings = []
    for sequence in dict.fromkeys(name.split("/")[0] for name in store.names):
        if sequence not in MPI_INF_3DHP_TEST_CAMERAS:
            raise InputError(f"data_test_3dhp_ori: has a sequence {sequence}", f"wanted {', '.join(MPI_INF_3DHP_TEST_CAMERAS)}")
        size, intrinsics = MPI_INF_3DHP_TEST_CAMERAS[sequence]
        recordings.append(thin_out(_recording(store, sequence, (sequence, "", ""), size, intrinsics), downsample))
    return _data_set(recordings, store, downsample)


def _data_set(recordings: list[Recording], store: Store, downsample: int) -> DataSet:
    return DataSet("3dhp", recordings, MPI17, MPI17, ROOT, RATE_HZ / downsample, store.digests)


def _recording(store: Store, name: str, labels: tuple[str, str, str], size: tuple[int, int], intrinsics: np.ndarray) -> Recording:
    millimetres, xy = store[f"{name}/data_3d"], store[f"{name}/data_2d"]
    pose = split_place(millimetres.astype(np.float32), ROOT) / np.float32(1000)
    valid, activity = (store[f"{name}/{key}"] if f"{name}/{key}" in store.about["entries"] else None for key in ("valid", "activity"))
    return check_finite(Recording(*labels, screen(xy, size), pose, intrinsics, size, valid, activity))
