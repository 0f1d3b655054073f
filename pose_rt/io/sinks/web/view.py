"""The browser view as a sink: what the run's thread calls, and nothing that could make it wait."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlencode

from ....core.types import Packet
from ....errors import OutputError, UsageError
from ....stream.control import Control
from ....stream.latency import LatencyMeter
from ....stream.protocols import Status
from ...draw.style import Style
from . import message
from .access import HostCheck, choose_token
from .encoder import Encoder

if TYPE_CHECKING:
    from .message import Encoded

T = TypeVar("T")
REPORT_S = 0.25
RECENT = 120
"""Frames over which the figures of the page are taken: four seconds at 30 fps."""


class WebView:
    """Serves a page with the annotated stream, the people in 3D, charts of latency and drops, and buttons.

    `write` keeps a reference to the packet; encoding and sending run on two threads of their own, with the newest packet only, and not
    at all while no page is open. A page that is slow, asleep or gone costs the run nothing.

    Args:
        host: address to listen on; one that other machines reach needs a token.
        port: 0 takes a free one, see `port`.
        token: that every visitor must bring; None: none on a loopback address, a random one elsewhere.
        control: acted on by the buttons; without it there are none.
        style: colours, thresholds and how many hypotheses and futures are sent.
        title: of the page, such as the name of the source (without credentials).
        recorder: there is a recorder that heeds `control.recording`.
        max_clients: pages at once.
        max_width: px of the picture that is sent; larger ones are made smaller.
        quality: of the JPEGs, 1 to 100.
        names: further host names under which this machine is reached.

    Raises:
        UsageError: an address that is not this machine's, a token that is too short, or aiohttp is not installed.
        OutputError: the port is in use or not allowed.

    Attributes:
        port: that is listened on.
        token: in use, or None.
        url: to open, with the token in it.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8080,
        *,
        token: str | None = None,
        control: Control | None = None,
        style: Style | None = None,
        title: str = "pose-rt",
        recorder: bool = False,
        max_clients: int = 8,
        max_width: int = 960,
        quality: int = 75,
        names: Collection[str] = (),
    ) -> None:
        try:
            from .hub import Hub
            from .server import Server
        except ModuleNotFoundError as error:
            raise UsageError(f"the browser view needs {error.name}", "install it with: pip install 'pose-rt[web]'") from error
        style = style or Style()
        self.token = choose_token(host, token)
        listener = _listen(host, port)
        self.host, self.port = host, int(listener.getsockname()[1])
        self._control = control
        self._meter = LatencyMeter(RECENT)
        self._status = Status("open", 0, 0, 0, 0)
        self._started = time.monotonic()
        self._next_report = self._last_packet = 0.0
        self._max_clients = max_clients
        self._closed = False
        self._encoder = Encoder(self._deliver, style, max_width=max_width, quality=quality)
        self._hub = Hub(self._encoder.want, lambda: self._encoder.offered)
        self._server = Server(
            listener,
            self._hub,
            hello=message.hello(style, title, can_record=recorder and control is not None, can_stop=control is not None),
            hosts=HostCheck(host, names),
            token=self.token,
            control=control,
            can_record=recorder,
            max_clients=max_clients,
        )
        self._frames: Mailbox[Encoded] = Mailbox(self._call, self._hub.publish)
        self._reports: Mailbox[Callable[[], str]] = Mailbox(self._call, self._hub.report)
        self._server.start()
        self._encoder.start()

    @property
    def url(self) -> str:
        """What to open in a browser: on this machine, or for an open address from anywhere in its network."""
        host = self.host if self.host not in ("0.0.0.0", "::", "") else _own_address(self.host)
        query = f"?{urlencode({'token': self.token})}" if self.token is not None else ""
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/{query}"

    @property
    def clients(self) -> int:
        """Pages that are connected."""
        return len(self._hub.clients)

    def write(self, packet: Packet) -> None:
        """Note the age of a packet and leave it for the encoder."""
        if self._closed:
            raise ValueError("the sink is closed")
        if self._encoder.error is not None:
            raise OutputError(f"the browser view cannot encode a picture ({self._encoder.error})") from self._encoder.error
        self._meter.add(packet)
        self._last_packet = time.monotonic()
        self._encoder.offer(packet)

    def tick(self, status: Status) -> None:
        """Note how the run stands and, four times a second, send it to the pages."""
        self._status = status
        now = time.monotonic()
        if self._closed or now < self._next_report or not self._hub.clients:
            return
        self._next_report = now + REPORT_S
        figures = self._meter.summary()
        idle = now - self._last_packet if self._last_packet else now - self._started
        recording = None if self._control is None else self._control.recording
        status = self._status

        def compose() -> str:
            hub = self._hub
            return message.stats(
                figures,
                **status._asdict(),
                idle=round(1e3 * idle),
                recording=recording,
                sent=message.ages(hub.sent.summary()),
                seen=message.ages(hub.seen.summary()),
                clients=len(hub.clients),
                max_clients=self._max_clients,
                bytes=hub.bytes_sent,
                encoded=self._encoder.encoded,
            )

        self._reports.put(compose)

    def close(self) -> None:
        """Tell the pages that the run is over and free the port; safe twice."""
        if self._closed:
            return
        self._closed = True
        self._encoder.close()
        self._server.close()

    def _deliver(self, frame: Encoded) -> None:
        self._frames.put(frame)

    def _call(self, function: Callable[[], None]) -> None:
        self._server.loop.call_soon_threadsafe(function)


class Mailbox(Generic[T]):
    """Hands the newest value from any thread to a function on the event loop: however slow the loop is, one value waits."""

    def __init__(self, call: Callable[[Callable[[], None]], None], receive: Callable[[T], None]) -> None:
        self._call = call
        self._receive = receive
        self._lock = threading.Lock()
        self._waiting: list[T] = []

    def put(self, value: T) -> None:
        with self._lock:
            called = bool(self._waiting)
            self._waiting[:] = [value]
        if not called:
            try:
                self._call(self._take)
            except RuntimeError:  # the loop has ended: nobody looks any more
                return

    def _take(self) -> None:
        with self._lock:
            (value,), self._waiting = self._waiting, []
        self._receive(value)


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket, or one sentence about why there is none."""
    if not 0 <= port <= 65535:
        raise UsageError(f"the port is {port}, wanted 0 to 65535")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(f"the address '{host}' is not known ({error})", "give --host 127.0.0.1 or one of this machine") from error
    try:
        return socket.create_server(address[:2], family=family, backlog=64)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OutputError(f"port {port} of {host} is in use", "choose another with --port, or --port 0 for any free one") from error
        if error.errno == errno.EACCES:
            raise OutputError(f"port {port} is not allowed for this user", "choose one above 1023 with --port") from error
        if error.errno == errno.EADDRNOTAVAIL:
            message = f"the address '{host}' is not one of this machine"
            raise UsageError(message, "give --host 127.0.0.1, or 0.0.0.0 for all of them") from error
        raise OutputError(f"the browser view cannot listen on {host} port {port} ({error.strerror})") from error


def _own_address(any_address: str) -> str:
    """The address under which others reach this machine, by the route to a documentation network; no packet is sent."""
    family, target = (socket.AF_INET6, "2001:db8::1") if any_address == "::" else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()
