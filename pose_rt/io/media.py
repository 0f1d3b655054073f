"""Opening media files and reading what their containers say: streams, rate, orientation, time stamps, colour to BGR.

This file and the two that decode and encode (`sources/video.py`, `sinks/video.py`) are the only ones that import PyAV.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from ..errors import InputError
from .sources.base import reason

MAX_PIXELS = 1 << 26
"""Largest picture that is decoded, 64 Mpx; 8K video has 33."""
MAX_SIDE = 16384
"""Longest side in px that is decoded; H.264 cannot store more."""

NS = 1_000_000_000
_GAP_NS = 3600 * NS
_GLITCH_NS = NS
# Demuxers that open further files or addresses named inside the file, or that draw plain text as video.
_REFUSED_DEMUXERS = frozenset(
    ["ansi", "bin", "concat", "concatf", "dash", "hls", "imf", "rtsp", "sdp", "tty", "webm_dash_manifest", "xbin"]
)
_CURE_FORMAT = "convert it with `ffmpeg -i INPUT -c:v libx264 out.mp4`, or check that it is a video at all"


@cache
def _formats() -> str:
    return ",".join(sorted(av.formats_available - _REFUSED_DEMUXERS))


def open_media(path: Path) -> InputContainer:
    """Open a media file for reading; only local files are touched, and pictures over `MAX_PIXELS` are refused by the decoder.

    Raises:
        InputError: not a media file, or one without its index.
    """
    try:
        return av.open(
            f"file:{path.absolute()}",
            mode="r",
            options={"max_pixels": str(MAX_PIXELS)},
            container_options={"protocol_whitelist": "file", "format_whitelist": _formats()},
            metadata_errors="replace",
        )
    except PermissionError as error:
        raise InputError(f"'{path}' cannot be read ({reason(error)})", "check its permissions") from error
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
        if _is_mp4(path):
            message = f"'{path}' is an MP4 without a readable index: its recording or copy broke off, or it is damaged"
            raise InputError(message, "copy or record it again, or rebuild the index with a tool such as untrunc") from error
        raise InputError(f"'{path}' is not a video that FFmpeg can read ({reason(error)})", _CURE_FORMAT) from error


def _is_mp4(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(12)[4:8] in (b"ftyp", b"mdat", b"moov")
    except OSError:
        return False


def video_stream(container: InputContainer, path: Path | str) -> VideoStream:
    """The video stream FFmpeg holds for the main one; cover pictures of music files do not count.

    Raises:
        InputError: no video, no decoder for it, or a picture size outside the limits.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        if container.streams.audio:
            raise InputError(f"'{path}' holds sound but no video", "give a file with a picture")
        raise InputError(f"'{path}' holds no video", _CURE_FORMAT)
    best = container.streams.best("video")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    if stream.codec_context is None:
        raise InputError(f"'{path}' holds video in a format that this FFmpeg cannot decode", _CURE_FORMAT)
    check_size(stream.codec_context.width, stream.codec_context.height, path)
    return stream


def check_size(width: int, height: int, path: Path | str) -> None:
    """Raise InputError where a picture is larger than what is decoded."""
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        limit = f"wanted at most {MAX_SIDE} px a side and {MAX_PIXELS >> 20} Mpx"
        cure = "scale it with `ffmpeg -i INPUT -vf scale=1280:-2 out.mp4`"
        raise InputError(f"'{path}' has pictures of {width}x{height} px, {limit}", cure)


def frame_rate(stream: VideoStream) -> Fraction:
    """Mean frames per second; a rate within 0.01 % of n or n * 1000/1001 becomes that, an unknown one 30."""
    rate = next((Fraction(r) for r in (stream.average_rate, stream.guessed_rate, stream.base_rate) if r), Fraction(30))
    if not Fraction(1, 1000) <= rate <= 1000:
        rate = Fraction(30)
    for standard in (Fraction(round(rate)), Fraction(round(rate * Fraction(1001, 1000)) * 1000, 1001)):
        if abs(rate - standard) <= rate / 10000:
            return standard
    return rate.limit_denominator(100_000)


class Orientation(NamedTuple):
    """How a stored picture is turned for display: transpose first, then mirror."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:
        if self.transpose:
            image = cv2.transpose(image)
        if self.flip_x or self.flip_y:
            image = cv2.flip(image, -1 if self.flip_x and self.flip_y else int(self.flip_x))
        return image


def orientation(frame: VideoFrame) -> Orientation:
    """The multiple of 90 degrees, mirrored or not, nearest to the frame's display matrix (a b u, c d v, x y w; 16.16 fixed point).

    A point goes to x' = a x + c y, y' = b x + d y.
    """
    try:
        data = cast(Any, frame.side_data)["DISPLAYMATRIX"]  # the stubs know one kind of side data only
    except KeyError:
        return Orientation()
    if data.buffer_size < 36:
        return Orientation()
    a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(data), np.int32, 5))
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, c < 0, b < 0)
    return Orientation(False, a < 0, d < 0)


class Timeline:
    """Media time of each frame in ns from its time stamp: strictly increasing, whatever the file says.

    Of a frame's two stamps the presentation stamp counts, unless it went backwards more often so far than the decoding stamp (some
    containers store only the latter). A missing stamp is one frame after the last; a repeated or slightly earlier one (under 1 s)
    moves one tick past the last; one further back, or over an hour ahead, starts a new stretch one frame after the last. `repaired`
    counts all of these.

    Args:
        time_base: s per tick of the stamps.
        step_ns: one frame at the mean rate.
        origin_ns: stamp that is media time 0.
        expected_ns: media time near which the first frame should lie.
    """

    def __init__(self, time_base: Fraction, step_ns: int, origin_ns: int, expected_ns: int = 0) -> None:
        self._base = time_base
        self._step = max(1, step_ns)
        self._tick = max(1, min(self._step, ticks_to_ns(1, time_base)))
        self._offset = -origin_ns
        self._expected = expected_ns
        self._last: int | None = None
        self._stamps: list[int | None] = [None, None]
        self._backwards = [0, 0]
        self.repaired = 0

    def _stamp(self, pts: int | None, dts: int | None) -> int | None:
        for kind, stamp in enumerate((pts, dts)):
            if stamp is not None:
                last = self._stamps[kind]
                self._backwards[kind] += last is not None and stamp <= last
                self._stamps[kind] = stamp
        return dts if pts is None or (dts is not None and self._backwards[0] > self._backwards[1]) else pts

    def __call__(self, pts: int | None, dts: int | None = None) -> int:
        pts = self._stamp(pts, dts)
        if self._last is None:
            time = self._expected if pts is None else ticks_to_ns(pts, self._base) + self._offset
            if time < 0 or abs(time - self._expected) > _GAP_NS:
                self._offset += self._expected - time
                time = self._expected
                self.repaired += 1
        else:
            following = self._last + self._step
            time = following if pts is None else ticks_to_ns(pts, self._base) + self._offset
            gap = time - self._last
            if pts is None:
                self.repaired += 1
            elif -_GLITCH_NS < gap <= 0:
                time = self._last + self._tick
                self.repaired += 1
            elif gap <= 0 or gap > _GAP_NS:
                self._offset += following - time
                time = following
                self.repaired += 1
        self._last = time
        return time


def ticks_to_ns(ticks: int, base: Fraction) -> int:
    """Nearest whole ns."""
    return round(ticks * base * NS)


def ns_to_ticks(ns: int, base: Fraction) -> int:
    """Nearest whole tick; the inverse of `ticks_to_ns` for ticks longer than 2 ns."""
    return round(Fraction(ns, NS) / base)


class BgrConverter:
    """Decoded frames to BGR, bit for bit what OpenCV's VideoCapture gives.

    OpenCV reads every YUV video with the BT.601 matrix, whatever its tags say, and so do the models' reference outputs. A sink that
    writes with the same matrix and passes the tags on gives the colours back unchanged.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """(h, w, 3) uint8; a view of FFmpeg's memory where its rows are dense (saves a 2.8 MB copy at 720p)."""
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        converted = self._reformatter.reformat(
            frame,
            format="bgr24",
            src_colorspace=Colorspace.ITU601,
            dst_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG if full else ColorRange.UNSPECIFIED,
            threads=1,
        )
        plane = converted.planes[0]
        if plane.line_size != 3 * converted.width:
            return np.ascontiguousarray(converted.to_ndarray())
        pixels = np.frombuffer(memoryview(plane), np.uint8, 3 * converted.width * converted.height)
        return pixels.reshape(converted.height, converted.width, 3)
