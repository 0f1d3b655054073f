"""The HTTP and WebSocket server of the browser view: an event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from ....errors import OutputError
from ....stream.control import Control
from . import message
from .access import HostCheck, headers_for, same_origin, same_token
from .hub import Client, Hub

STATIC = Path(__file__).with_name("static")
MAX_MESSAGE = 512
"""Bytes of the longest message a page may send."""
HEARTBEAT_S = 15.0
_COOKIE = "pose_rt_token"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def static_files() -> dict[str, tuple[str, bytes]]:
    """{path of the URL: (type, gzipped content)} of everything that is served: a closed list, so no request names a file on disk."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if path.suffix in _TYPES:
            found["/" + path.relative_to(STATIC).as_posix()] = (_TYPES[path.suffix], gzip.compress(path.read_bytes(), 6, mtime=0))
    found["/"] = found.pop("/index.html")
    return found


class Server:
    """Serves the page and its WebSockets until `close`.

    Args:
        listener: bound socket.
        hub: who is connected and what they get.
        hello: first message to each page.
        hosts: which Host headers are ours.
        token: that every request must bring, or None.
        control: what the buttons of a page act on, or None.
        can_record: the page may switch the recording.
        max_clients: pages at once; the next is told 503.
    """

    def __init__(
        self,
        listener: socket.socket,
        hub: Hub,
        *,
        hello: str,
        hosts: HostCheck,
        token: str | None,
        control: Control | None,
        can_record: bool,
        max_clients: int,
    ) -> None:
        self._listener = listener
        self._hub = hub
        self._hello = hello
        self._hosts = hosts
        self._token = token
        self._control = control
        self._can_record = can_record and control is not None
        self._max_clients = max_clients
        self._port = listener.getsockname()[1]
        self._static = static_files()
        self._places = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="pose-rt web server", daemon=True)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def start(self) -> None:
        """Start the thread; returns when connections are taken."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise OutputError(f"the browser view cannot be served ({self._failure})") from self._failure

    def close(self) -> None:
        """Tell the pages that the run is over, and end the thread; safe twice."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop ended in between
                self._loop.call_soon_threadsafe(self._end)
            self._thread.join(5.0)

    def _end(self) -> None:
        if self._over is not None:
            self._over.set()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()
            self._listener.close()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _main(self) -> None:
        self._over = asyncio.Event()

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            refusal = self._refusal(request)
            return await handler(request) if refusal is None else refusal

        app = web.Application(middlewares=[guard])
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/ws", self._socket)
        app.router.add_get("/health", self._health)
        for path in self._static:
            app.router.add_get(path, self._file)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.SockSite(runner, self._listener).start()
            self._ready.set()
            await self._over.wait()
            await self._hub.dismiss(message.end(), WSCloseCode.GOING_AWAY)
        finally:
            await runner.cleanup()

    def _refusal(self, request: web.Request) -> web.Response | None:
        """What foreign names and wrong tokens get, before anything else is looked at; None: come in."""
        if not self._hosts(request.headers.get("Host")):
            return _refuse(403, "This name is not one of this view's. Open the address that pose-rt printed.")
        if self._token is None:
            return None
        cookie = f"{_COOKIE}_{self._port}"
        given = request.query.get("token")
        if not same_token(request.cookies.get(cookie, "") if given is None else given, self._token):
            return _refuse(403, "The token is missing or wrong. Open the whole address that pose-rt printed, with its token.")
        if given is not None and request.path == "/":
            # From the address into a cookie: it does not stay in the history, and scripts cannot read it.
            answer = web.Response(status=303, headers={"Location": "/"})
            answer.set_cookie(cookie, self._token, httponly=True, samesite="Strict", path="/")
            return answer
        return None

    async def _file(self, request: web.Request) -> web.StreamResponse:
        kind, content = self._static[request.path]
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=gzip.decompress(content), content_type=kind, charset="utf-8")
        return web.Response(
            body=content, content_type=kind, charset="utf-8", headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        )

    async def _health(self, request: web.Request) -> web.StreamResponse:
        """Why a WebSocket was refused, which a browser does not tell its page."""
        if self._places >= self._max_clients:
            return self._full()
        return web.Response(text="ready")

    def _full(self) -> web.Response:
        text = f"This view has room for {self._max_clients} pages, and all are in use. Close one and this page connects by itself."
        return _refuse(503, text, {"Retry-After": "5"})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if not same_origin(request.headers.get("Origin"), request.headers.get("Host")):
            return _refuse(403, "A page from another address may not connect.")
        if self._places >= self._max_clients:
            return self._full()
        self._places += 1  # taken before the first wait, so that two who come together cannot share the last one
        try:
            socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE, compress=False, timeout=1.0)
            await socket.prepare(request)
            await self._talk(socket)
        finally:
            self._places -= 1
        return socket

    async def _talk(self, socket: web.WebSocketResponse) -> None:
        client = Client(socket)
        client.say(self._hello)
        self._hub.add(client)
        sender = asyncio.ensure_future(client.send_all(self._hub))
        try:
            async for received in socket:
                if received.type is not WSMsgType.TEXT or not self._obey(client, received.data):
                    await socket.close(code=WSCloseCode.UNSUPPORTED_DATA)
        finally:
            self._hub.remove(client)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sender

    def _obey(self, client: Client, text: str) -> bool:
        """Act on a message of a page; False: it is none of those that there are."""
        try:
            asked: Any = json.loads(text)
        except (ValueError, RecursionError):
            return False
        kind = asked.get("type") if isinstance(asked, dict) else None
        if kind == "ack":
            return isinstance(asked.get("seq"), int) and self._hub.acknowledge(client, asked["seq"])
        if kind == "record" and isinstance(asked.get("on"), bool):
            if self._can_record and self._control is not None:
                self._control.recording = asked["on"]
            return True
        if kind == "stop":
            if self._control is not None:
                self._control.stop()
            return True
        return False


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(headers_for(request.headers.get("Host")))


def _refuse(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"pose-rt: {text}\n", headers=headers)
