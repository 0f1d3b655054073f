"""A small RTSP camera on loopback (RFC 2326, RTP interleaved in the TCP connection): H.264 made in real time by PyAV."""

from __future__ import annotations

import base64
import socketserver
import struct
import threading
import time
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np

_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track0\r\n"
)


class RtspServer:
    """Streams to every client that plays until `cut` or `close`; a context manager. `password` belongs to the user "admin"."""

    def __init__(self, size: tuple[int, int] = (96, 64), fps: int = 30, password: str | None = None) -> None:
        self.size, self.fps, self.password = size, fps, password
        self._generation = 0
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError, av.error.FFmpegError):
                    outer._talk(self)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        user = f"admin:{password}@" if password else ""
        self.url = f"rtsp://{user}127.0.0.1:{self._server.server_address[1]}/live"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def cut(self) -> None:
        """Break every connection in mid-stream."""
        self._generation += 1

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()

    def _talk(self, client: socketserver.StreamRequestHandler) -> None:
        wanted = None if self.password is None else "Basic " + base64.b64encode(f"admin:{self.password}".encode()).decode()
        while line := client.rfile.readline():
            method = line.split()[0].decode()
            headers = {}
            while (text := client.rfile.readline().decode().strip()) != "":
                name, _, value = text.partition(":")
                headers[name.lower()] = value.strip()
            answer, body = {"CSeq": headers["cseq"]}, ""
            status = "200 OK"
            if wanted is not None and method != "OPTIONS" and headers.get("authorization") != wanted:
                status, answer["WWW-Authenticate"] = "401 Unauthorized", 'Basic realm="camera"'
            elif method == "OPTIONS":
                answer["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
            elif method == "DESCRIBE":
                body, answer["Content-Type"], answer["Content-Base"] = _SDP, "application/sdp", self.url + "/"
            elif method == "SETUP":
                answer |= {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"}
            elif method == "PLAY":
                answer |= {"Session": "1", "Range": "npt=0.000-"}
            answer["Content-Length"] = str(len(body))
            lines = "".join(f"{name}: {value}\r\n" for name, value in answer.items())
            client.wfile.write(f"RTSP/1.0 {status}\r\n{lines}\r\n{body}".encode())
            if method == "TEARDOWN":
                return
            if method == "PLAY" and status == "200 OK":
                self._stream(client)
                return

    def _stream(self, client: socketserver.StreamRequestHandler) -> None:
        class Interleaved:
            """FFmpeg's RTP muxer writes one packet a call; packet type 200 and above is RTCP."""

            def write(self, data: bytes) -> int:
                channel = int(200 <= data[1] <= 204)
                client.wfile.write(struct.pack(">cBH", b"$", channel, len(data)) + data)
                return len(data)

        generation, (width, height) = self._generation, self.size
        with av.open(Interleaved(), "w", format="rtp", options={"packetsize": "1200"}) as container:
            stream = container.add_stream("libx264", rate=self.fps, options={"tune": "zerolatency", "preset": "ultrafast", "g": "10"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            start, index = time.monotonic(), 0
            while generation == self._generation:
                image = np.full((height, width, 3), 40 + 2 * index % 160, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts, frame.time_base = index, Fraction(1, self.fps)
                container.mux(stream.encode(frame))
                index += 1
                time.sleep(max(0.0, start + index / self.fps - time.monotonic()))
