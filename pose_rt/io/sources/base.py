"""What a path must be before it is opened as an input."""

from __future__ import annotations

import stat
from pathlib import Path

from ...errors import InputError, UsageError


def check_media_path(path: str | Path, wanted: str = "a video file") -> Path:
    """The path of a readable regular file; `wanted` says what it should be, for messages.

    Raises:
        UsageError: an address, a missing file, a directory or a device.
        InputError: an empty or unreadable file.
    """
    if "://" in str(path):
        raise UsageError(f"'{path}' is an address, wanted {wanted}", "download it first and give the file's path")
    path = Path(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"'{path}' does not exist, wanted {wanted}", "check the path") from None
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read ({reason(error)})", "check its permissions") from None
    if stat.S_ISDIR(status.st_mode):
        raise UsageError(f"'{path}' is a directory, wanted {wanted}", "name one file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"'{path}' is not a regular file, wanted {wanted}", "save it as a file first")
    if status.st_size == 0:
        raise InputError(f"'{path}' is empty (0 bytes)", "copy or record it again")
    return path


def reason(error: BaseException) -> str:
    """The shortest text that says why a system call or FFmpeg failed."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
