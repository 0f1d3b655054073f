"""Who may look at the browser view."""

from __future__ import annotations

import socket

import pytest

from pose_rt.errors import UsageError
from pose_rt.io.sinks.web.access import HostCheck, choose_token, headers_for, is_loopback, same_origin, same_token


@pytest.mark.parametrize(("host", "own"), [
    ("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("192.168.1.4", False),
    ("cam", False),
])  # fmt: skip
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_a_token_is_made_for_open_addresses_only_and_differs_each_time() -> None:
    assert choose_token("127.0.0.1", None) is None
    first, second = choose_token("0.0.0.0", None), choose_token("0.0.0.0", None)
    assert first is not None and second is not None and first != second and len(first) >= 32
    assert choose_token("127.0.0.1", "a token of my own") == "a token of my own"


@pytest.mark.parametrize("token", ["", "short", "ünïcode-ünïcode-ünïcode", "with\nnew line with new line"])
def test_a_token_that_keeps_nobody_out_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="token"):
        choose_token("0.0.0.0", token)


def test_tokens_are_compared_whole() -> None:
    assert same_token("0123456789abcdef", "0123456789abcdef")
    for wrong in ("", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0", "\udcff"):
        assert not same_token(wrong, "0123456789abcdef")


def test_on_loopback_only_loopback_names_are_ours() -> None:
    ours = HostCheck("127.0.0.1", ["pose.test"])
    for header in ("127.0.0.1:8080", "localhost:9000", "LOCALHOST", "[::1]:8080", "pose.test:8080"):
        assert ours(header), header
    for header in (None, "", "evil.example", "127.0.0.1.evil.example:8080", "192.168.1.4:8080", "localhost@evil.example", "[::1"):
        assert not ours(header), header


def test_on_an_open_address_names_that_are_not_this_machine_are_refused() -> None:
    ours = HostCheck("0.0.0.0")
    for header in ("192.168.1.4:8080", "[fe80::1]:8080", f"{socket.gethostname()}:8080", "localhost:8080"):
        assert ours(header), header
    assert not ours("rebound.evil.example:8080")


def test_origin_is_this_page_or_refused() -> None:
    assert same_origin("http://127.0.0.1:8080", "127.0.0.1:8080")
    assert same_origin("https://Cam.local", "cam.local")
    wrong_origins = (
        None,
        "",
        "null",
        "http://127.0.0.1:9090",
        "http://evil.example",
        "file://127.0.0.1:8080",
        "http://127.0.0.1:8080@e.example",
        "http://[",
    )
    for origin in wrong_origins:
        assert not same_origin(origin, "127.0.0.1:8080"), origin
    assert not same_origin("http://", None)


def test_the_policy_allows_nothing_from_elsewhere_and_no_inline_script() -> None:
    policy = headers_for("127.0.0.1:8080")["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "ws://127.0.0.1:8080" in policy
    assert "unsafe" not in policy and "*" not in policy
