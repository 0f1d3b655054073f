"""What a view may ask of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Control:
    """Requests of views (keys, buttons) to the run they show. Safe from any thread and inside a signal handler.

    Attributes:
        recording: whether the recorder, if there is one, writes; a plain flag that it reads before each packet.
    """

    def __init__(self, *, recording: bool = False) -> None:
        self.recording = recording
        self._stopped = threading.Event()
        self._on_stop: Callable[[], None] | None = None

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """End the run as Ctrl-C does: no more is read, what was read is finished and written. Not an error, and safe twice."""
        self._stopped.set()
        if self._on_stop is not None:
            self._on_stop()

    def bind(self, on_stop: Callable[[], None]) -> None:
        """Called by the run: `on_stop` is called by each `stop`, and at once if one came before."""
        self._on_stop = on_stop
        if self.stopped:
            on_stop()
