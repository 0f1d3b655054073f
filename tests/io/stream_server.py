"""A real camera stream on loopback: MPEG-TS over HTTP, made in real time, that can be cut, refused and changed in size."""

from __future__ import annotations

import base64
import threading
import time
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import av
import numpy as np


class StreamServer:
    """Serves every client its own stream of moving pictures until `cut` or `close`; a context manager.

    `size` is that of streams begun from now on, `up` whether new clients get one, `password` of user "admin" or None.
    """

    def __init__(self, size: tuple[int, int] = (96, 64), fps: int = 30, password: str | None = None) -> None:
        self.size, self.fps, self.password, self.up = size, fps, password, True
        self._generation = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._serve(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        user = f"admin:{self.password}@" if self.password else ""
        return f"http://{user}127.0.0.1:{self.port}/live.ts"

    def cut(self) -> None:
        """Break every connection in mid-stream."""
        self._generation += 1

    def close(self) -> None:
        self.up = False
        self.cut()
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> StreamServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        if not self.up:
            request.send_error(503)
            return
        wanted = None if self.password is None else "Basic " + base64.b64encode(f"admin:{self.password}".encode()).decode()
        if wanted is not None and request.headers.get("Authorization") != wanted:
            request.send_response(401)
            request.send_header("WWW-Authenticate", 'Basic realm="camera"')
            request.end_headers()
            return
        request.send_response(200)
        request.send_header("Content-Type", "video/mp2t")
        request.end_headers()
        with suppress(OSError, av.error.FFmpegError):  # the client has gone
            self._stream(request.wfile)

    def _stream(self, out: Any) -> None:
        generation, (width, height) = self._generation, self.size
        with av.open(out, "w", format="mpegts", options={"flush_packets": "1"}) as container:
            stream = container.add_stream("libx264", rate=self.fps, options={"tune": "zerolatency", "preset": "ultrafast", "g": "10"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            start = time.monotonic()
            index = 0
            while generation == self._generation:
                image = np.full((height, width, 3), 40 + 2 * index % 160, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts, frame.time_base = index, Fraction(1, self.fps)
                container.mux(stream.encode(frame))
                index += 1
                time.sleep(max(0.0, start + index / self.fps - time.monotonic()))
