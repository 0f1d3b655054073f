"""What is known of each model file: `manifest.toml` for the project's own, a JSON file beside each model that a user added."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import ModelError, UsageError
from .onnx_metadata import read_metadata

BUNDLED_FOLDER = Path(__file__).parent / "models"
MANIFEST = Path(__file__).with_name("manifest.toml")


@dataclass(frozen=True)
class Entry:
    """One model file. `bundled` files come with the package; the others are added by the command in `get`."""

    name: str
    file: str
    kind: str
    sha256: str
    bytes: int
    licence: str
    data_licence: str
    provenance: str
    paper: str
    input: str
    output: str
    preprocessing: str
    skeleton: str
    made: str
    metric: str
    bundled: bool = True
    get: str = ""

    @property
    def path(self) -> Path:
        """Where the file lies, or would lie."""
        return (BUNDLED_FOLDER if self.bundled else user_folder()) / self.file

    def load(self) -> Path:
        """The path, once the file has shown its checksum.

        Raises:
            ModelError: the file is missing or is not the one that the entry describes.
        """
        cure = "reinstall pose-rt: pip install --force-reinstall --no-deps pose-rt" if self.bundled else f"get it with: {self.get}"
        if not self.path.is_file():
            raise ModelError(f"model {self.name!r} is not here: {self.path} is missing", cure)
        found = sha256_of(self.path)
        if found != self.sha256:
            raise ModelError(f"model {self.name!r} is damaged: {self.path} has sha256 {found[:12]}..., wanted {self.sha256[:12]}...", cure)
        return self.path


@dataclass(frozen=True)
class FileEntry(Entry):
    """A model that is used from where it lies, outside of the zoo."""

    folder: Path = Path()

    @property
    def path(self) -> Path:
        return self.folder / self.file


def describe(path: Path, model: bytes, **fields: Any) -> dict[str, Any]:
    """The fields of an entry for a model of one's own, as far as its metadata tells.

    Raises:
        UsageError: it tells nothing.
    """
    metadata = read_metadata(model)
    if metadata.get("kind") != "sampling_argmax":
        raise UsageError(f"{path}: it does not say what it is", "to add your own give --name NAME and --like MODEL")
    height, width = metadata["image"]
    grid = " x ".join(str(n) for n in metadata["grid"])
    return {
        "name": path.stem, "file": path.name, "kind": "pose2d", "sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model),
        "licence": "not stated", "data_licence": "not stated", "provenance": f"copied from {path.resolve()}",
        "paper": "Li et al., Localization with Sampling-Argmax, NeurIPS 2021", "input": f"image (N, 3, {height}, {width}) float32",
        "output": f"heatmaps (N, {len(metadata['skeleton']['joints'])}, {grid}) logits",
        "preprocessing": f"(RGB / 255 - {metadata['mean']}) / {metadata['deviation']}; crop of {metadata['enlarge']} x the person's box",
        "skeleton": metadata["skeleton"]["name"], "made": "python -m exporters sampling_argmax", "metric": "not measured",
        "bundled": False, **fields,
    }  # fmt: skip


def file_entry(path: Path) -> FileEntry:
    """The entry of a model file that is not in the zoo.

    Raises:
        UsageError: no such file, or one that does not say what it is.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such model file", "see `pose-rt models` for those that have a name")
    return FileEntry(**describe(path, path.read_bytes(), provenance="a file of the user's"), folder=path.resolve().parent)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read ({error.strerror})") from error


def user_folder() -> Path:
    """Where added models live: $POSE_RT_MODELS, else the user's data folder."""
    if chosen := os.environ.get("POSE_RT_MODELS"):
        return Path(chosen)
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "pose-rt" / "models"


def make_entry(values: dict[str, Any], where: str) -> Entry:
    """An Entry from parsed TOML or JSON.

    Raises:
        ModelError: a field is missing, unknown or of the wrong type, or the file name leaves its folder.
    """
    types: dict[str, type] = {f.name: {"str": str, "int": int, "bool": bool}[str(f.type)] for f in fields(Entry)}
    required = {f.name for f in fields(Entry)} - {"bundled", "get"}
    wrong = sorted((required - values.keys()) | (values.keys() - types.keys()))
    wrong += [key for key in values.keys() & types.keys() if type(values[key]) is not types[key]]
    if wrong:
        raise ModelError(f"{where}: the model entry has missing, unknown or mistyped fields: {', '.join(wrong)}")
    if Path(values["file"]).name != values["file"]:
        raise ModelError(f"{where}: file {values['file']!r} is not a plain file name")
    return Entry(**values)


def to_json(entry: Entry) -> str:
    return json.dumps(asdict(entry), indent=2)


def project_entries() -> list[Entry]:
    """The entries of `manifest.toml`, in its order."""
    parsed = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    return [make_entry(values, MANIFEST.name) for values in parsed.get("model", [])]


def user_entries() -> list[Entry]:
    """Models that the user added under a name of their own."""
    found = []
    for path in sorted(user_folder().glob("*.json")):
        if path.name.endswith(".parity.json"):  # a report, not an entry
            continue
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: the entry of an added model cannot be read ({error})", f"delete it: rm '{path}'") from error
        found.append(make_entry(values if isinstance(values, dict) else {}, str(path)))
    return found


def entries() -> list[Entry]:
    """Every known model: the project's, then the user's."""
    return project_entries() + user_entries()


def find(name: str) -> Entry:
    """The entry of that name (or file name), or of an ONNX file that a path leads to.

    Raises:
        UsageError: no such model; the message lists those there are.
    """
    known = entries()
    for entry in known:
        if name in (entry.name, entry.file):
            return entry
    if name.lower().endswith(".onnx"):
        return file_entry(Path(name))
    raise UsageError(f"no model is called {name!r}", f"known: {', '.join(e.name for e in known)} (see `pose-rt models`)")
