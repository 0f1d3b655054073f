"""The live window on SDL's dummy driver, driven by real SDL events; and once on a real X server where Xvfb is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pose_rt.core.types import Packet
from pose_rt.errors import UsageError
from pose_rt.io.draw import Annotator, Style
from pose_rt.io.sinks import sdl
from pose_rt.io.sinks.window import WindowView
from pose_rt.stream import Control, Status, View
from tests.io.packets import make_packet

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
pygame = pytest.importorskip("pygame", reason="pygame-ce is not installed (pip install 'pose-rt[viewer]')")

OPEN = Status("open", 10, 9, 8, 0)


def at(packet: Packet, age_ms: float = 20.0) -> Packet:
    """The packet, captured `age_ms` ago."""
    return replace(packet, frame=replace(packet.frame, captured_ns=time.monotonic_ns() - round(age_ms * 1e6)))


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, control: Control) -> Iterator[WindowView]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = WindowView("test", Annotator(), control, size=(640, 480), snapshots=tmp_path)
    yield window
    window.close()


def press(view: WindowView, keys: str, status: Status = OPEN) -> None:
    codes = {"\x1b": pygame.K_ESCAPE, " ": pygame.K_SPACE}
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=codes.get(key, ord(key)), unicode=key, mod=0))
    view.tick(status)


def screen() -> np.ndarray:
    """(h, w, 3) RGB of what the window holds."""
    return np.asarray(pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1))


def differs(left: int, top: int, right: int, bottom: int, before: np.ndarray) -> bool:
    return bool((screen()[top:bottom, left:right] != before[top:bottom, left:right]).any())


def test_it_is_a_view_and_shows_the_annotated_picture(view: WindowView) -> None:
    assert isinstance(view, View)
    packet = at(make_packet(640, 480))
    view.write(packet)
    shown, drawn = screen(), Annotator()(packet)[..., ::-1]
    assert shown.shape == drawn.shape
    np.testing.assert_array_equal(shown[60:], drawn[60:])  # the status line is above


@pytest.mark.parametrize("key", ["q", "\x1b", "Q"])
def test_quit_keys_stop_the_run(view: WindowView, control: Control, key: str) -> None:
    view.write(at(make_packet(640, 480)))
    assert not control.stopped
    press(view, key)
    assert control.stopped


def test_closing_the_window_stops_the_run(view: WindowView, control: Control) -> None:
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    view.tick(OPEN)
    assert control.stopped


@pytest.mark.parametrize(
    ("key", "changes"),
    [("2", {"overlay": False}), ("3", {"inset": False}), ("p", {"futures": 0}), ("u", {"spread": False}), ("m", {"mirror": True})],
)
def test_switches_change_the_picture_and_change_it_back(view: WindowView, key: str, changes: dict[str, object]) -> None:
    packet = make_packet(640, 480)
    view.write(at(packet))
    before = screen()
    press(view, key)
    assert view.style == replace(Style(), **changes)  # type: ignore[arg-type]
    np.testing.assert_array_equal(screen()[60:], Annotator()(packet, view.style)[60:, :, ::-1])
    assert differs(0, 60, 640, 480, before)
    press(view, key)
    assert view.style == Style() and not differs(0, 60, 640, 480, before)


def test_switches_of_a_layout_with_a_panel(monkeypatch: pytest.MonkeyPatch, control: Control) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    view = WindowView("test", Annotator(Style(layout="side")), control, size=(900, 480))
    view.write(at(make_packet(640, 480)))
    press(view, "3")
    assert view.style.layout == "overlay" and not view.style.inset
    press(view, "3")
    assert view.style == Style(layout="side")
    view.close()


def test_timing_and_help_are_laid_over_the_picture(view: WindowView) -> None:
    for _ in range(3):
        view.write(at(make_packet(640, 480)))
    before = screen()
    press(view, "t")
    assert differs(10, 300, 200, 470, before) and not differs(400, 250, 640, 480, before)
    press(view, "t")
    press(view, "h")
    assert differs(250, 100, 390, 380, before)


def test_pause_freezes_the_picture_and_says_so(view: WindowView) -> None:
    view.write(at(make_packet(640, 480)))
    press(view, " ")
    before = screen()
    other = make_packet(640, 480)
    dark = replace(other, frame=replace(other.frame, bgr=np.zeros_like(other.frame.bgr)))
    view.write(at(dark))
    assert not differs(0, 80, 640, 480, before)
    press(view, " ")
    view.write(at(dark))
    assert differs(0, 80, 640, 480, before)


def test_record_key_turns_the_recorder_on_and_off(view: WindowView, control: Control) -> None:
    view.write(at(make_packet(640, 480)))
    press(view, "r")
    assert control.recording
    red = (screen()[:40, :60].astype(int) - (213, 94, 0)).__abs__().sum(-1) < 12
    assert red.sum() > 20
    press(view, "r")
    assert not control.recording


def test_record_key_without_a_recorder(monkeypatch: pytest.MonkeyPatch, control: Control) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    view = WindowView("test", Annotator(), control, can_record=False)
    press(view, "r")
    assert not control.recording
    view.close()


def test_snapshots_have_names_of_their_own(view: WindowView, tmp_path: Path) -> None:
    packet = at(make_packet(640, 480))
    press(view, "s")
    assert not list(tmp_path.iterdir())  # no picture yet
    view.write(packet)
    press(view, "sss")
    pictures = sorted(tmp_path.iterdir())
    assert len(pictures) == 3
    for path in pictures:
        np.testing.assert_array_equal(cv2.imread(str(path)), Annotator()(packet))


def test_a_snapshot_that_cannot_be_written_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch, control: Control, tmp_path: Path) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    view = WindowView("test", Annotator(), control, snapshots=tmp_path / "missing")
    view.write(at(make_packet(640, 480)))
    press(view, "s")
    view.write(at(make_packet(640, 480)))
    view.close()


@pytest.mark.parametrize("state", ["stalled", "lost"])
def test_the_state_of_the_camera_is_shown_while_no_frame_comes(view: WindowView, state: str) -> None:
    view.write(at(make_packet(640, 480)))
    before = screen()
    view.tick(OPEN._replace(state=state))
    assert differs(100, 200, 540, 280, before)
    view.tick(OPEN)
    assert not differs(100, 200, 540, 280, before)


def test_the_picture_keeps_its_shape_in_any_window(view: WindowView) -> None:
    packet = make_packet(640, 480)
    white = replace(
        packet, keypoints=None, pose=None, forecast=None, frame=replace(packet.frame, bgr=np.full((480, 640, 3), 255, np.uint8))
    )
    pygame.display.set_mode((1000, 480), pygame.RESIZABLE)
    pygame.event.post(pygame.event.Event(pygame.VIDEORESIZE, size=(1000, 480), w=1000, h=480))
    view.write(at(white))
    view.tick(OPEN)
    columns = np.flatnonzero((screen()[300] == 255).all(-1))
    assert screen().shape == (480, 1000, 3)
    assert (columns.min(), columns.max()) == (180, 819)


def test_full_screen_and_back(view: WindowView) -> None:
    view.write(at(make_packet(640, 480)))
    press(view, "f")
    assert view.fullscreen and pygame.display.get_surface().get_flags() & pygame.FULLSCREEN
    press(view, "f")
    assert not view.fullscreen and pygame.display.get_surface().get_size() == (640, 480)


def test_what_was_presented_is_reported_with_its_time(monkeypatch: pytest.MonkeyPatch, control: Control) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    seen: list[tuple[Packet, int, np.ndarray]] = []
    view = WindowView("test", Annotator(Style(inset=False)), control, size=(640, 480), presented=lambda *what: seen.append(what))
    for level in (0, 255):
        packet = Packet(replace(make_packet(640, 480).frame, bgr=np.full((480, 640, 3), level, np.uint8), captured_ns=time.monotonic_ns()))
        view.write(packet)
        assert seen[-1][0] is packet and packet.frame.captured_ns < seen[-1][1] <= time.monotonic_ns()
        assert seen[-1][2].shape == (480, 640, 3) and (seen[-1][2][100:] == level).all()
    view.close()


def test_close_twice_and_no_write_after(view: WindowView) -> None:
    view.close()
    view.close()
    view.tick(OPEN)
    with pytest.raises(ValueError, match="closed"):
        view.write(at(make_packet()))


def test_without_a_display_the_error_says_what_to_use(monkeypatch: pytest.MonkeyPatch, control: Control) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    monkeypatch.setenv("DISPLAY", ":9876")
    with pytest.raises(UsageError, match="--view web"):
        WindowView("test", Annotator(), control)


def test_without_pygame_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, control: Control) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(UsageError, match=r"pip install 'pose-rt\[viewer\]'"):
        WindowView("test", Annotator(), control)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_whether_there_is_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert sdl.display_missing() and not sdl.display_available()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert not sdl.display_missing() and sdl.display_available()


CHILD = """
import sys, time
from dataclasses import replace
import pygame
from pose_rt.io.draw import Annotator
from pose_rt.io.sinks.window import WindowView
from pose_rt.stream import Control, Status
from tests.io.packets import make_packet
control = Control()
view = WindowView("pose-rt test", Annotator(), control, size=(640, 480))
assert pygame.display.get_driver() == "x11"
packet = make_packet(640, 480)
for _ in range(5):
    view.tick(Status("open", 5, 5, 5, 0))
    view.write(replace(packet, frame=replace(packet.frame, captured_ns=time.monotonic_ns())))
print("ready", flush=True)
end = time.monotonic() + 20
while not control.stopped and time.monotonic() < end:
    view.tick(Status("open", 5, 5, 5, 0))
    time.sleep(0.01)
view.close()
print("stopped" if control.stopped else "not stopped", flush=True)
"""


@pytest.fixture
def x_server() -> Iterator[str]:
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed (apt-get install xvfb)")
    read, write = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24"], pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as lines:
        number = lines.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(10)


def test_a_real_window_on_an_x_server(x_server: str, tmp_path: Path) -> None:
    environment = {**os.environ, "DISPLAY": x_server, "SDL_VIDEODRIVER": "x11", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen([sys.executable, "-c", CHILD], env=environment, cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        grab = shutil.which("import")
        if grab is not None:
            picture = tmp_path / "screen.png"
            subprocess.run([grab, "-window", "root", str(picture)], env=environment, check=True, timeout=20)
            seen, drawn = cv2.imread(str(picture)), Annotator()(make_packet(640, 480))
            found = cv2.matchTemplate(seen, drawn[100:, :300], cv2.TM_SQDIFF_NORMED)
            assert found.min() < 1e-3
        if shutil.which("xdotool") is None:
            child.terminate()
            assert child.wait(20) < 0  # SDL leaves SIGTERM to the program
        else:
            # Without a window manager keys go to the window under the pointer.
            subprocess.run(["xdotool", "mousemove", "400", "300", "key", "q"], env=environment, check=True, timeout=20)
            assert child.communicate(timeout=20)[0] == "stopped\n"
    finally:
        child.kill()
