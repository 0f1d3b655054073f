"""Where results go: an annotated video, JSON lines, NumPy arrays. The video sink loads PyAV, so it is imported where it is used."""

from ...stream.protocols import Sink
from .jsonl import JsonlSink, RunInfo
from .npz import NpzSink

__all__ = ["JsonlSink", "NpzSink", "RunInfo", "Sink"]
