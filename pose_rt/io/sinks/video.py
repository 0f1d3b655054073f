"""An annotated H.264 video that browsers play, with the source's time stamps and sound."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from av.packet import Packet as MediaPacket
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...core.checks import check_array
from ...core.types import Packet
from ...errors import OutputError
from ...stream.protocols import SourceInfo
from ..media import MAX_SIDE, NS, ns_to_ticks
from .audio import AudioCopy
from .base import PartFile, check_output_path, write_errors

_MIN_TICKS, _MAX_TICKS = 10_000, 10_000_000  # a second
_ORIGIN = Fraction(1, 1_000_000)  # FFmpeg gives the start of a file in whole microseconds
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}


def output_time_base(info: SourceInfo) -> Fraction:
    """Seconds per tick of the output: the source's ticks, made finer until a frame at the nominal rate is a whole number of them.

    Containers that count milliseconds cannot say 30000/1001; there a frame within half a tick of its place on the regular grid is
    put back on it.
    """
    base = info.time_base
    regular = info.fps.denominator in (1, 1001)
    ticks = math.lcm(base.denominator, info.fps.numerator) if regular else base.denominator
    if ticks > _MAX_TICKS:
        ticks = base.denominator if base.denominator <= _MAX_TICKS else 90_000
    return Fraction(1, ticks * -(-_MIN_TICKS // ticks))


class VideoSink:
    """Draws each packet and encodes the picture, one frame out for one frame in.

    The file is written under a temporary name in the same folder and takes its place on `close`; an interrupted run leaves the
    playable video of what was written. The size is that of the first picture; an odd side gets one more row or column of pixels.
    Default preset and quality: measured as the best picture for about 7 ms of CPU time per 720p frame.

    Args:
        path: ends in .mp4, .m4v, .mov or .mkv.
        info: of the source: rate, time base, colour tags, pixel aspect; its file is never overwritten.
        draw: gives the (h, w, 3) uint8 BGR picture of a packet.
        overwrite: replace an existing file.
        audio_from: file whose sound is copied, or None.
        crf: constant rate factor of x264, 1 (near lossless) to 51.
        preset: of x264.
        threads: of x264; one costs least CPU time.

    Raises:
        UsageError, OutputError: see `check_output_path`; OutputError also while writing, with nothing left behind.
    """

    def __init__(
        self,
        path: str | Path,
        info: SourceInfo,
        draw: Callable[[Packet], np.ndarray],
        *,
        overwrite: bool = False,
        audio_from: str | Path | None = None,
        crf: int = 21,
        preset: str = "superfast",
        threads: int = 1,
    ) -> None:
        inputs = [info.name] if audio_from is None else [info.name, audio_from]
        self.path = check_output_path(path, overwrite=overwrite, suffixes=_CONTAINERS, inputs=inputs)
        self.notes: list[str] = []
        self.frames = 0
        self._info = info
        self._draw = draw
        self._audio_from = audio_from if audio_from is not None and info.has_audio else None
        self._options = {"crf": str(crf), "preset": preset, "profile": "high"}
        self._threads = threads
        self._base = output_time_base(info)
        self._part: PartFile | None = None
        self._closed = False

    def write(self, packet: Packet) -> None:
        """Draw, encode and mux one packet."""
        if self._closed:
            raise ValueError("the sink is closed")
        image = self._draw(packet)
        if self._part is None:
            self._open(image, packet)
        check_array("the drawn picture", image, self._shape, np.uint8)
        picture = _to_yuv420(image)
        pts = self._pts(packet.frame.media_ns)
        picture.pts, picture.time_base = pts, self._base
        self._last_pts = pts
        try:
            with write_errors(self.path):
                self._mux(self._stream.encode(picture))
                if self._audio is not None:
                    self._audio.copy_until(packet.frame.media_ns)
        except BaseException:
            self._abandon()
            raise
        self.frames += 1

    def close(self) -> None:
        """Finish the file and move it into place; without a single frame there is none."""
        if self._closed:
            return
        self._closed = True
        part = self._part
        if part is None:
            return
        try:
            with write_errors(self.path):
                self._mux(self._stream.encode(None))
                if self._audio is not None:
                    self._audio.copy_rest(self._origin_ns + round((self._last_pts * self._base + 1 / self._info.fps) * NS))
                    self._audio.close()
                self._container.close()
            part.commit()
        except BaseException:
            part.discard()
            raise

    def _abandon(self) -> None:
        """Leave nothing behind after a failed write."""
        self._closed = True
        if self._part is not None:
            self._part.discard()
        if self._audio is not None:
            self._audio.close()

    def _open(self, image: np.ndarray, packet: Packet) -> None:
        check_array("the drawn picture", image, ("h", "w", 3), np.uint8)
        height, width = image.shape[:2]
        if max(width, height) > MAX_SIDE:
            message = f"the picture to write has {width}x{height} px, H.264 takes at most {MAX_SIDE} px a side"
            raise OutputError(message, "choose another --layout")
        self._shape = (height, width, 3)
        self._last_pts = -1
        self._origin_ns = packet.frame.media_ns if self._info.start_s > 0 else 0
        self._audio: AudioCopy | None = None
        self._part = PartFile(self.path)
        try:
            with write_errors(self.path):
                kind = _CONTAINERS[self.path.suffix.lower()]
                # The edit that delays a late first frame is counted in the movie's ticks: make them as fine as the track's.
                options = {} if kind == "matroska" else {"movflags": "+faststart", "movie_timescale": str(self._base.denominator)}
                self._container = av.open(f"file:{self._part.temporary}", "w", format=kind, container_options=options)
                self._stream = self._add_video(width + width % 2, height + height % 2)
                if self._audio_from is not None:
                    self._audio = AudioCopy(Path(self._audio_from), self._container, kind, self._origin_ns, self.notes)
        except BaseException:
            self._closed = True
            self._part.discard()
            raise

    def _add_video(self, width: int, height: int) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self._info.fps, options=self._options)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = self._base
        context.thread_count = self._threads
        context.color_range = 1
        if self._info.color is not None:
            context.color_primaries, context.color_trc, context.colorspace = self._info.color
        if self._info.pixel_aspect != 1 and self._shape[:2] == (self._info.height, self._info.width):
            context.sample_aspect_ratio = self._info.pixel_aspect
        return stream

    def _pts(self, media_ns: int) -> int:
        """The frame's tick in the output, back on the regular grid where the source's clock was too coarse for it."""
        time = Fraction(media_ns - self._origin_ns, NS)
        place = round(time * self._info.fps) / self._info.fps
        if abs(place - time) <= self._info.time_base / 2 + _ORIGIN and (place / self._base).denominator == 1:
            time = place
        return max(self._last_pts + 1, ns_to_ticks(round(time * NS), self._base))

    def _mux(self, packets: Sequence[MediaPacket]) -> None:
        step = max(1, round(1 / self._info.fps / self._base))
        for packet in packets:
            if not packet.duration:
                packet.duration = step
            self._container.mux(packet)


def _to_yuv420(image: np.ndarray) -> VideoFrame:
    """BGR to 4:2:0 with the BT.601 matrix, the inverse of what the source does; odd sides are padded."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    planes: np.ndarray = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    return VideoFrame.from_ndarray(planes, format="yuv420p")
