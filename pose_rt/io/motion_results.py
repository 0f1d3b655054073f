"""Generated motions in files: `results.npy` as published, the same as arrays without pickles, and reading either's safe form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..core.motion_sets import MOTION_SETS, MotionSet
from ..errors import InputError, UsageError
from .output import whole_file
from .sources.base import check_media_path

_MAKE = "make some with: pose-rt generate motion3d"


@dataclass(frozen=True)
class GeneratedMotions:
    """Motions as they were sampled, padded to one length.

    Attributes:
        values: (B, T, J, 3) joints, x right, y up, z away from the viewer; or (B, J, 2, T) for 2D.
        lengths: (B,) frames that count.
        spec: the data set of the model.
        about: how they were made.
    """

    values: np.ndarray
    lengths: np.ndarray
    spec: MotionSet
    about: dict[str, Any]

    def motion(self, index: int) -> np.ndarray:
        """One motion, cut to its length: (T, J, 3), or (T, J, 2) for 2D."""
        length = int(self.lengths[index])
        one = self.values[index]
        return one[:length] if self.values.shape[-1] == 3 else one[..., :length].transpose(2, 0, 1)


def write_npy(path: Path, motions: GeneratedMotions) -> Path:
    """The published file: a pickled dictionary {motions, model_kwargs: {y: {lengths, uncond}}}."""
    content = {"motions": motions.values, "model_kwargs": {"y": {"lengths": motions.lengths, "uncond": True}}}
    box = np.empty((), object)
    box[()] = content
    return _write(path, lambda file: np.save(file, box))


def write_npz(path: Path, motions: GeneratedMotions) -> Path:
    """The same as plain arrays: `motions`, `lengths`, `fps`, and `about` as JSON."""
    skeleton = motions.spec.skeleton
    about = {"dataset": motions.spec.name, "skeleton": skeleton.name, "joints": list(skeleton.joints), **motions.about}
    arrays: dict[str, Any] = {"motions": motions.values, "lengths": motions.lengths, "fps": np.float64(motions.spec.fps)}
    return write_plain(path, {**arrays, "about": json.dumps(about)})


def write_plain(path: Path, arrays: dict[str, Any]) -> Path:
    """Arrays as .npz; whole or not at all."""
    return _write(path, lambda file: np.savez_compressed(file, **arrays))


def _write(path: Path, save: Callable[[BinaryIO], None]) -> Path:
    with whole_file(path) as temporary, temporary.open("wb") as file:
        save(file)
    return path


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a file with `motions` in it, and its `about`, empty where there is none.

    Raises:
        UsageError: no such file, or the published pickle.
        InputError: not such a file.
    """
    path = check_media_path(path, "generated motion")
    if path.suffix.lower() == ".npy":
        raise UsageError(f"'{path}' is a pickle, which is not read", f"give the file beside it: {path.with_suffix('.npz')}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays.pop("about"))) if "about" in arrays else {}
    except Exception as error:  # zip, header, pickle and JSON errors come in many kinds
        raise InputError(f"'{path}' does not hold generated motions ({error})", _MAKE) from error
    if "motions" not in arrays:
        raise InputError(f"'{path}' does not hold generated motions (its arrays: {', '.join(arrays) or 'none'})", _MAKE)
    return arrays, about


def read_generated(path: str | Path) -> GeneratedMotions:
    """Read what `write_npz` wrote.

    Raises:
        UsageError, InputError: see `read_arrays`; InputError also for a file that does not name its data set.
    """
    arrays, about = read_arrays(path)
    name = about.pop("dataset", None)
    if name not in MOTION_SETS or "lengths" not in arrays:
        raise InputError(f"'{path}' does not say what its motions are (data set {name!r})", _MAKE)
    return GeneratedMotions(arrays["motions"], arrays["lengths"].astype(np.int64), MOTION_SETS[name], about)
