"""Copies the sound of one file into another as it is, packet by packet, without decoding it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet as MediaPacket

from ..media import NS, frame_rate, ns_to_ticks, open_media, ticks_to_ns

# What a container takes and players of that container play.
_PLAYABLE = {"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"}


class AudioCopy:
    """The audio streams of `path` on their way into `output`.

    Args:
        path: the source file.
        output: a container whose header is not written yet.
        kind: its format, such as "mp4".
        origin_ns: media time of the source that becomes 0.
        notes: takes a sentence about each stream that cannot be copied.
    """

    def __init__(self, path: Path, output: OutputContainer, kind: str, origin_ns: int, notes: list[str]) -> None:
        self._output = output
        self._notes = notes
        self._origin_ns = origin_ns
        self._streams: dict[int, AudioStream] = {}
        self._source = open_media(path)
        self._start_ns = round((self._source.start_time or 0) * NS / av.time_base)
        for stream in self._source.streams.audio:
            self._add(stream, kind)
        self._packets = self._read()
        self._waiting: tuple[MediaPacket, int] | None = None

    def _add(self, stream: AudioStream, kind: str) -> None:
        context = stream.codec_context
        codec = context.codec.canonical_name if context is not None else "an unknown format"
        described = context is not None and context.sample_rate > 0 and context.layout.nb_channels > 0
        if described and (codec in _PLAYABLE or kind == "matroska"):
            try:
                self._streams[stream.index] = self._output.add_stream_from_template(stream)
                return
            except (ValueError, av.error.FFmpegError):
                pass
        self._notes.append(f"the sound in {codec} cannot be copied into this kind of file and was left out; an .mkv output may take it")

    def _read(self) -> Iterator[tuple[MediaPacket, int]]:
        """Packets with their media time, up to the end of the file or the place where it breaks off."""
        if not self._streams:
            return
        wanted = [s for s in self._source.streams.audio if s.index in self._streams]
        if self._origin_ns:
            try:
                self._source.seek((self._start_ns + self._origin_ns) * av.time_base // NS)
            except av.error.FFmpegError:
                self._source.seek(0)
        try:
            for packet in self._source.demux(wanted):
                if packet.dts is None or packet.pts is None:
                    continue
                time = ticks_to_ns(packet.pts, packet.time_base) - self._start_ns
                if not self._origin_ns or time >= self._origin_ns:
                    yield packet, time
        except av.error.FFmpegError:
            self._notes.append("the sound breaks off early: the file is truncated or damaged")

    def copy_until(self, media_ns: int) -> None:
        """Copy what starts before `media_ns`."""
        while True:
            if self._waiting is None:
                self._waiting = next(self._packets, None)
            if self._waiting is None or self._waiting[1] >= media_ns:
                return
            packet, self._waiting = self._waiting[0], None
            self._mux(packet)

    def copy_rest(self, end_ns: int) -> None:
        """Copy up to the end of the picture, or all that is left where the picture was written to its end."""
        self.copy_until(1 << 62 if end_ns >= self._picture_end_ns() else end_ns)

    def _picture_end_ns(self) -> int:
        for video in self._source.streams.video:
            if video.duration and video.time_base:
                return ticks_to_ns(video.duration, video.time_base) - round(1.5 * NS / frame_rate(video))
        return round((self._source.duration or 0) * NS / av.time_base) - NS // 10

    def _mux(self, packet: MediaPacket) -> None:
        index = packet.stream_index
        if index not in self._streams:
            return
        shift = ns_to_ticks(self._start_ns + self._origin_ns, packet.time_base)
        if packet.pts is not None and packet.dts is not None:
            packet.pts -= shift
            packet.dts -= shift
        packet.stream = self._streams[index]
        try:
            self._output.mux(packet)
        except av.error.FFmpegError as error:
            if error.errno in (errno.EINVAL, None) or isinstance(error, av.error.InvalidDataError):
                del self._streams[index]
                self._notes.append("the sound is damaged and was copied only up to there")
                return
            raise

    def close(self) -> None:
        self._source.close()
