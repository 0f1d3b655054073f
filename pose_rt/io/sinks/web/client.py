"""A viewer without a browser: connects as a page does, decodes each picture and acknowledges it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import numpy as np

from .message import decode_frame

Presented = Callable[[np.ndarray, dict[str, Any]], None]


class LoopbackClient:
    """Reads a `WebView` on a thread of its own, for measurements and tests.

    Args:
        url: `WebView.url`.
        presented: called with each decoded picture, (h, w, 3) uint8 BGR, and the head of its message, before the picture is
            acknowledged; it runs on the client's thread at the moment at which a browser would draw.
        reported: called with each text message.

    Attributes:
        frames: pictures so far.
        error: what ended the connection, or None.
    """

    def __init__(self, url: str, presented: Presented | None = None, reported: Callable[[dict[str, Any]], None] | None = None) -> None:
        self._url = url
        self._presented = presented
        self._reported = reported
        self._loop = asyncio.new_event_loop()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._connected = threading.Event()
        self.frames = 0
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="pose-rt web client", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it is connected or about to be."""
        return self._thread.is_alive()

    def wait_connected(self, timeout_s: float = 10.0) -> None:
        """Return once the server has let this client in.

        Raises:
            ConnectionError: it has not.
        """
        if not self._connected.wait(timeout_s) or self.error is not None:
            raise ConnectionError(f"no connection to the browser view ({self.error or 'no answer'})")

    def send(self, **fields: Any) -> None:
        """Send a message as a page's button does."""
        socket = self._socket
        if socket is None:
            raise ConnectionError("not connected")
        asyncio.run_coroutine_threadsafe(socket.send_json(fields), self._loop).result(10.0)

    def close(self) -> None:
        """Leave; safe twice."""
        if self._thread.is_alive():
            if self._socket is not None:
                with suppress(RuntimeError):
                    asyncio.run_coroutine_threadsafe(self._socket.close(), self._loop)
            self._thread.join(5.0)

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._talk())
        except Exception as error:
            self.error = error
        finally:
            self._connected.set()
            self._loop.close()

    async def _talk(self) -> None:
        parts = urlsplit(self._url)
        origin = f"{parts.scheme}://{parts.netloc}"
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{origin}/ws", params=query, origin=origin, max_msg_size=0, compress=0) as socket,
        ):
            self._socket = socket
            self._connected.set()
            async for received in socket:
                if received.type is aiohttp.WSMsgType.BINARY:
                    head, picture = decode_frame(received.data)
                    self.frames += 1
                    if self._presented is not None:
                        self._presented(picture, head)
                    await socket.send_str(json.dumps({"type": "ack", "seq": head["seq"]}))
                elif received.type is aiohttp.WSMsgType.TEXT and self._reported is not None:
                    self._reported(received.json())
