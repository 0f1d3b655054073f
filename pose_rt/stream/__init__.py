"""Frames from a source through the pipeline to the sinks: three threads, two bounded channels, the first error wins."""

from .channel import Channel
from .control import Control
from .latency import LatencyMeter, LatencySummary
from .protocols import ColorTags, Processor, Sink, Source, SourceInfo, Status, View, each
from .runner import RunReport, run

__all__ = [
    "Channel",
    "ColorTags",
    "Control",
    "LatencyMeter",
    "LatencySummary",
    "Processor",
    "RunReport",
    "Sink",
    "Source",
    "SourceInfo",
    "Status",
    "View",
    "each",
    "run",
]
