"""The thread that turns the newest packet into a message, while somebody wants one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ....core.types import Packet
from ...draw.style import Style
from .message import Encoded, encode_frame


class Encoder:
    """Encodes on its own thread; of several packets that wait the newest is taken, and none while nobody has room for it.

    Args:
        deliver: called on the encoder's thread with each message; must not wait.
        style, max_width, quality: see `encode_frame`.

    Attributes:
        offered: packets so far.
        encoded: messages so far.
        error: what ended the thread, or None.
    """

    def __init__(self, deliver: Callable[[Encoded], None], style: Style, *, max_width: int, quality: int) -> None:
        self._deliver = deliver
        self._style = style
        self._max_width = max_width
        self._quality = quality
        self._changed = threading.Condition()
        self._newest: Packet | None = None
        self._wanted = False
        self._closed = False
        self.offered = 0
        self.encoded = 0
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="pose-rt web encoder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, packet: Packet) -> None:
        """Put the newest packet in the place of the one before."""
        with self._changed:
            self._newest = packet
            self.offered += 1
            if self._wanted:
                self._changed.notify()

    def want(self, wanted: bool) -> None:
        """Whether anybody has room for a frame."""
        with self._changed:
            self._wanted = wanted
            self._changed.notify()

    def close(self) -> None:
        """End the thread; safe twice."""
        with self._changed:
            self._closed = True
            self._newest = None
            self._changed.notify()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def _work(self) -> None:
        try:
            while (taken := self._take()) is not None:
                self._deliver(encode_frame(*taken, self._style, max_width=self._max_width, quality=self._quality))
                self.encoded += 1
        except Exception as error:  # raised where the run can hear it, by the next write
            self.error = error

    def _take(self) -> tuple[Packet, int] | None:
        """The newest packet and its number, once there is one that is wanted and not yet encoded; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (self._wanted and self._newest is not None))
            if self._closed or self._newest is None:
                return None
            packet, self._newest = self._newest, None
            return packet, self.offered
