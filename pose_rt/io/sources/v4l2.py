"""What cameras a Linux machine has and what they can do, asked of the kernel (Video4Linux2) without starting them."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

DEVICES = Path("/sys/class/video4linux")
_QUERYCAP, _ENUM_FMT, _ENUM_FRAMESIZES, _ENUM_FRAMEINTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
_CAPTURE, _DEVICE_CAPS = 0x00000001, 0x80000000
_DISCRETE = 1
_MOST = 64  # of each list; a driver that never says "no more" ends here


class Mode(NamedTuple):
    """One picture size of one pixel format, with the highest rate; `fps` 0 = not told."""

    pixel_format: str
    width: int
    height: int
    fps: float


class Camera(NamedTuple):
    """A camera: its number, path and name, `problem` (a sentence, or None) and what it can do (empty = not told)."""

    number: int
    path: str
    name: str
    problem: str | None
    modes: tuple[Mode, ...]


def cameras() -> list[Camera]:
    """The capture devices, in order of number; nodes that only carry metadata or play video are left out."""
    try:
        numbers = sorted(int(entry.name.removeprefix("video")) for entry in DEVICES.iterdir() if entry.name.startswith("video"))
    except (OSError, ValueError):
        return []
    found = (_examine(number) for number in numbers)
    return [camera for camera in found if camera is not None]


def _examine(number: int) -> Camera | None:
    path = f"/dev/video{number}"
    name = path
    with suppress(OSError):
        name = (DEVICES / f"video{number}" / "name").read_text(encoding="utf-8", errors="replace").strip() or path
    try:
        device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return Camera(number, path, name, problem_of(error, path), ())
    try:
        card = bytearray(104)
        _ioctl(device, _QUERYCAP, card)
        capabilities, own = struct.unpack_from("=II", card, 84)
        if not (own if capabilities & _DEVICE_CAPS else capabilities) & _CAPTURE:
            return None
        return Camera(number, path, name, None, tuple(_modes(device)))
    except OSError as error:
        return Camera(number, path, name, problem_of(error, path), ())
    finally:
        os.close(device)


def problem_of(error: OSError, path: str) -> str:
    """Why a device node cannot be opened, with the cure."""
    if isinstance(error, PermissionError):
        return f"no permission to open {path}; sudo usermod -aG video $USER, then log in again"
    if isinstance(error, FileNotFoundError):
        return f"{path} is not in this container or was unplugged; docker run --device {path}"
    return f"{path} does not answer ({error.strerror})"


def _ioctl(device: int, request: int, data: bytearray) -> None:
    from fcntl import ioctl

    ioctl(device, request, data, True)


def _modes(device: int) -> Iterator[Mode]:
    """Every discrete size of every format; of a range of sizes the largest."""
    for record in _listed(device, _ENUM_FMT, struct.pack("=II56x", 0, 1)):
        code = record[44:48]
        name = code.decode("ascii", "replace").strip()
        for size in _listed(device, _ENUM_FRAMESIZES, struct.pack("=I4s36x", 0, code)):
            kind, *sizes = struct.unpack_from("=I6I", size, 8)
            width, height = (sizes[0], sizes[1]) if kind == _DISCRETE else (sizes[1], sizes[4])
            yield Mode(name, width, height, _best_rate(device, code, width, height))
            if kind != _DISCRETE:
                break


def _best_rate(device: int, code: bytes, width: int, height: int) -> float:
    best = 0.0
    for record in _listed(device, _ENUM_FRAMEINTERVALS, struct.pack("=I4sII36x", 0, code, width, height)):
        numerator, denominator = struct.unpack_from("=II", record, 20)
        best = max(best, denominator / numerator if numerator else 0.0)
    return best


def _listed(device: int, request: int, first: bytes) -> Iterator[bytes]:
    """The records of an enumeration; the index is the first field of each."""
    for index in range(_MOST):
        record = bytearray(first)
        struct.pack_into("=I", record, 0, index)
        try:
            _ioctl(device, request, record)
        except OSError:
            return
        yield bytes(record)
