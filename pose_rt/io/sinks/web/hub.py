"""Who is connected, and which frame each of them gets next. All of it runs on the server's event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiohttp import web

from ....stream.latency import LatencyMeter
from .message import Encoded

IN_FLIGHT = 2
"""Frames that may be on their way to a page: one on the wire while one is drawn. It bounds the age of the picture on a slow link."""
RECENT = 120


class Client:
    """One page: a place for the next frame (newest wins), one for the next report, and the frames it has not drawn yet."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.frame: Encoded | None = None
        self.flying: dict[int, Encoded] = {}
        self.last_seq = 0
        self._texts: list[str] = []
        self._report: str | None = None
        self._wake = asyncio.Event()

    @property
    def has_room(self) -> bool:
        return len(self.flying) < IN_FLIGHT

    def say(self, text: str) -> None:
        """Send a message that must not be lost."""
        self._texts.append(text)
        self._wake.set()

    def report(self, text: str) -> None:
        """Send a message that the next one of its kind replaces."""
        self._report = text
        self._wake.set()

    def show(self, frame: Encoded) -> None:
        """Send a frame, unless a newer one comes before the wire is free."""
        self.frame = frame
        self._wake.set()

    async def send_all(self, hub: Hub) -> None:
        """Send what is there, as fast as the page takes it, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._texts:
                await self.socket.send_str(self._texts.pop(0))
            if self._report is not None:
                text, self._report = self._report, None
                await self.socket.send_str(text)
            if self.frame is not None and self.has_room:
                frame, self.frame = self.frame, None
                self.flying[frame.seq], self.last_seq = frame, frame.seq
                hub.sent.add(frame.packet)
                hub.update_demand()
                await self.socket.send_bytes(frame.data)
                hub.bytes_sent += len(frame.data)


class Hub:
    """The pages of a server.

    Args:
        want: called with whether any page has room for a frame.
        newest: number of the newest packet there is.

    Attributes:
        sent, seen: ages when a frame was given to the wire, and when its page said that it was drawn (the way back included).
        bytes_sent: of all frames.
    """

    def __init__(self, want: Callable[[bool], None], newest: Callable[[], int]) -> None:
        self._want = want
        self._newest = newest
        self._wanted = False
        self._last: Encoded | None = None
        self.clients: set[Client] = set()
        self.sent = LatencyMeter(RECENT)
        self.seen = LatencyMeter(RECENT)
        self.bytes_sent = 0

    def add(self, client: Client) -> None:
        self.clients.add(client)
        self._offer_last(client)
        self.update_demand()

    def remove(self, client: Client) -> None:
        self.clients.discard(client)
        self.update_demand()

    def publish(self, frame: Encoded) -> None:
        """Give a new frame to every page that has room."""
        self._last = frame
        for client in self.clients:
            if client.has_room:
                client.show(frame)

    def report(self, compose: Callable[[], str]) -> None:
        """Give every page the figures of now; they are not made when nobody looks."""
        if self.clients:
            text = compose()
            for client in self.clients:
                client.report(text)

    def acknowledge(self, client: Client, seq: int) -> bool:
        """A page has drawn a frame; False: it was never sent one of this number."""
        frame = client.flying.pop(seq, None)
        if frame is None:
            return False
        self.seen.add(frame.packet, time.monotonic_ns())
        self._offer_last(client)
        self.update_demand()
        return True

    def update_demand(self) -> None:
        """Tell the encoder whether to go on, when that changes."""
        wanted = any(client.has_room for client in self.clients)
        if wanted != self._wanted:
            self._wanted = wanted
            self._want(wanted)

    async def dismiss(self, text: str, code: int) -> None:
        """Say goodbye and close every page's connection."""
        for client in list(self.clients):
            client.say(text)
        await asyncio.sleep(0)
        waiting = [asyncio.ensure_future(_part(client, code)) for client in self.clients]
        if waiting:
            await asyncio.wait(waiting, timeout=1.0)

    def _offer_last(self, client: Client) -> None:
        """The last frame at once, if it is still the newest and this page has not had it; else the encoder's next is on its way."""
        if self._last is not None and self._last.seq == self._newest() and self._last.seq > client.last_seq:
            client.show(self._last)


async def _part(client: Client, code: int) -> None:
    await client.socket.close(code=code)
