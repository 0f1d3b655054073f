"""Pictures of a folder or pattern, in the order a person would list them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from glob import glob
from pathlib import Path

import cv2

from ...core.types import Frame
from ...errors import InputError, UsageError
from ...stream.protocols import SourceInfo
from ..pictures import fit

NS = 1_000_000_000
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


class ImageSource:
    """Image files at a fixed rate; numbers in names count as numbers (2 before 10).

    A picture of another size than the first is scaled into the first one's size; one that cannot be read is left out, with a note,
    and keeps its place in time.

    Args:
        where: a folder, or a pattern such as ``shots/*.png``.
        fps: picture i has media time i / fps.

    Raises:
        UsageError: no image there.
        InputError: not one of them can be read.
    """

    def __init__(self, where: str | Path, fps: Fraction = Fraction(30)) -> None:
        folder = Path(where)
        found = folder.iterdir() if folder.is_dir() else (Path(name) for name in glob(str(where), recursive=True))
        self._paths = sorted((p for p in found if p.suffix.lower() in SUFFIXES and p.is_file()), key=_natural)
        if not self._paths:
            raise UsageError(
                f"'{where}' holds no image ({', '.join(s[1:] for s in SUFFIXES)})", "check the folder or put the pattern in quotes"
            )
        self.notes: list[str] = []
        self._closed = threading.Event()
        first = next((image for path in self._paths if (image := cv2.imread(str(path), cv2.IMREAD_COLOR)) is not None), None)
        if first is None:
            raise InputError(f"none of the {len(self._paths)} images of '{where}' can be read", "convert them to JPEG or PNG")
        self._size = (first.shape[1], first.shape[0])
        count = len(self._paths)
        self.info = SourceInfo(*self._size, Fraction(fps), False, count, float(count / fps), str(where), time_base=1 / Fraction(fps))

    def __iter__(self) -> Iterator[Frame]:
        unread = rescaled = 0
        for index, path in enumerate(self._paths):
            if self._closed.is_set():
                return
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                unread += 1
                continue
            if (image.shape[1], image.shape[0]) != self._size:
                image = fit(image, self._size)
                rescaled += 1
            yield Frame(image, index, round(index * NS / self.info.fps), time.monotonic_ns())
        if unread:
            self.notes.append(f"{unread} images could not be read and were left out")
        if rescaled:
            self.notes.append(f"{rescaled} images of another size were scaled to {self._size[0]}x{self._size[1]}")

    def close(self) -> None:
        """End the iteration after the picture in work."""
        self._closed.set()


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in parts]
