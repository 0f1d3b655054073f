"""The published files of diverse motion prediction (GSPS, DHMP): what the converter makes of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.errors import InputError

from .unpickle import object_arrays, pickled_object

Arrays = Iterator[tuple[str, np.ndarray]]


def reader(path: Path) -> Callable[[Path], Arrays] | None:
    """The function that reads a file of this name; None for other files."""
    return next((read for pattern, read in _READERS.items() if fnmatch(path.name, pattern)), None)


def _mapping(value: Any, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{what}: got {type(value).__name__}, wanted a dictionary")
    return value


def _humaneva(path: Path) -> Arrays:
    """``subject/action`` -> (frames, 15, 3) metres."""
    for subject, actions in _mapping(object_arrays(path, ("positions_3d",))["positions_3d"], str(path)).items():
        for action, positions in _mapping(actions, f"{path}: {subject}").items():
            joints = np.asarray(positions)
            if joints.ndim != 3 or joints.shape[1:] != (15, 3) or joints.dtype.kind != "f":
                raise InputError(f"{path}: {subject}, {action}: got {joints.dtype} {joints.shape}, wanted numbers (frames, 15, 3)")
            yield f"{subject}/{action}", joints


def _candidates(path: Path) -> Arrays:
    """``data_candidate`` -> (n, T, V, 3) unit bone directions. NumPy knows the entry with and without its ending."""
    try:
        array = object_arrays(path, ("data_candidate",))["data_candidate"]
    except InputError:
        array = object_arrays(path, ("data_candidate.npy",))["data_candidate.npy"]
    if not isinstance(array, np.ndarray) or array.ndim != 4 or array.dtype.kind != "f":
        raise InputError(f"{path}: data_candidate is no array of numbers (n, T, V, 3)")
    yield "data_candidate", array.astype(np.float32, copy=False)


def _similar(path: Path) -> Arrays:
    """``subject/action/index`` and ``.../offsets``: the candidate rows of each start frame, one after the other."""
    for subject, actions in _mapping(object_arrays(path, ("data_multimodal",))["data_multimodal"], str(path)).items():
        for action, starts in _mapping(actions, f"{path}: {subject}").items():
            rows = [np.asarray(row, np.int64).reshape(-1) for row in starts]
            yield f"{subject}/{action}/index", np.concatenate([*rows, np.zeros(0, np.int64)])
            yield f"{subject}/{action}/offsets", np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64)


def _limits(path: Path) -> Arrays:
    """Name of a cosine -> (2,) low, high."""
    for name, pair in _mapping(pickled_object(path), str(path)).items():
        limits = np.asarray(pair, np.float64).reshape(-1)
        if limits.shape != (2,) or not np.isfinite(limits).all():
            raise InputError(f"{path}: {name}: wanted two numbers, low and high")
        yield str(name), limits


_READERS: dict[str, Callable[[Path], Arrays]] = {
    "data_3d_humaneva*.npz": _humaneva,
    "data_candi_t_his*.npz": _candidates,
    "t_his*_t_pred*.npz": _similar,
    "*_valid_angle.p": _limits,
}
PATTERNS = tuple(_READERS)
