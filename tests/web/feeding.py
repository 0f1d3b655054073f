"""Packets for a browser view: one after the other, stamped when they are given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from pose_rt.core.types import Packet
from pose_rt.io.sinks.web import WebView
from pose_rt.stream.protocols import Status


def stamped(packet: Packet, index: int) -> Packet:
    """The packet as the frame of this number, captured now."""
    return replace(packet, frame=replace(packet.frame, index=index, captured_ns=time.monotonic_ns()))


def feed(view: WebView, packet: Packet, until: Callable[[], object], *, state: str = "open", fps: float = 60.0, most: int = 2000) -> int:
    """Write frames until something is true; how many that took."""
    for index in range(most):
        if until():
            return index
        view.tick(Status(state, index + 1, index + 1, index, 0))
        view.write(stamped(packet, index))
        time.sleep(1.0 / fps)
    raise AssertionError(f"not true after {most} frames")
