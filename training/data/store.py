"""Named arrays in a folder that is mapped into memory: ``index.json`` and one flat ``.npy`` file a dtype. Nothing to unpickle.

An entry's name is a path such as ``S9/Walking 1/0``; what belongs to the whole file (joint names, sources) stands in the index.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.errors import InputError

FORMAT = "pose-rt arrays/1"


def sha256_file(path: Path) -> str:
    """Hexadecimal digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_store(folder: Path, arrays: Iterable[tuple[str, np.ndarray]], about: dict[str, Any]) -> None:
    """Write arrays under a temporary name and move them to `folder`, which is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
    try:
        temporary.chmod(0o755)
        parts: dict[str, list[np.ndarray]] = {}
        sizes: dict[str, int] = {}
        entries: dict[str, dict[str, Any]] = {}
        for name, array in arrays:
            kind = array.dtype.name
            entries[name] = {"dtype": kind, "start": sizes.get(kind, 0), "shape": list(array.shape)}
            parts.setdefault(kind, []).append(array)
            sizes[kind] = sizes.get(kind, 0) + array.size
        for kind, pieces in parts.items():
            flat = np.lib.format.open_memmap(temporary / f"{kind}.npy", "w+", np.dtype(kind), (sizes[kind],))
            place = 0
            for piece in pieces:
                flat[place : place + piece.size] = piece.reshape(-1)
                place += piece.size
            flat.flush()
            del flat
        digests = {f"{kind}.npy": sha256_file(temporary / f"{kind}.npy") for kind in parts}
        index = {"format": FORMAT, **about, "sha256": digests, "entries": entries}
        (temporary / "index.json").write_text(json.dumps(index, indent=1) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@dataclass(frozen=True)
class Store:
    """The arrays of a folder, read-only views of the mapped files; `about` is its index."""

    folder: Path
    about: dict[str, Any]
    _flat: dict[str, np.ndarray]

    @property
    def names(self) -> list[str]:
        """Names of all arrays, in the order they were written."""
        return list(self.about["entries"])

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self.about["entries"][name]
        size = int(np.prod(entry["shape"], dtype=np.int64))
        return self._flat[entry["dtype"]][entry["start"] : entry["start"] + size].reshape(entry["shape"])

    @property
    def digests(self) -> dict[str, str]:
        """File name -> sha256, of the arrays and of the published file they were made from."""
        own = {f"{self.folder.name}/{name}": digest for name, digest in self.about["sha256"].items()}
        return {**own, **{source["name"]: source["sha256"] for source in self.about.get("sources", [])}}


def open_store(folder: Path) -> Store:
    """Map the arrays of a folder.

    Raises:
        InputError: not such a folder, or files of another length than the index says.
    """
    try:
        about = json.loads((folder / "index.json").read_text())
        if about.get("format") != FORMAT:
            raise InputError(f"{folder}: its index has the format {about.get('format')!r}, wanted {FORMAT!r}")
        kinds = {entry["dtype"] for entry in about["entries"].values()}
        flat = {kind: np.load(folder / f"{kind}.npy", mmap_mode="r", allow_pickle=False) for kind in sorted(kinds)}
        for name, entry in about["entries"].items():
            if entry["start"] + int(np.prod(entry["shape"], dtype=np.int64)) > flat[entry["dtype"]].size:
                raise InputError(f"{folder}: {entry['dtype']}.npy ends before {name}", "convert the published file again")
    except (OSError, ValueError, KeyError) as error:
        cure = f"make it with: python -m training.data.convert {folder.parent}"
        raise InputError(f"{folder}: not a folder of converted arrays ({error})", cure) from error
    return Store(folder, about, flat)
