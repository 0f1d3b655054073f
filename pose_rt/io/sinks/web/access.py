"""Who may look: addresses, tokens, and the headers that keep other pages out."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from ....errors import UsageError

MIN_TOKEN = 16
"""Characters below which a token that a user chose can be guessed."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
    "Server": "pose-rt",
}


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine only."""
    if host == "localhost":
        return True
    address = _ip(host)
    return address is not None and address.is_loopback


def choose_token(host: str, token: str | None) -> str | None:
    """The token in use: the given one; else none on a loopback address and a random one (192 bits) on any other.

    Raises:
        UsageError: the given one is too short to keep anybody out.
    """
    if token is not None:
        if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable():
            message = f"the token of the browser view has {len(token)} characters, wanted at least {MIN_TOKEN} of ASCII"
            raise UsageError(message, "leave it out and one is made")
        return token
    return None if is_loopback(host) else secrets.token_urlsafe(24)


def same_token(given: str, wanted: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


class HostCheck:
    """Which Host headers are ours, so that a foreign name that was rebound to our address is refused (DNS rebinding).

    A rebinding needs a name: on an open address every IP literal is accepted, and the names that are this machine's. The port is
    not looked at, so that a tunnel may end on another one.

    Args:
        host: the address that is listened on.
        names: further names under which this machine is reached.
    """

    def __init__(self, host: str, names: Collection[str] = ()) -> None:
        self._open = not is_loopback(host)
        self._names = {"localhost", host.lower(), *(name.lower() for name in names)}
        if self._open:
            own = socket.gethostname().lower()
            self._names |= {own, f"{own}.local", socket.getfqdn().lower()}

    def __call__(self, header: str | None) -> bool:
        try:
            name = urlsplit(f"//{header or ''}").hostname
        except ValueError:
            return False
        if name is None:
            return False
        address = _ip(name)
        if address is not None:
            return self._open or address.is_loopback
        return name.rstrip(".") in self._names


def same_origin(origin: str | None, host: str | None) -> bool:
    """Whether a WebSocket was opened by a page that came from here; browsers send Origin and pages cannot change it."""
    try:
        parts = urlsplit(origin or "")
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and parts.netloc.lower() == (host or "").lower()


def headers_for(host: str | None) -> dict[str, str]:
    """Security headers of every answer: nothing is loaded, framed or connected to but this server."""
    sockets = f" ws://{host} wss://{host}" if host else ""  # 'self' covers WebSockets in new browsers only
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        f"connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {**_HEADERS, "Content-Security-Policy": policy}


def _ip(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
