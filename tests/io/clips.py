"""Small clips made on the spot with PyAV, and what a test asks of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def quadrants(index: int, width: int, height: int) -> np.ndarray:
    """BGR: white top left, red bottom left, black on the right but for a bar that grows with the index along the right side."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = 255
    image[height // 2 :, : width // 2] = (0, 0, 255)
    image[: (index * 4) % height, -(width // 8) :] = 128
    return image


def write_clip(
    path: Path,
    *,
    frames: int = 12,
    size: tuple[int, int] = (64, 48),
    rate: Fraction | int = 30,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    audio: str | None = None,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: float | None = None,
    mirrored: bool = False,
    faststart: bool = False,
    options: dict[str, str] | None = None,
    picture: Callable[[int, int, int], np.ndarray] = quadrants,
) -> Path:
    """Encode `frames` pictures, and a tone of the same length where `audio` names an encoder."""
    base = time_base or 1 / Fraction(rate)
    with av.open(str(path), "w", container_options={"movflags": "+faststart"} if faststart else {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        if time_base is not None:
            stream.codec_context.time_base = time_base
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=mirrored)
        sound = container.add_stream(audio, rate=48000) if audio else None
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(i, *size), format="bgr24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (i if pts is None else pts[i]), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _write_tone(container, sound, float(frames / Fraction(rate)))
    return path


def write_tone(path: Path, seconds: float = 0.5) -> Path:
    """A file with sound alone."""
    with av.open(str(path), "w") as container:
        _write_tone(container, container.add_stream("aac", rate=48000), seconds)
    return path


def _write_tone(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    done = 0
    while done < seconds * 48000:
        count = stream.codec_context.frame_size or 1024
        wave = np.sin((np.arange(count) + done) * 2 * np.pi * 440 / 48000)
        planar = stream.codec_context.format.name == "fltp"
        samples = np.stack([wave, wave]).astype(np.float32) if planar else np.repeat(wave * 8000, 2).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format=stream.codec_context.format.name, layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, done, Fraction(1, 48000)
        container.mux(stream.encode(frame))
        done += count
    container.mux(stream.encode(None))


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Time and bytes of every packet of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next((s for s in container.streams if s.type == kind), None)
        if stream is None:
            return []
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.pts is not None]


def times(path: Path) -> list[Fraction]:
    """Presentation times of the video frames, in order, s."""
    return sorted(time for time, _ in packets(path, "video"))
