"""An annotated H.264 video that browsers play, with the source's time stamps and sound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from av.container import OutputContainer
from av.packet import Packet as MediaPacket
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...core.checks import check_array
from ...core.types import Packet
from ...errors import OutputError
from ...stream.protocols import SourceInfo
from ..media import MAX_SIDE, NS, ns_to_ticks
from ..output import OpenFile, PartFile, check_output_path, write_errors
from .audio import AudioCopy

_MIN_TICKS, _MAX_TICKS = 10_000, 10_000_000  # a second
_ORIGIN = Fraction(1, 1_000_000)  # FFmpeg gives the start of a file in whole microseconds
_CODE_POINTS = (range(1, 13), range(1, 19), range(1, 13))  # primaries, transfer, matrix that x264 writes; 3 is reserved, 2 unknown
_FRAGMENT_S = 1
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}


def _known(value: int, allowed: range) -> int:
    return value if value in allowed and value != 3 else 2


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
        crash_safe: write under the final name from the start, in fragments of a second that play without what follows them; a failed
            write keeps the fragments before it.

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
        crash_safe: bool = False,
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
        self._crash_safe = crash_safe
        if crash_safe:
            self._options |= {"tune": "zerolatency", "g": str(max(1, round(_FRAGMENT_S * info.fps)))}
        self._base = output_time_base(info)
        self._part: PartFile | OpenFile | None = None
        self._container: OutputContainer | None = None
        self._audio: AudioCopy | None = None
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
            with self._errors():
                self._mux(self._stream.encode(picture))
                if self._audio is not None:
                    self._audio.copy_until(packet.frame.media_ns)
        except Exception:
            self._abandon()
            raise
        self.frames += 1

    def close(self) -> None:
        """Finish the file and move it into place; without a single frame there is none."""
        if self._closed:
            return
        self._closed = True
        part, container = self._part, self._container
        if part is None or container is None:
            return
        try:
            with self._errors():
                self._mux(self._stream.encode(None))
                if self._audio is not None:
                    self._audio.copy_rest(self._origin_ns + round((self._last_pts * self._base + 1 / self._info.fps) * NS))
                    self._audio.close()
                container.close()
            part.commit()
        except BaseException:
            part.discard()
            raise

    def _abandon(self) -> None:
        """Leave nothing behind after a failed write."""
        self._closed = True
        if self._audio is not None:
            self._audio.close()
        if self._container is not None:
            with suppress(av.error.FFmpegError, OSError):  # the disk may still be full
                self._container.close()
        if self._part is not None:
            self._part.discard()

    def _open(self, image: np.ndarray, packet: Packet) -> None:
        check_array("the drawn picture", image, ("h", "w", 3), np.uint8)
        height, width = image.shape[:2]
        if max(width, height) > MAX_SIDE:
            message = f"the picture to write has {width}x{height} px, H.264 takes at most {MAX_SIDE} px a side"
            raise OutputError(message, "choose another --layout")
        self._shape = (height, width, 3)
        self._last_pts = -1
        self._origin_ns = packet.frame.media_ns if self._info.start_s > 0 else 0
        self._part = OpenFile(self.path) if self._crash_safe else PartFile(self.path)
        try:
            with self._errors():
                try:
                    self._start(self._audio_from)
                except av.error.FFmpegError as error:
                    if self._audio is None or isinstance(error, OSError):
                        raise
                    self._audio.close()
                    self._audio = None
                    self.notes.append(f"the sound cannot be copied and was left out ({error.strerror})")
                    self._start(None)
        except BaseException:
            self._abandon()
            raise

    def _start(self, audio_from: str | Path | None) -> None:
        """Open the container, add its streams and write its header."""
        assert self._part is not None
        kind = _CONTAINERS[self.path.suffix.lower()]
        # The edit that delays a late first frame is counted in the movie's ticks: make them as fine as the track's.
        options = {} if kind == "matroska" else {"movflags": "+faststart", "movie_timescale": str(self._base.denominator)}
        if self._crash_safe and kind == "matroska":
            options |= {"flush_packets": "1", "cluster_time_limit": str(1000 * _FRAGMENT_S)}
        elif self._crash_safe:
            options |= {"flush_packets": "1", "movflags": "+frag_keyframe+empty_moov+default_base_moof"}
        container = av.open(f"file:{self._part.temporary}", "w", format=kind, container_options=options)
        self._container = container
        self._stream = self._add_video(container, self._shape[1] + self._shape[1] % 2, self._shape[0] + self._shape[0] % 2)
        if audio_from is not None:
            self._audio = AudioCopy(Path(audio_from), container, kind, self._origin_ns, self.notes)
        container.start_encoding()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with write_errors(self.path):
            try:
                yield
            except av.error.FFmpegError as error:
                if isinstance(error, OSError):
                    raise
                raise OutputError(
                    f"'{self.path}' cannot be encoded ({error.strerror})", "try another ending such as .mkv, or --duration"
                ) from error

    def _add_video(self, container: OutputContainer, width: int, height: int) -> VideoStream:
        stream = container.add_stream("libx264", rate=self._info.fps, options=self._options)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = self._base
        context.thread_count = self._threads
        context.color_range = 1
        if self._info.color is not None:
            tags = (_known(v, allowed) for v, allowed in zip(self._info.color, _CODE_POINTS, strict=True))
            context.color_primaries, context.color_trc, context.colorspace = tags
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
        assert self._container is not None
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
