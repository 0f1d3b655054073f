"""What all tests share."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    # A shell starts what it sends into the background with SIGINT ignored, and children inherit that: Ctrl-C could not be tested.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
