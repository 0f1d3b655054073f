"""One picture for several views: a packet is drawn once per style."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from pose_rt.core.camera import Camera
from pose_rt.core.types import Packet

from .layout import draw_frame
from .style import Style


class Annotator:
    """Draws packets, and remembers the pictures of the last one, so that a window, a recording and a browser share the work.

    Safe from several threads; the pictures it gives are read-only and must be copied to be drawn upon.

    Args:
        style: of calls that give none.
        camera: of the 3D stages, see `draw_frame`.
    """

    def __init__(self, style: Style | None = None, camera: Camera | None = None) -> None:
        self.style = style or Style()
        self._camera = camera
        self._lock = threading.Lock()
        self._packet: Packet | None = None
        self._pictures: dict[Style, np.ndarray] = {}

    def __call__(self, packet: Packet, style: Style | None = None) -> np.ndarray:
        """The annotated picture of `draw_frame`, (h, w, 3) uint8 BGR, read-only."""
        key = replace(style or self.style, timing=False)
        with self._lock:
            if packet is not self._packet:
                self._packet, self._pictures = packet, {}
            picture = self._pictures.get(key)
            if picture is None:
                picture = draw_frame(packet, key, camera=self._camera)
                picture.setflags(write=False)
                self._pictures[key] = picture
            return picture
