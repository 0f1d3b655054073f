"""What the user's word for a source means, and how an address is shown without its secrets."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from ...errors import UsageError

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https")
_DEVICE = re.compile(r"/dev/video(\d+)$")

Kind = Literal["camera", "stream", "images", "file"]


class Address(NamedTuple):
    """A source by kind; `value` is a camera's number or name, an address, a folder or pattern, or a path. `shown` holds no secret."""

    kind: Kind
    value: str
    shown: str


def parse(text: str) -> Address:
    """The kind of source that a command-line word names.

    Raises:
        UsageError: an address of a kind that is not read.
    """
    if text.isdecimal():
        return Address("camera", text, f"camera {int(text)}")
    if device := _DEVICE.match(text):
        return Address("camera", device[1], f"camera {device[1]}")
    if (
        sys.platform == "linux"
        and text.startswith(("/dev/v4l/by-id/", "/dev/v4l/by-path/"))
        and (real := _DEVICE.match(str(Path(text).resolve())))
    ):
        return Address("camera", real[1], f"camera {real[1]}")
    scheme, separator, _ = text.partition("://")
    if separator:
        if scheme.lower() not in SCHEMES:
            shown = scheme if scheme.isalnum() else "..."
            raise UsageError(
                f"addresses of the kind '{shown}://' are not read, wanted {', '.join(SCHEMES)}", "for a local file give its path"
            )
        return Address("stream", text, redact(text))
    if Path(text).is_dir() or any(mark in text for mark in "*?["):
        return Address("file" if Path(text).is_file() else "images", text, text)
    return Address("file", text, text)


def redact(url: str) -> str:
    """The address with user, password and query replaced by ``***``: tokens of cameras stand in the query.

    >>> redact("rtsp://admin:secret@10.0.0.7:554/live?token=abc")
    'rtsp://***@10.0.0.7:554/live?***'
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:  # a bracket that is no IPv6 address: nothing of it can be told apart
        return f"{url.partition('://')[0]}://***"
    user = "***@" if "@" in parts.netloc else ""
    query = "?***" if parts.query or parts.fragment else ""
    return f"{parts.scheme}://{user}{host}{parts.path}{query}"
