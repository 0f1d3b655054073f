"""Frames from a source through the pipeline to the sinks: three threads, two bounded channels, the first error wins."""

from .channel import Channel
from .protocols import ColorTags, Processor, Sink, Source, SourceInfo, each
from .runner import RunReport, run

__all__ = ["Channel", "ColorTags", "Processor", "RunReport", "Sink", "Source", "SourceInfo", "each", "run"]
