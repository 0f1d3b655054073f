"""The contract of a stage, and the helper that notes how long one took."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Protocol

from ..core.types import Packet, Span


class Stage(Protocol):
    """One packet in, one packet out, in order. History belongs to the stage, keyed by track."""

    name: str

    def __call__(self, packet: Packet) -> Packet: ...

    def reset(self) -> None: ...

    def close(self) -> None: ...


def finish(packet: Packet, stage: str, start_ns: int, **results: Any) -> Packet:
    """The packet with a stage's results and the span from `start_ns` (monotonic) to now."""
    return replace(packet, spans=(*packet.spans, Span(stage, start_ns, time.monotonic_ns())), **results)
