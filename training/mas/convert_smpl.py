"""The publisher's SMPL file -> plain arrays for `pose-rt mesh`: ``python -m training.mas.convert_smpl SMPL_NEUTRAL.pkl --out FILE.npz``.

The file is a pickle. It is read by the project's one restricted unpickler, which knows NumPy arrays and, for this file, inert stand-ins
for the two other kinds of object in it (SciPy's sparse matrix and chumpy's array): no code of theirs runs, neither need be installed.
``--gmm gmm_08.pkl`` adds the mixture of poses, ``--mean neutral_smpl_mean_params.h5`` the mean pose and shape (needs h5py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from pose_rt.errors import InputError, OutputError, PoseRtError, UsageError
from pose_rt.io.motion_results import write_plain
from training.data.unpickle import RestrictedUnpickler

WANTED = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
_GENDERS = {"neutral": "neutral", "female": "female", "male": "male", "_f_": "female", "_m_": "male"}
_SPARSE = ("csc_matrix", "csr_matrix", "coo_matrix")


class Inert:
    """Stands in for an object of another library: it keeps the state that was pickled and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {"state": state}


class Csc(Inert):
    """A sparse matrix by columns."""


class Csr(Inert):
    """A sparse matrix by rows."""


def _reconstructor(kind: type, *_: Any) -> Any:
    """How protocol 2 makes an object without calling its class: only for the stand-ins."""
    if not (isinstance(kind, type) and issubclass(kind, Inert)):
        raise InputError(f"the pickle rebuilds {kind!r}, which no body needs: it may carry code and is not read")
    return kind()


class BodyUnpickler(RestrictedUnpickler):
    """The restricted unpickler, with stand-ins for what SMPL's files hold besides arrays."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        top = module.split(".")[0]
        if top == "scipy" and name in _SPARSE:
            return Csc if name == "csc_matrix" else Csr
        if top == "chumpy":
            return Inert
        if (module, name) in (("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor")):
            return _reconstructor
        if (module, name) in (("__builtin__", "object"), ("builtins", "object")):
            return Inert
        return super().find_class(module, name)


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary of a published pickle.

    Raises:
        InputError: no pickle, or one with more in it than arrays, sparse matrices and chumpy arrays.
    """
    try:
        with path.open("rb") as file:
            value = _load(file)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", "do not use this file; get it again from its publisher") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error
    if isinstance(value, np.ndarray) and value.shape == ():  # a dictionary that NumPy pickled
        value = value.item()
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds {type(value).__name__}, wanted a dictionary of arrays")
    return value


def _load(file: IO[bytes]) -> Any:
    return BodyUnpickler(file, encoding="latin1").load()


def plain(value: Any, what: str) -> np.ndarray:
    """An array from an array, a sparse matrix or a chumpy array.

    Raises:
        InputError: something else.
    """
    if isinstance(value, Csc | Csr):
        return _dense(value, what)
    if isinstance(value, Inert):
        value = value.state.get("x")
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise InputError(f"{what}: got {type(value).__name__}, wanted an array of numbers")
    return value


def _dense(matrix: Inert, what: str) -> np.ndarray:
    state = matrix.state
    try:
        shape = tuple(int(n) for n in (state["_shape"] if "_shape" in state else state["shape"]))
        data, indices, starts = (np.asarray(state[key]) for key in ("data", "indices", "indptr"))
    except (KeyError, TypeError) as error:
        raise InputError(f"{what}: a sparse matrix without {error}") from error
    by_column = isinstance(matrix, Csc)
    outer = np.repeat(np.arange(shape[1] if by_column else shape[0]), np.diff(starts))
    out = np.zeros(shape)
    out[(indices, outer) if by_column else (outer, indices)] = data
    return out


def gender_of(path: Path) -> str:
    """From the file's name; neutral where it says nothing."""
    name = path.stem.lower()
    return next((gender for part, gender in _GENDERS.items() if part in name), "neutral")


def convert(path: Path, gmm: Path | None = None, mean: Path | None = None) -> dict[str, np.ndarray]:
    """The arrays of a body file, and of the mixture and the means where they are given.

    Raises:
        UsageError: a file is missing.
        InputError: not what it should be.
    """
    for given in (path, gmm, mean):
        if given is not None and not given.is_file():
            raise UsageError(f"{given}: no such file", "SMPL is handed out at https://smpl.is.tue.mpg.de")
    body = read_pickle(path)
    missing = [name for name in WANTED if name not in body]
    if missing:
        raise InputError(f"{path}: has no {missing[0]}, so it is no SMPL body")
    arrays = {name: plain(body[name], f"{path}: {name}") for name in WANTED}
    arrays["kintree_table"] = arrays["kintree_table"].astype(np.int64)
    arrays["f"] = arrays["f"].astype(np.int64)
    arrays["gender"] = np.array(gender_of(path))
    if gmm is not None:
        mixture = read_pickle(gmm)
        for source, target in (("means", "gmm_means"), ("covars", "gmm_covars"), ("weights", "gmm_weights")):
            if source not in mixture:
                raise InputError(f"{gmm}: has no {source}")
            arrays[target] = plain(mixture[source], f"{gmm}: {source}")
    if mean is not None:
        arrays |= _means(mean)
    return arrays


def _means(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    else:
        try:
            import h5py
        except ImportError as error:
            raise UsageError(f"{path}: an HDF5 file, which needs the package h5py", "pip install h5py") from error
        with h5py.File(path) as file:
            found = {name: np.asarray(file[name]) for name in ("pose", "shape")}
    return {"mean_pose": found["pose"].reshape(-1)[:72], "mean_shape": found["shape"].reshape(-1)[:10]}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.mas.convert_smpl", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("body", type=Path, metavar="SMPL_NEUTRAL.pkl")
    parser.add_argument("--gmm", type=Path, help="mixture of poses, gmm_08.pkl")
    parser.add_argument("--mean", type=Path, help="mean pose and shape, .h5 or .npz with pose and shape")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        if options.out.exists() and not options.overwrite:
            raise OutputError(f"{options.out} exists already", "add --overwrite or choose another --out")
        arrays = convert(options.body, options.gmm, options.mean)
        write_plain(options.out, arrays)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"wrote {options.out}: {len(arrays['v_template'])} vertices, {arrays['gender']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
