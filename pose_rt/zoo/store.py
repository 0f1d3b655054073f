"""Files of the zoo: checked when used, verified before they take their place when added."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from ..errors import OutputError, UsageError
from .manifest import Entry, describe, entries, find, make_entry, project_entries, sha256_of, to_json, user_folder
from .parity import report_path


def load_path(name: str) -> Path:
    """The path of the model of that name, once its file has shown its checksum.

    Raises:
        UsageError: no model of that name.
        ModelError: the file is missing or is not the one that the entry describes.
    """
    return find(name).load()


def _write_verified(data: bytes, target: Path, sha256: str) -> None:
    """Write to a temporary file, read it back, then move it into place; readable by its owner only."""
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if sha256_of(Path(temporary)) != sha256:
            raise OutputError(f"{target}: what was written does not read back as it was", "check the disk")
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"{target}: the model cannot be stored ({error.strerror})", "set POSE_RT_MODELS to a writable folder") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def add(
    path: Path, name: str | None = None, like: str | None = None, licence: str = "not stated", made: str = "added by the user"
) -> Entry:
    """Copy a model file into the user's folder and make it known.

    A file whose checksum is that of a project model takes that model's entry. One that says in its metadata what it is (as those of
    `exporters sampling_argmax` do) needs no more; its name is that of the file. Any other file needs a new `name`, and `like`: the model
    whose input, output, preprocessing and skeleton it shares.

    Raises:
        UsageError: the file is missing, or `name` or `like` is missing, unknown or taken.
        OutputError: the folder cannot be written.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such model file")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    for entry in project_entries():
        if entry.sha256 == digest:
            if not entry.bundled:
                _write_verified(data, entry.path, digest)
            return entry
    told = None
    if like is None:
        try:
            told = describe(path, data)
        except UsageError:
            raise UsageError(f"{path}: not a model of this release", "to add your own give --name NAME and --like MODEL") from None
        name = name or path.stem
    elif name is None:
        raise UsageError(f"{path}: not a model of this release", "to add your own give --name NAME and --like MODEL")
    if not name.replace("_", "").replace("-", "").isalnum() or not name.isascii():
        raise UsageError(f"name {name!r}: wanted letters, digits, '-' and '_'")
    if any(name in (entry.name, entry.file) for entry in project_entries()):
        raise UsageError(f"the name {name!r} belongs to a model of this release", "choose another --name")
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path}: wanted an ONNX file (.onnx)")
    pattern = find(str(like)) if told is None else make_entry({**told, "name": name}, str(path))
    entry = replace(
        pattern,
        name=name,
        file=f"{name}.onnx",
        sha256=digest,
        bytes=len(data),
        licence=licence,
        data_licence="not stated",
        provenance=f"copied from {path.resolve()}",
        made=made,
        metric="not measured",
        bundled=False,
        get=f"pose-rt models add {path} --name {name}" + ("" if like is None else f" --like {like}"),
    )
    _write_verified(data, entry.path, digest)
    note = to_json(entry).encode()
    _write_verified(note, user_folder() / f"{name}.json", hashlib.sha256(note).hexdigest())
    report = report_path(path)
    if report.is_file():
        values = report.read_bytes()
        _write_verified(values, report_path(entry.path), hashlib.sha256(values).hexdigest())
    return entry


def missing() -> list[Entry]:
    """Known models whose file is not here, for `pose-rt doctor`."""
    return [entry for entry in entries() if not entry.path.is_file()]
