"""RTSP, RTMP and HTTP streams through PyAV: allowed protocols only, bounded waits, little buffering, and no secrets in messages."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator
from fractions import Fraction
from urllib.parse import urlsplit

import av
import av.error
from av.container import InputContainer
from av.packet import Packet as MediaPacket
from av.video.frame import VideoFrame

from ...errors import InputError, UsageError
from ..media import MAX_PIXELS, BgrConverter, frame_rate, orientation, ticks_to_ns, video_stream
from .address import redact
from .live import DeviceLost, Grab

OPEN_S, READ_S = 10.0, 5.0
"""Longest wait for a connection, and for the next data of one."""
_PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp,http",
    "rtsps": "rtsp,rtp,udp,tcp,tls,crypto",
    "rtmp": "rtmp,rtmpt,ffrtmphttp,tcp,http",
    "rtmps": "rtmps,rtmpts,ffrtmphttp,tcp,tls,https",
    "http": "http,tcp,httpproxy",
    "https": "http,https,tcp,tls,httpproxy",
}
_DEMUXERS = "rtsp,rtp,sdp,flv,live_flv,mpegts,mpjpeg,mjpeg,matroska,webm,mov,mp4,h264,hevc,mpegvideo,ogg"
_LOW_LATENCY = {"fflags": "nobuffer", "flags": "low_delay", "probesize": "500000", "analyzeduration": "1000000", "max_delay": "100000"}


class NetworkStream:
    """An open connection; a `live.Device`.

    A picture's capture time is the arrival of the data it was decoded from. Damaged data is skipped until a picture decodes again.

    Args:
        url: may hold credentials; they go to the server and nowhere else.

    Raises:
        UsageError: a stored video instead of a live stream.
        InputError: no connection, refused credentials, or no video in it.
    """

    def __init__(self, url: str, *, open_s: float = OPEN_S, read_s: float = READ_S) -> None:
        self.notes: list[str] = []
        self._shown = redact(url)
        self._read_s = read_s
        self._using = threading.Lock()  # FFmpeg takes no close while another thread reads
        self._stop = False
        self._container = self._open(url, open_s)
        try:
            self._stream = video_stream(self._container, self._shown)
            if (self._container.duration or 0) > 0:
                message = f"{self._shown} is a stored video, wanted a live stream"
                raise UsageError(message, "download it, then: pose-rt webcam FILE --realtime")
            self._stream.codec_context.thread_count = 1  # frame threads hold pictures back
            self._stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            self.fps = frame_rate(self._stream)
        except BaseException:
            self._container.close()
            raise
        self._base = Fraction(self._stream.time_base or Fraction(1, 90000))
        self._convert = BgrConverter()
        self._arrivals: deque[tuple[int | None, int]] = deque(maxlen=64)
        self._frames = self._decode()

    def _open(self, url: str, open_s: float) -> InputContainer:
        scheme = urlsplit(url).scheme.lower()
        options = {"protocol_whitelist": _PROTOCOLS[scheme], "format_whitelist": _DEMUXERS, **_LOW_LATENCY}
        if scheme.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # lost datagrams are broken pictures
        try:
            return av.open(url, options={"max_pixels": str(MAX_PIXELS)}, container_options=options, timeout=(open_s, self._read_s))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            failure = self._failure(error)
        raise failure  # outside of `except`: FFmpeg's own error names the whole address, and would be shown as its cause

    def _failure(self, error: Exception) -> InputError:
        """FFmpeg's error without the address, which may hold a password."""
        name = self._shown
        if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
            return InputError(
                f"{name} refused the user or password", "write them as rtsp://USER:PASSWORD@HOST/PATH (special characters as %XX)"
            )
        if isinstance(error, av.error.HTTPNotFoundError):
            return InputError(f"{name} is not there: the server knows no such stream", "check the path of the address")
        if isinstance(error, (av.error.ExitError, TimeoutError)):
            return InputError(f"{name} did not answer in time", "check the address, and that the camera is on and reachable")
        if isinstance(error, ConnectionRefusedError):
            return InputError(f"{name} refused the connection: nothing listens there", "check host and port of the address")
        why = getattr(error, "strerror", None) or type(error).__name__
        return InputError(f"{name} cannot be opened ({why})", "check the address; it must be an RTSP, RTMP, MPEG-TS, MJPEG or FLV stream")

    def read(self) -> Grab:
        """The next picture.

        Raises:
            DeviceLost: the connection broke, timed out or ended.
        """
        with self._using:
            try:
                frame, captured = next(self._frames)
                image = orientation(frame).apply(self._convert(frame))
            except StopIteration:
                raise DeviceLost("the stream ended") from None
            except (av.error.ExitError, TimeoutError):
                raise DeviceLost(f"nothing came for {self._read_s:g} s") from None
            except (av.error.FFmpegError, OSError, ValueError) as error:
                raise DeviceLost(getattr(error, "strerror", None) or type(error).__name__) from None
        return Grab(image, captured, None if frame.pts is None else ticks_to_ns(frame.pts, self._base))

    def close(self) -> None:
        """Close the connection, after the read in work."""
        self._stop = True
        if self._using.acquire(timeout=self._read_s):
            try:
                self._frames.close()
                self._container.close()
            finally:
                self._using.release()

    def _decode(self) -> Generator[tuple[VideoFrame, int], None, None]:
        for packet in self._container.demux(self._stream):
            now = time.monotonic_ns()
            if self._stop:
                return
            self._arrivals.append((packet.pts, now))
            for frame in self._pictures(packet):
                yield frame, self._arrival(frame.pts, now)

    def _pictures(self, packet: MediaPacket) -> list[VideoFrame]:
        try:
            return packet.decode()
        except av.error.EOFError:
            return []
        except (av.error.FFmpegError, ValueError):
            return []  # a damaged packet: the next key frame repairs it

    def _arrival(self, pts: int | None, now: int) -> int:
        """When the data of a picture came: pictures leave a decoder in another order than their data enters it."""
        return next((time for stamp, time in self._arrivals if pts is not None and stamp == pts), now)
