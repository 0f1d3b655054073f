"""Output files: a path that is checked before any work, and a file that appears whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import OutputError, PoseRtError, UsageError

_FULL = {errno.ENOSPC: "no space left on the disk", errno.EDQUOT: "the disk quota is used up", errno.EFBIG: "the file grew too large"}


def check_output_path(path: str | Path, *, overwrite: bool, suffixes: Collection[str], inputs: Collection[str | Path] = ()) -> Path:
    """The output's path with links resolved, once it is clear that a file may be written there.

    Args:
        path: where the file shall be.
        overwrite: an existing file may be replaced.
        suffixes: endings that are understood, in lower case with their dot.
        inputs: files that are read meanwhile and must not be replaced; names that are no files are ignored.

    Raises:
        UsageError: a directory, a missing folder, an ending that is not understood, or an input.
        OutputError: the file exists and `overwrite` is off, or it or its folder cannot be written.
    """
    given, path = path, Path(path).expanduser().resolve()
    if path.is_dir():
        raise UsageError(f"the output '{given}' is a directory, wanted a file", f"name a file in it that ends in {' or '.join(suffixes)}")
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"the output '{given}' ends in '{path.suffix}', wanted {' or '.join(suffixes)}", "rename the output")
    if not path.parent.is_dir():
        raise UsageError(f"the folder '{path.parent}' of the output does not exist", f"make it with `mkdir -p {path.parent}`")
    for source in inputs:
        with suppress(OSError, ValueError):
            if os.path.samefile(source, path):
                raise UsageError(f"the output '{given}' is the input itself", "choose another name for the output")
    if path.exists():
        if not path.is_file():
            raise UsageError(f"the output '{given}' is not a regular file", "choose another name")
        if not overwrite:
            raise OutputError(f"the output '{given}' exists already", "add --overwrite or choose another name")
        if not os.access(path, os.W_OK):
            raise OutputError(f"the output '{given}' is write-protected", "choose another name or change its permissions")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"the folder '{path.parent}' cannot be written", "choose another folder or change its permissions")
    return path


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system and FFmpeg say while writing `path` into OutputError."""
    try:
        yield
    except PoseRtError:
        raise
    except OSError as error:
        full = _FULL.get(error.errno or 0)
        cure = (
            "choose another folder or change its permissions" if full is None else f"free some space at '{path.parent}' or write elsewhere"
        )
        raise OutputError(f"'{path}' cannot be written: {full or error.strerror or error}", cure) from error


class PartFile:
    """A temporary file beside `path` that takes its place on `commit` and vanishes on `discard`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with write_errors(path):
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:64]}.", suffix=f".part{path.suffix}")
            os.close(handle)
        self.temporary = Path(name)

    def commit(self) -> None:
        with write_errors(self.path):
            mask = os.umask(0)
            os.umask(mask)
            self.temporary.chmod(0o666 & ~mask)
            os.replace(self.temporary, self.path)

    def discard(self) -> None:
        self.temporary.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to: it takes the place of `path` if the block ends well, and vanishes if not. Its folder must be there.

    Raises:
        OutputError: it cannot be written.
    """
    part = PartFile(path)
    try:
        with write_errors(path):
            yield part.temporary
        part.commit()
    except BaseException:
        part.discard()
        raise


def write_json(path: Path, values: Any) -> None:
    """Write values as indented JSON, whole or not at all; the folder is made.

    Raises:
        OutputError: it cannot be written.
    """
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


class OpenFile:
    """A file written under its own name from the start, so that what is in it outlives the process; same use as `PartFile`."""

    def __init__(self, path: Path) -> None:
        self.path = self.temporary = path
        with write_errors(path):
            path.open("wb").close()

    def commit(self) -> None:
        """It is in its place already."""

    def discard(self) -> None:
        """Keep what was written; remove a file with nothing in it."""
        with suppress(OSError):
            if self.path.stat().st_size == 0:
                self.path.unlink()
