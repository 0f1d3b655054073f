"""The browser view in a real browser: what is seen, what the buttons do, and what the page says when things go wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp")

from pose_rt.config import Settings
from pose_rt.core.types import Packet
from pose_rt.io.sinks.web import WebView
from pose_rt.io.sources.synthetic import SyntheticSource
from pose_rt.stream import Control, RunReport, Status, each, run
from tests.io.packets import make_packet
from tests.web.chromium import Page, find_chromium, open_page
from tests.web.feeding import stamped

CHROMIUM = find_chromium()
CLIP = Path(__file__).resolve().parents[2] / "demos" / "clips" / "woman_walking.mp4"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    assert CHROMIUM is not None
    with open_page(CHROMIUM) as page:
        page.size(1000, 680)
        yield page


class Show:
    """A view that is fed by a thread until the end of the test; what it shows may be changed meanwhile."""

    def __init__(self, view: WebView, packet: Packet) -> None:
        self.view, self.packet, self.state = view, packet, "open"
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._feed)
        self.thread.start()

    def _feed(self) -> None:
        for index in count():
            if self.over.wait(0.1):
                return
            self.view.tick(Status(self.state, index + 1, index + 1, index, 3))
            if self.state == "open":
                self.view.write(stamped(self.packet, index))


@contextmanager
def showing(packet: Packet, **options: object) -> Iterator[Show]:
    view = WebView(port=0, **options)  # type: ignore[arg-type]
    show = Show(view, packet)
    try:
        yield show
    finally:
        show.over.set()
        show.thread.join()
        view.close()


def box_of(page: Page, selector: str) -> list[float]:
    """Left, top, width and height of an element, px."""
    script = f"(() => {{ const b = document.querySelector('{selector}').getBoundingClientRect(); return [b.x, b.y, b.width, b.height] }})()"
    return list(page.evaluate(script))


def pixels(page: Page, selector: str) -> np.ndarray:
    """(h, w, 3) what the page shows in an element."""
    box = box_of(page, selector)
    png = page.screenshot(x=box[0], y=box[1], width=box[2], height=box[3])
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def share_of(picture: np.ndarray, bgr: tuple[int, int, int], tolerance: int = 42) -> float:
    """Share of the pixels that are near a colour."""
    return float((np.abs(picture.astype(int) - bgr).max(-1) < tolerance).mean())


def visit(page: Page, view: WebView) -> None:
    page.messages.clear()
    page.go(view.url)
    page.evaluate("localStorage.clear()")
    page.go(view.url)
    page.wait_for("document.body.dataset.frame > 2 && document.querySelector('#state').dataset.state === 'open'")


def test_the_whole_page_with_its_toggles_and_states(page: Page) -> None:
    control = Control()
    with showing(make_packet(640, 360), control=control, recorder=True, title="<b>a clip</b>") as show:
        visit(page, show.view)
        assert page.evaluate("document.querySelector('#title').textContent") == "<b>a clip</b>"
        sky, orange = show_colours()
        scene = pixels(page, "#scene")
        assert share_of(scene, sky) > 0.001 and share_of(scene, orange) > 0.001, "left and right limbs stand in the 3D view"
        assert share_of(pixels(page, "#picture"), sky) > 0.002

        page.evaluate("document.querySelector('[data-toggle=keypoints]').click()")
        page.wait_for("document.querySelector('[data-toggle=keypoints]').getAttribute('aria-pressed') === 'false'")
        assert share_of(pixels(page, "#picture"), sky) < 0.0001, "2D off takes the keypoints away"
        page.evaluate("document.querySelector('[data-toggle=keypoints]').click()")

        everything = pixels(page, "#scene")
        for name in ("hypotheses", "futures", "uncertainty"):
            page.evaluate(f"document.querySelector('[data-toggle={name}]').click()")
            less = pixels(page, "#scene")
            changed = (np.abs(everything.astype(int) - less).max(-1) > 24).mean()
            assert changed > 0.002, f"{name} off changes the 3D view"
            everything = less

        middle = lambda shot: np.argwhere(np.abs(shot.astype(int) - sky).max(-1) < 42)[:, 1].mean() / shot.shape[1]  # noqa: E731
        left_before = middle(pixels(page, "#picture"))
        page.evaluate("document.querySelector('[data-toggle=mirror]').click()")
        assert abs(left_before + middle(pixels(page, "#picture")) - 1.0) < 0.03, "the left side changes its place, not its colour"

        x, y, width, height = box_of(page, "#scene")
        for kind, share in (("mousePressed", 0.3), ("mouseMoved", 0.6), ("mouseReleased", 0.6)):
            where = {"x": x + share * width, "y": y + 0.4 * height}
            page.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **where)
        turned = pixels(page, "#scene")
        assert (np.abs(everything.astype(int) - turned).max(-1) > 24).mean() > 0.02, "the mouse turns the 3D view"

        page.evaluate("document.querySelector('#record').click()")
        page.wait_for("document.querySelector('#record').getAttribute('aria-pressed') === 'true'")
        assert control.recording
        for key in ("t", "3"):
            page.call("Input.dispatchKeyEvent", type="keyDown", key=key)
            page.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        page.wait_for("document.querySelector('#charts').hidden && document.querySelector('main').classList.contains('flat')")

        for state in ("stalled", "lost"):
            show.state = state
            page.wait_for(f"document.querySelector('#banner').dataset.state === '{state}' && !document.querySelector('#banner').hidden")
        assert "Camera lost" in page.evaluate("document.querySelector('#banner').textContent")
        show.state = "open"
        page.wait_for("document.querySelector('#banner').hidden")

        show.packet = make_packet(640, 360, people=0)
        page.wait_for("!document.querySelector('#nobody').hidden")
        assert share_of(pixels(page, "#picture"), sky) < 0.0001
        show.packet = make_packet(480, 640, people=3)
        page.wait_for("document.querySelector('#nobody').hidden && ((p) => p.height > p.width)(document.querySelector('#picture'))")

        page.evaluate("document.querySelector('#stop').click()")
        assert not control.stopped, "stopping asks once more"
        page.evaluate("document.querySelector('#stop').click()")
        assert control._stopped.wait(10.0)
        assert page.messages == [], "no error, no refused resource"
    page.wait_for("document.querySelector('#banner').dataset.state === 'ended'")


def show_colours() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    from pose_rt.io.draw.style import Style

    return Style().left, Style().right


def test_the_picture_changes_and_the_snapshot_is_what_is_seen(page: Page, tmp_path: Path) -> None:
    control = Control()
    view = WebView(port=0, control=control)
    report: list[RunReport] = []
    runner = threading.Thread(
        target=lambda: report.append(run(SyntheticSource(frames=None, live=True), each(lambda packet: packet), [view], control=control))
    )
    runner.start()
    try:
        visit(page, view)
        first, at = pixels(page, "#picture"), page.evaluate("Number(document.body.dataset.frame)")
        page.wait_for(f"document.body.dataset.frame > {at + 10}")
        assert (np.abs(first.astype(int) - pixels(page, "#picture")).max(-1) > 60).mean() > 0.01
        page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        page.evaluate("document.querySelector('#snapshot').click()")
        for _ in range(200):
            with suppress(StopIteration):
                saved = cv2.imread(str(next(tmp_path.glob("*.png"))))
                if saved is not None:
                    break
            threading.Event().wait(0.05)
        assert saved.shape[0] > 200 and (saved > 215).all(-1).mean() > 0.01, "the bright square is on it"
    finally:
        control.stop()
        runner.join()
    assert report and report[0].written == report[0].processed


def test_the_real_pipeline_on_a_clip(page: Page) -> None:
    from pose_rt.io.sources.video import VideoSource
    from pose_rt.pipeline import Pipeline

    source = VideoSource(CLIP, max_frames=24)
    pipeline = Pipeline(Settings(model="lite", hypotheses=2, lookahead=0), source.info.width, source.info.height)
    packets = [packet for frame in source for packet in pipeline(Packet(frame))]
    pipeline.close()
    source.close()
    with showing(packets[-1]) as show:
        visit(page, show.view)
        sky, orange = show_colours()
        scene = pixels(page, "#scene")
        assert share_of(scene, sky) > 0.001 and share_of(scene, orange) > 0.001
        show.packet = replace(packets[-1], pose=None, forecast=None)
        page.wait_for("!document.querySelector('#no-scene').hidden")
        assert page.messages == []


def test_on_a_phone_nothing_is_wider_than_the_screen(page: Page) -> None:
    with showing(make_packet(640, 360)) as show:
        page.size(390, 844, scale=2.0, mobile=True)
        try:
            visit(page, show.view)
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            assert page.evaluate("document.querySelector('#picture').getBoundingClientRect().width") > 350
        finally:
            page.size(1000, 680)


def test_a_token_in_the_address_lets_in_and_leaves_the_address(page: Page) -> None:
    with showing(make_packet(64, 48), token="0123456789abcdefgh") as show:
        page.go(f"http://127.0.0.1:{show.view.port}/?token=wrong-wrong-wrong-")
        assert "token is missing or wrong" in page.evaluate("document.body.textContent")
        page.go(show.view.url)
        page.wait_for("document.body.dataset.frame > 2")
        assert "token" not in page.evaluate("location.href") and "0123456789" not in page.evaluate("document.cookie")


def test_a_page_without_a_place_says_so_and_comes_in_later(page: Page) -> None:
    from pose_rt.io.sinks.web.client import LoopbackClient

    with showing(make_packet(64, 48), max_clients=1) as show:
        first = LoopbackClient(show.view.url)
        first.wait_connected()
        page.go(show.view.url)
        page.wait_for("document.querySelector('#banner').textContent.includes('room for 1 pages')")
        first.close()
        page.wait_for("document.querySelector('#state').dataset.state === 'open'")
