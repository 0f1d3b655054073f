"""Turn published data files into a safe, memory-mapped form: ``python -m training.data.convert DIR``.

The published files are pickles inside .npz. They are read here only, once, by an unpickler that rebuilds arrays and refuses all
else; every loader reads the converted folders beside them. With ``DIR/TS1/annot_data.mat`` ... (the test set of MPI-INF-3DHP as its
authors publish it) the activity of every test frame is taken along.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from pose_rt.errors import InputError, PoseRtError, UsageError

from . import forecasting, single_poses
from .recordings import missing_file, unconverted_file
from .store import Store, open_store, sha256_file, write_store
from .unpickle import object_arrays

WARNING = (
    "these files are pickles: a pickle from a stranger can carry code. They are read by an unpickler that rebuilds NumPy arrays and "
    "refuses every other name; still, convert only files from a publisher you trust."
)
Arrays = Iterator[tuple[str, np.ndarray]]


def converted(path: Path) -> Path:
    """The folder that a published file is converted to."""
    return path.with_suffix(".arrays")


def open_converted(path: Path, origin: str) -> Store:
    """The arrays of a published file.

    Args:
        path: of the published file itself.
        origin: where it comes from, for the message.

    Raises:
        InputError: it is not there, or not converted yet.
    """
    if converted(path).is_dir():
        return open_store(converted(path))
    raise unconverted_file(path) if path.is_file() else missing_file(path, origin)


def convert(path: Path) -> Path:
    """Convert one published file; returns the folder.

    Raises:
        InputError: another content than the name promises.
    """
    about: dict[str, Any] = {"sources": [{"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}]}
    if path.name.startswith("data_3d_h36m"):
        arrays = _h36m_3d(object_arrays(path, ("positions_3d",))["positions_3d"], path)
    elif path.name.startswith("data_2d_h36m_"):
        found = object_arrays(path, ("positions_2d", "metadata"))
        about["metadata"] = _h36m_metadata(found["metadata"], path)
        arrays = _h36m_2d(found["positions_2d"], path)
    elif path.name == "data_train_3dhp_ori.npz":
        arrays = _3dhp_train(object_arrays(path, ("data",))["data"], path)
    elif path.name == "data_test_3dhp_ori.npz":
        arrays = _3dhp_test(object_arrays(path, ("data",))["data"], path)
    elif (read := forecasting.reader(path) or single_poses.reader(path)) is not None:
        arrays = read(path)
    else:
        raise UsageError(f"{path}: no published file of that name is known", f"wanted one of {', '.join(PATTERNS)}")
    folder = converted(path)
    write_store(folder, arrays, about)
    return folder


PATTERNS = (
    "data_3d_h36m.npz", "data_2d_h36m_*.npz", "data_train_3dhp_ori.npz", "data_test_3dhp_ori.npz", *forecasting.PATTERNS,
    *single_poses.PATTERNS,
)  # fmt: skip


def _array(value: Any, shape: tuple[int | None, ...], what: str) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.ndim != len(shape) or value.dtype.kind not in "fiub":
        got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(f"{what}: got {got}, wanted an array of numbers {shape}")
    if any(want is not None and have != want for have, want in zip(value.shape, shape, strict=True)):
        raise InputError(f"{what}: got {value.shape}, wanted {shape}")
    return value


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{what}: got {type(value).__name__}, wanted a dictionary")
    return value


def _h36m_3d(data: Any, path: Path) -> Arrays:
    for subject, actions in _mapping(data, str(path)).items():
        for action, positions in _mapping(actions, f"{path}: {subject}").items():
            yield f"{subject}/{action}", _array(positions, (None, 32, 3), f"{path}: {subject}, {action}")


def _h36m_2d(data: Any, path: Path) -> Arrays:
    for subject, actions in _mapping(data, str(path)).items():
        for action, cameras in _mapping(actions, f"{path}: {subject}").items():
            for camera, points in enumerate(cameras):
                yield f"{subject}/{action}/{camera}", _array(points, (None, 17, None), f"{path}: {subject}, {action}, camera {camera}")


def _h36m_metadata(data: Any, path: Path) -> dict[str, Any]:
    metadata = _mapping(data, f"{path}: metadata")
    try:
        left, right = ([int(j) for j in side] for side in metadata["keypoints_symmetry"])
        layout, joints = str(metadata["layout_name"]), int(metadata["num_joints"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its metadata lacks layout_name, num_joints or keypoints_symmetry ({error})") from error
    return {"layout_name": layout, "num_joints": joints, "keypoints_symmetry": [left, right]}


def _3dhp_train(data: Any, path: Path) -> Arrays:
    for sequence, parts in _mapping(data, str(path)).items():
        # Only the first element is used by the published loader; further ones would be other clips of the same name.
        for camera, clip in _mapping(parts[0], f"{path}: {sequence}").items():
            what = f"{path}: {sequence}, camera {camera}"
            name = f"{sequence}/{camera}"
            yield f"{name}/data_3d", _array(_mapping(clip, what)["data_3d"], (None, 17, 3), what)
            yield f"{name}/data_2d", _array(clip["data_2d"], (None, 17, None), what)


def _3dhp_test(data: Any, path: Path) -> Arrays:
    for sequence, clip in _mapping(data, str(path)).items():
        what = f"{path}: {sequence}"
        yield f"{sequence}/data_3d", _array(_mapping(clip, what)["data_3d"], (None, 17, 3), what)
        yield f"{sequence}/data_2d", _array(clip["data_2d"], (None, 17, None), what)
        yield f"{sequence}/valid", np.asarray(clip["valid"]).reshape(-1).astype(np.bool_)
        activity = path.parent / sequence / "annot_data.mat"
        if activity.is_file():
            labels = _activities(activity)
            if len(labels) != len(clip["data_3d"]):
                raise InputError(f"{activity}: has {len(labels)} frames, {path.name} has {len(clip['data_3d'])} for {sequence}")
            yield f"{sequence}/activity", labels


def _activities(path: Path) -> np.ndarray:
    """(n,) int64 activity 1..7 of each frame, from a MATLAB file of either kind."""
    import scipy.io

    try:
        values = scipy.io.loadmat(path, variable_names=["activity_annotation"])["activity_annotation"]
    except NotImplementedError:  # version 7.3 is HDF5
        try:
            import h5py
        except ImportError as error:
            raise InputError(f"{path}: a MATLAB 7.3 file, which needs the package h5py", "install it with: pip install h5py") from error
        with h5py.File(path) as file:
            values = np.asarray(file["activity_annotation"])
    return np.asarray(values).reshape(-1).astype(np.int64)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.data.convert", description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", help="published files, or a folder that holds some")
    parser.add_argument("--overwrite", action="store_true", help="convert again what has been converted")
    args = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        files = _collect(args.paths)
        console.print(f"[yellow]warning:[/] {WARNING}")
        with Progress(console=console, disable=not console.is_terminal) as progress:
            for path in progress.track(files, description="converting"):
                if converted(path).exists() and not args.overwrite:
                    console.print(f"{converted(path)} is there already (--overwrite makes it anew)", markup=False)
                    continue
                console.print(f"wrote {convert(path)}", markup=False)
    except PoseRtError as error:
        console.print(str(error), markup=False)
        return error.exit_code
    return 0


def _collect(paths: list[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        found = [f for pattern in PATTERNS for f in sorted(path.glob(pattern))] if path.is_dir() else [path]
        if not path.exists() or not found:
            raise UsageError(f"{path}: no published file there", f"wanted {', '.join(PATTERNS)}")
        files += found
    return files


if __name__ == "__main__":
    sys.exit(main())
