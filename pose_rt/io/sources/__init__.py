"""Sources of frames: video files and synthetic pictures. `pose_rt.io.sources.video` loads PyAV, so it is imported where it is used."""

from ...stream.protocols import Source, SourceInfo
from .synthetic import SyntheticSource

__all__ = ["Source", "SourceInfo", "SyntheticSource"]
