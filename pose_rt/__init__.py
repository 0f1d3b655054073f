"""pose-rt: a camera or a video in, 3D human motion, its certainty and its futures out."""

__version__ = "0.1.0"
