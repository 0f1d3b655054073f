"""The one place that reads pickles: arrays that NumPy saved as objects, by an unpickler that knows nothing but NumPy arrays.

A pickle can name any function of any module and have it called. This one may name the few NumPy functions that rebuild arrays and
numbers; every other name ends the reading. `training.data.convert` uses it once and writes a form that needs no pickle.
"""

from __future__ import annotations

import importlib
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from pose_rt.errors import InputError

# Module names of NumPy 1 and 2: the published files were written by the former.
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_ALLOWED: dict[tuple[str, str], tuple[str, str]] = {
    **{(module, name): (_MULTIARRAY[1], name) for module in _MULTIARRAY for name in ("_reconstruct", "scalar")},
    ("numpy", "ndarray"): ("numpy", "ndarray"),
    ("numpy", "dtype"): ("numpy", "dtype"),
    ("_codecs", "encode"): ("_codecs", "encode"),  # how protocol 2 writes the bytes of an array
}


class RestrictedUnpickler(pickle.Unpickler):
    """Builds dicts, lists, strings, numbers and NumPy arrays; refuses every other name."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """The function or type behind a name.

        Raises:
            InputError: a name that no array needs.
        """
        allowed = _ALLOWED.get((module, name))
        if allowed is None:
            raise InputError(f"the pickle names {module}.{name}, which no array needs: it may carry code and is not read")
        found: Callable[..., Any] = getattr(importlib.import_module(allowed[0]), allowed[1])
        return found


def object_arrays(path: Path, wanted: tuple[str, ...]) -> dict[str, Any]:
    """The objects that ``np.savez(path, name=dictionary)`` pickled into a .npz file, by name; entries not in `wanted` are left unread.

    Raises:
        InputError: not an .npz file, an entry is missing, or a pickle with more than arrays in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).stem: name for name in archive.namelist() if name.endswith(".npy")}
            missing = [name for name in wanted if name not in names]
            if missing:
                raise InputError(f"{path}: has no entry {', '.join(missing)} (it has {', '.join(sorted(names)) or 'none'})")
            found = {}
            for name in wanted:
                with archive.open(names[name]) as file:
                    found[name] = _read_object(file, f"{path}: {name}")
            return found
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not an .npz file ({error})") from error


def pickled_object(path: Path) -> Any:
    """The dictionary of arrays that a plain pickle file holds.

    Raises:
        InputError: no pickle, or one with more than arrays in it.
    """
    try:
        with path.open("rb") as file:
            return RestrictedUnpickler(file, encoding="latin1").load()
    except InputError as error:
        raise InputError(f"{path}: {error.message}", "do not use this file; get it again from its publisher") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error


def _read_object(file: IO[bytes], what: str) -> Any:
    """One .npy member: header, then (for an object array) a pickle of the array of objects."""
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if not dtype.hasobject:
            return np.frombuffer(file.read(), dtype).reshape(shape)
        # encoding: files of Python 2 hold the bytes of arrays as str
        value = RestrictedUnpickler(file, encoding="latin1").load()
    except InputError as error:
        raise InputError(f"{what}: {error.message}", "do not use this file; get it again from its publisher") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(f"{what}: cannot be read ({type(error).__name__}: {error})") from error
    return value.item() if isinstance(value, np.ndarray) and value.shape == () else value
