"""Frames of a video file, with the file's own time stamps, turned as its metadata says."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av.error
from av.container import InputContainer
from av.packet import Packet as MediaPacket
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...core.types import Frame
from ...errors import InputError, UsageError
from ...stream.protocols import ColorTags, SourceInfo
from ..media import MAX_PIXELS, NS, BgrConverter, Orientation, Timeline, check_size, frame_rate, open_media, orientation, video_stream
from ..pictures import fit
from .base import check_media_path

_DEMUX_RETRIES = 8
_EDGE_NS = 1_000_000  # a frame this close before a limit counts as on it: limits are typed in decimals, frames lie at thirds


class VideoSource:
    """Decodes a file in order, with one thread by default, which costs least CPU time.

    The first frame is decoded on construction, so that a file that cannot be used is refused before any output exists. A frame of
    another size than the first is scaled into the first one's size, its shape kept. What was repaired, skipped or missing stands
    in `notes` after the last frame.

    Args:
        path: a local file.
        start_s: media time of the first frame wanted.
        duration_s: frames from `start_s + duration_s` on are left out; None: to the end.
        max_frames: at most this many frames; None: all.
        threads: of the decoder; more give a higher rate for more CPU time in sum.

    Raises:
        UsageError: no such file, a directory, an address, or limits that leave nothing.
        InputError: not a video, no frame that decodes, or pictures too large.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        start_s: float = 0.0,
        duration_s: float | None = None,
        max_frames: int | None = None,
        threads: int = 1,
    ) -> None:
        for name, value in (("start", start_s), ("duration", duration_s), ("max-frames", max_frames)):
            if value is not None and not (0 <= value < 1e9 and (name == "start" or value > 0)):
                raise UsageError(f"{name} is {value}, wanted a number {'from' if name == 'start' else 'over'} 0", f"change --{name}")
        self.notes: list[str] = []
        self._path = check_media_path(path)
        self._start_ns = round(start_s * NS)
        self._end_ns = None if duration_s is None else self._start_ns + round(duration_s * NS)
        self._max_frames = max_frames
        self._threads = threads
        self._closed = threading.Event()
        self._container = open_media(self._path)
        try:
            self._stream = video_stream(self._container, self._path)
            self._rate = frame_rate(self._stream)
            self.info = self._describe(start_s)
            self._frames: Generator[Frame, None, None] | None = self._decode()
            self._first: Frame | None = next(self._frames, None)
            if self._first is None:
                raise self._nothing()
            self.info = replace(self.info, width=self._first.width, height=self._first.height)
        except BaseException:
            self._container.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        """The frames, once; a second iteration gives none."""
        frames, first = self._frames, self._first
        self._frames = self._first = None
        if frames is None or first is None:
            return
        try:
            if not self._closed.is_set():
                yield replace(first, captured_ns=time.monotonic_ns())
            del first
            yield from frames
        finally:
            frames.close()

    def close(self) -> None:
        """End the iteration after the frame in work; the file is closed by the thread that reads it."""
        self._closed.set()
        frames, self._frames, self._first = self._frames, None, None
        if frames is not None:
            frames.close()
            self._container.close()

    def _describe(self, start_s: float) -> SourceInfo:
        stream, container = self._stream, self._container
        duration = None
        if stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        elif container.duration and container.duration > 0:
            duration = container.duration / av.time_base
        length = stream.frames or (round(duration * self._rate) if duration else None)
        if duration is not None:
            wanted = max(0.0, duration - start_s)
            if self._end_ns is not None:
                wanted = min(wanted, (self._end_ns - self._start_ns) / NS)
            if wanted < duration:
                duration, length = wanted, round(wanted * self._rate)
        if self._max_frames is not None:
            length = self._max_frames if length is None else min(length, self._max_frames)
            duration = float(length / self._rate) if duration is None else min(duration, float(length / self._rate))
        context = stream.codec_context
        return SourceInfo(
            width=context.width,
            height=context.height,
            fps=self._rate,
            live=False,
            length=length,
            duration_s=duration,
            name=str(self._path),
            has_audio=bool(container.streams.audio),
            time_base=Fraction(stream.time_base) if stream.time_base else 1 / self._rate,
            start_s=start_s,
        )

    def _nothing(self) -> InputError | UsageError:
        if self._start_ns and self.info.duration_s == 0:
            return UsageError(f"'{self._path}' ends before the start asked for, {self._start_ns / NS:g} s", "choose a smaller --start")
        if self._start_ns:
            return InputError(f"'{self._path}' has no frame that decodes from {self._start_ns / NS:g} s on", "choose a smaller --start")
        cure = f"play it to see whether it is damaged, convert it to H.264, and scale pictures over {MAX_PIXELS >> 20} Mpx down"
        return InputError(f"'{self._path}' has no frame that decodes", cure)

    def _decode(self) -> Generator[Frame, None, None]:
        """Frames within the limits. Notes are added when the file ends by itself."""
        stream, container = self._stream, self._container
        step_ns = round(NS / self._rate)
        start_time = container.start_time or 0
        timeline = Timeline(self.info.time_base, step_ns, round(start_time * NS / av.time_base), self._start_ns)
        convert = BgrConverter()
        turn: Orientation | None = None
        stored: tuple[int, int] | None = None
        index = decoded = rescaled = 0
        reader = _PacketReader(container, stream, self._closed)
        self._prepare(stream, start_time)
        try:
            for raw in reader.frames():
                decoded += 1
                media_ns = timeline(raw.pts, raw.dts)
                if media_ns + _EDGE_NS < self._start_ns:
                    continue
                if self._end_ns is not None and media_ns + _EDGE_NS >= self._end_ns:
                    return
                if turn is None or stored is None:
                    turn, stored = orientation(raw), (raw.width, raw.height)
                    check_size(*stored, self._path)
                    self.info = replace(self.info, rotation=raw.rotation, pixel_aspect=_aspect(stream, turn), color=_color(raw))
                image = convert(raw)
                if (raw.width, raw.height) != stored:
                    image = fit(image, stored)
                    rescaled += 1
                yield Frame(turn.apply(image), index, media_ns, time.monotonic_ns())
                index += 1
                if index == 2:
                    # A frame whose side data was read refers to itself: the first one would stay for minutes, one more with every loop.
                    gc.collect(1)
                if index == self._max_frames:
                    return
            if not self._closed.is_set():
                self._report(decoded, rescaled, timeline.repaired, reader)
        except (av.error.FFmpegError, MemoryError) as error:
            raise InputError(f"'{self._path}' cannot be decoded ({error})", "convert it to H.264 and try again") from error
        finally:
            container.close()

    def _prepare(self, stream: VideoStream, start_time: int) -> None:
        stream.codec_context.thread_count = self._threads
        stream.codec_context.thread_type = "NONE" if self._threads == 1 else "AUTO"
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        if self._start_ns:
            try:
                self._container.seek(start_time + self._start_ns * av.time_base // NS)
            except av.error.FFmpegError:
                self.notes.append("the file cannot be searched, so it was read from its beginning")

    def _report(self, decoded: int, rescaled: int, repaired: int, reader: _PacketReader) -> None:
        expected = self._stream.frames - reader.discarded
        if not self._start_ns and decoded < expected and (reader.errors or reader.broke_off or decoded + 2 < expected):
            share = 100 * decoded / expected
            self.notes.append(f"{decoded} of {expected} frames ({share:.0f} %) could be decoded: the file is truncated or damaged")
        elif reader.broke_off:
            self.notes.append(f"reading broke off after {decoded} frames: the file is truncated or damaged")
        if reader.errors:
            self.notes.append(f"{reader.errors} damaged packets were skipped")
        if repaired:
            self.notes.append(f"{repaired} missing, repeated or backward time stamps were repaired")
        if rescaled:
            self.notes.append(f"{rescaled} frames of another size were scaled to {self.info.width}x{self.info.height}")


class _PacketReader:
    """Demuxes and decodes one stream, stepping over damaged packets."""

    def __init__(self, container: InputContainer, stream: VideoStream, stop: threading.Event) -> None:
        self._container = container
        self._stream = stream
        self._stop = stop
        self.errors = 0
        self.discarded = 0
        self.broke_off = False

    def frames(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            self.discarded += packet.is_discard
            try:
                frames = packet.decode()
            except av.error.EOFError:
                continue
            except (av.error.FFmpegError, ValueError):
                self.errors += 1
                continue
            frames.reverse()
            while frames:
                if self._stop.is_set():
                    return
                yield frames.pop()

    def _packets(self) -> Iterator[MediaPacket]:
        """The stream's packets and the flush at the end, which comes also where the file breaks off."""
        for _ in range(_DEMUX_RETRIES):
            try:
                yield from self._container.demux(self._stream)
                return
            except av.error.FFmpegError:
                self.broke_off = True
        flush = MediaPacket()
        flush.stream = self._stream
        yield flush


def _aspect(stream: VideoStream, turn: Orientation) -> Fraction:
    aspect = Fraction(stream.codec_context.sample_aspect_ratio or 1)
    if not Fraction(1, 16) <= aspect <= 16:
        return Fraction(1)
    return 1 / aspect if turn.transpose else aspect


def _color(frame: VideoFrame) -> ColorTags | None:
    """The tags to pass on, or those of what the sink writes (BT.601) where the file stores no YUV."""
    if frame.format.is_rgb or frame.colorspace == 0:
        return ColorTags(1, 13, 6)
    tags = ColorTags(int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace))
    return None if tags == ColorTags() else tags
