"""The server of the browser view: a real one on loopback, with real clients."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

aiohttp = pytest.importorskip("aiohttp")

from pose_rt.errors import OutputError, UsageError  # noqa: E402
from pose_rt.io.sinks.web import WebView  # noqa: E402
from pose_rt.io.sinks.web.client import LoopbackClient  # noqa: E402
from pose_rt.io.sinks.web.message import MAX_FUTURES, decode_frame  # noqa: E402
from pose_rt.io.sources.synthetic import SyntheticSource  # noqa: E402
from pose_rt.stream import Control, View, each, run  # noqa: E402
from tests.io.packets import make_packet  # noqa: E402
from tests.web.feeding import feed, stamped  # noqa: E402

TOKEN = "0123456789abcdefgh"


@pytest.fixture
def view() -> Iterator[WebView]:
    view = WebView(port=0, control=Control(), recorder=True)
    yield view
    view.close()


def get(url: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and text of one request; no cookie is kept and no redirect followed."""

    async def ask() -> tuple[int, dict[str, str], str]:
        async with aiohttp.ClientSession() as session:
            base = url.split("?")[0].rstrip("/")
            async with session.get(base + path, headers=headers, allow_redirects=False) as answer:
                return answer.status, dict(answer.headers), await answer.text()

    return asyncio.run(ask())


def knock(view: WebView, origin: str | None = None, query: str = "", **headers: str) -> int:
    """What a WebSocket handshake is answered with; 101 is let in, and left again."""

    async def ask() -> int:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(f"http://127.0.0.1:{view.port}/ws{query}", origin=origin, headers=headers):
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    return asyncio.run(ask())


def origin_of(view: WebView) -> str:
    return f"http://127.0.0.1:{view.port}"


def test_pictures_and_poses_arrive_together_and_are_those_that_were_written(view: WebView) -> None:
    packet = make_packet(320, 240, people=2, futures=12)
    got: list[tuple[np.ndarray, dict[str, Any]]] = []
    client = LoopbackClient(view.url, lambda picture, head: got.append((picture, head)))
    client.wait_connected()
    feed(view, packet, lambda: len(got) >= 3)
    client.close()
    picture, head = got[-1]
    assert picture.shape == (240, 320, 3)
    assert abs(picture.astype(float).mean() - packet.frame.bgr.astype(float).mean()) < 2.0
    assert (head["w"], head["h"], len(head["people"])) == (320, 240, 2)
    person = head["people"][1]
    assert packet.pose is not None and packet.keypoints is not None
    np.testing.assert_allclose(np.array(person["joints"]).reshape(17, 3), packet.pose.joints_m[1] * 1e3, atol=0.51)
    np.testing.assert_allclose(np.array(person["xy"]).reshape(33, 2), packet.keypoints.xy_px[1], atol=0.051)
    assert len(person["hypotheses"]) == 4 and len(person["trails"]) == MAX_FUTURES == len(person["ghosts"])
    assert len(person["trails"][0][0]) == 3 * len(head["steps"])


def test_what_is_not_a_number_is_null_and_a_wide_picture_is_made_smaller() -> None:
    packet = make_packet(1280, 720)
    assert packet.pose is not None and packet.keypoints is not None
    packet.keypoints.xy_px[0, 5] = np.nan
    packet.pose.joints_m[0, 3] = np.inf
    packet.pose.hypotheses_m[0, 1, 4] = np.nan
    assert packet.forecast is not None
    packet.forecast.futures_m[0, 2, 11] = np.nan  # 0.24 s, the first ghost
    with_limits = WebView(port=0, max_width=640)
    got: list[tuple[np.ndarray, dict[str, Any]]] = []
    client = LoopbackClient(with_limits.url, lambda picture, head: got.append((picture, head)))
    client.wait_connected()
    feed(with_limits, packet, lambda: got)
    client.close()
    with_limits.close()
    picture, head = got[0]
    assert picture.shape == (360, 640, 3) and head["w"] == 1280
    assert head["people"][0]["xy"][10:12] == [None, None] and head["people"][0]["joints"] is None
    person = head["people"][0]
    assert [h is None for h in person["hypotheses"]] == [False, True, False, False]
    assert [[g is None for g in ghosts] for ghosts in person["ghosts"]] == [[False] * 4, [False] * 4, [True, False, False, False]]


def test_it_is_a_view_and_the_run_reports_how_it_stands(view: WebView) -> None:
    assert isinstance(view, View)
    reports: list[dict[str, Any]] = []
    client = LoopbackClient(view.url, reported=reports.append)
    client.wait_connected()
    figures = lambda: [r for r in reports if r["type"] == "stats" and r["seen"]]  # noqa: E731
    feed(view, make_packet(), figures, state="lost")
    client.close()
    hello, last = reports[0], figures()[-1]
    assert hello["type"] == "hello" and hello["record"] and hello["stop"]
    assert last["state"] == "lost" and last["read"] > 0 and last["clients"] == 1
    assert 0 <= last["age"]["p50"] <= last["age"]["p99"] and last["sent"]["p50"] <= last["seen"]["p50"]


def test_a_live_run_is_shown_and_its_end_is_told() -> None:
    control = Control()
    view = WebView(port=0, control=control)
    reports: list[dict[str, Any]] = []
    client = LoopbackClient(view.url, reported=reports.append)
    client.wait_connected()
    report = run(SyntheticSource(frames=30, live=True), each(lambda packet: packet), [view], control=control)
    client.close()
    assert report.written == report.processed and report.read == 30
    assert client.frames > 0 and reports[-1]["type"] == "end" and client.error is None


def test_nothing_is_encoded_while_nobody_looks(view: WebView) -> None:
    for index in range(20):
        view.write(stamped(make_packet(64, 48), index))
    assert view._encoder.encoded == 0 and view._encoder.offered == 20


def test_buttons_act_on_the_run(view: WebView) -> None:
    control = view._control
    assert control is not None
    client = LoopbackClient(view.url)
    client.wait_connected()
    client.send(type="record", on=True)
    client.send(type="stop")
    for _ in range(100):
        if control.stopped:
            break
        threading.Event().wait(0.02)
    assert control.recording and control.stopped
    client.close()


def test_without_control_and_recorder_the_buttons_do_nothing() -> None:
    view = WebView(port=0)
    reports: list[dict[str, Any]] = []
    client = LoopbackClient(view.url, reported=reports.append)
    client.wait_connected()
    client.send(type="record", on=True)
    client.send(type="stop")
    feed(view, make_packet(64, 48), lambda: client.frames >= 2)
    assert reports[0]["record"] is False and reports[0]["stop"] is False
    client.close()
    view.close()


@pytest.mark.parametrize(
    "text", ["{", "[]", '"ack"', '{"type":"ack","seq":99}', '{"type":"ack"}', '{"type":"record","on":1}', "[" * 400, "x" * 600]
)
def test_a_message_that_is_none_closes_the_connection_and_nothing_else(view: WebView, text: str) -> None:
    async def talk() -> int | None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{origin_of(view)}/ws", origin=origin_of(view)) as ws:
            await ws.send_str(text)
            async for _ in ws:
                pass
            return ws.close_code

    assert asyncio.run(talk()) in (1003, 1009)
    assert knock(view, origin_of(view)) == 101


def test_the_page_and_its_modules_are_served_with_strict_headers(view: WebView) -> None:
    for path, kind in (
        ("/", "text/html"), ("/main.js", "text/javascript"), ("/style.css", "text/css"), ("/icon.svg", "image/svg+xml"),
        ("/vendor/three/three.module.min.js", "text/javascript"), ("/vendor/three/OrbitControls.js", "text/javascript"),
    ):  # fmt: skip
        status, headers, text = get(view.url, path)
        assert status == 200 and headers["Content-Type"].startswith(kind) and len(text) > 100, path
        assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["X-Content-Type-Options"] == "nosniff"
        assert "aiohttp" not in headers["Server"]


@pytest.mark.parametrize("path", ["/nothing", "/../server.py", "/vendor/%2e%2e/%2e%2e/server.py", "/static/main.js", "/vendor/three/"])
def test_no_request_names_a_file_on_disk(view: WebView, path: str) -> None:
    status, headers, _ = get(view.url, path)
    assert status == 404 and "Content-Security-Policy" in headers


def test_foreign_hosts_and_origins_are_refused(view: WebView) -> None:
    assert get(view.url, "/", Host=f"evil.example:{view.port}")[0] == 403
    assert knock(view, origin_of(view)) == 101
    assert knock(view, None) == 403
    assert knock(view, "http://evil.example") == 403
    assert knock(view, f"http://localhost:{view.port}") == 403
    assert knock(view, f"http://evil.example:{view.port}", Host=f"evil.example:{view.port}") == 403


def test_with_a_token_nothing_is_given_without_it() -> None:
    view = WebView(port=0, token=TOKEN)
    assert view.url.endswith(f"/?token={TOKEN}")
    for path in ("/", "/main.js", "/health", "/ws", "/?token=", "/?token=0123456789abcdefgX"):
        status, headers, text = get(view.url, path)
        assert status == 403 and "token" in text and "Content-Security-Policy" in headers, path
        assert TOKEN not in text
    status, headers, _ = get(view.url, f"/?token={TOKEN}")
    cookie = headers["Set-Cookie"]
    assert status == 303 and headers["Location"] == "/" and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert get(view.url, "/main.js", Cookie=cookie.split(";")[0])[0] == 200
    assert get(view.url, "/main.js", Cookie=cookie.split("=")[0] + "=wrong")[0] == 403
    assert knock(view, origin_of(view), f"?token={TOKEN}") == 101
    assert knock(view, origin_of(view), "?token=wrong") == 403
    assert knock(view, "http://evil.example", f"?token={TOKEN}") == 403
    client = LoopbackClient(view.url)
    client.wait_connected()
    client.close()
    view.close()


def test_an_open_address_gets_a_token_of_its_own() -> None:
    view = WebView("0.0.0.0", port=0)
    assert view.token is not None and view.token in view.url and "0.0.0.0" not in view.url
    assert get(f"http://127.0.0.1:{view.port}", "/")[0] == 403
    view.close()


def test_one_page_too_many_is_told_so_and_gets_the_place_that_is_left() -> None:
    view = WebView(port=0, max_clients=2)
    clients = [LoopbackClient(view.url) for _ in range(2)]
    for client in clients:
        client.wait_connected()
    assert knock(view, origin_of(view)) == 503
    status, headers, text = get(view.url, "/health")
    assert status == 503 and "room for 2 pages" in text and "Retry-After" in headers
    clients[0].close()
    for _ in range(100):
        if knock(view, origin_of(view)) == 101:
            break
    else:
        pytest.fail("the place was not given back")
    clients[1].close()
    view.close()


def test_fifty_pages_that_never_read_hold_nothing_up() -> None:
    view = WebView(port=0, max_clients=64)
    slow = [_deaf(view) for _ in range(50)]
    seen: list[int] = []
    client = LoopbackClient(view.url, lambda picture, head: seen.append(head["frame"]))
    client.wait_connected()
    report = run(SyntheticSource(640, 480, frames=120), each(lambda packet: packet), view_without_close(view))
    assert report.written == 120
    feed(view, make_packet(64, 48), lambda: seen and seen[-1] < 100 and len(seen) > 5)
    held = [len(c.flying) + (c.frame is not None) for c in view._hub.clients]
    assert len(held) == 51 and max(held) <= 3, "a page that does not read is owed a bounded number of frames"
    for connection in slow:
        connection.close()
    client.close()
    view.close()


def _deaf(view: WebView) -> socket.socket:
    """A page that connects and then reads nothing any more."""
    connection = socket.create_connection(("127.0.0.1", view.port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{view.port}\r\nOrigin: {origin_of(view)}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert b"101" in connection.recv(64)
    return connection


class view_without_close:
    """The view as a sink whose owner closes it later."""

    def __init__(self, view: WebView) -> None:
        self.write, self.tick = view.write, view.tick

    def close(self) -> None:
        pass


def test_while_the_event_loop_is_stuck_the_run_goes_on_and_one_frame_waits(view: WebView) -> None:
    seen: list[int] = []
    client = LoopbackClient(view.url, lambda picture, head: seen.append(head["frame"]))
    client.wait_connected()
    packet = make_packet(64, 48)
    feed(view, packet, lambda: len(seen) > 2)
    stuck, free = threading.Event(), threading.Event()
    view._server.loop.call_soon_threadsafe(lambda: (stuck.set(), free.wait(30.0)))
    assert stuck.wait(10.0)
    view._encoder.want(True)  # as it is where the loop gets stuck while a page has room
    encoded = view._encoder.encoded
    for index in range(3000, 6000):
        view.write(stamped(packet, index))
        if view._encoder.encoded >= encoded + 5:
            break
        free.wait(0.005)
    assert view._encoder.encoded >= encoded + 5
    assert len(view._frames._waiting) == 1
    free.set()
    feed(view, packet, lambda: len(seen) > 6)
    assert len([frame for frame in seen if frame >= 3000]) <= 3
    client.close()


def test_a_picture_that_cannot_be_encoded_ends_the_run_with_a_sentence(view: WebView, monkeypatch: pytest.MonkeyPatch) -> None:
    client = LoopbackClient(view.url)
    client.wait_connected()
    monkeypatch.setattr("pose_rt.io.sinks.web.message.cv2.imencode", lambda *_: (False, None))
    with pytest.raises(OutputError, match="cannot encode a picture"):
        feed(view, make_packet(64, 48), lambda: False, most=200)
    client.close()


def test_a_port_in_use_is_one_sentence_with_a_cure(view: WebView) -> None:
    with pytest.raises(OutputError, match=rf"port {view.port} of 127.0.0.1 is in use; choose another with --port"):
        WebView(port=view.port)


@pytest.mark.parametrize(("host", "port", "words"), [
    ("127.0.0.1", 70000, "0 to 65535"), ("no.such.host.invalid", 0, "not known"), ("198.51.100.7", 0, "not one of this machine"),
])  # fmt: skip
def test_an_address_that_cannot_be_listened_on_is_misuse(host: str, port: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        WebView(host, port)


def test_closing_twice_is_safe_and_frees_port_and_threads() -> None:
    before = threading.active_count()
    view = WebView(port=0)
    client = LoopbackClient(view.url)
    client.wait_connected()
    view.close()
    view.close()
    client.close()
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="closed"):
        view.write(make_packet(64, 48))
    again = WebView(port=view.port)
    again.close()


def test_a_message_that_holds_no_picture_is_an_error() -> None:
    with pytest.raises(ValueError, match="no JPEG"):
        decode_frame(b"\x02\x00\x00\x00{}" + b"nothing of the kind")


def test_reports_are_small_json(view: WebView) -> None:
    texts: list[dict[str, Any]] = []
    client = LoopbackClient(view.url, reported=texts.append)
    client.wait_connected()
    feed(view, make_packet(64, 48), lambda: len(texts) > 2)
    client.close()
    assert all(len(json.dumps(text)) < 1500 for text in texts if text["type"] == "stats")
