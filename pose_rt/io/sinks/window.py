"""The live window, through SDL (pygame-ce): pictures as they come, keys, and how old the picture is once it is on the screen."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...core.types import Packet
from ...errors import OutputError, UsageError
from ...stream.control import Control
from ...stream.latency import LatencyMeter, LatencySummary
from ...stream.protocols import Status
from ..draw import Annotator, HelpLine, Toggle, draw_banner, draw_help, draw_message, draw_status, draw_timing
from ..draw.hud import ALARM, WARNING
from .sdl import load_pygame
from .snapshot import save_snapshot

if TYPE_CHECKING:
    import pygame

Presented = Callable[[Packet, int, np.ndarray], None]
"""Called with the packet, the monotonic time in ns after the picture was handed to the screen, and the screen's pixels (h, w, 3) RGB."""

_HIDDEN_DRIVERS = ("dummy", "offscreen")
_SHARE_OF_DESKTOP = 0.9
_LEAST_WINDOW_PX = (320, 240)
_MESSAGE_S = 2.5
_FIGURES_S = 0.25
_BANNER_S = 0.1
_REMEMBERED = 150
_SWITCHES: dict[str, tuple[Toggle, str]] = {
    "2": ("overlay", "2D overlay"),
    "3": ("inset", "3D view"),
    "p": ("futures", "futures"),
    "u": ("spread", "uncertainty"),
    "m": ("mirror", "mirror"),
    "t": ("timing", "timing"),
}
_BACKGROUND = (24, 20, 18)


class WindowView:
    """A `View` in a window. Made, written and closed on the main thread, as every window system wants.

    Keys: q or Esc quit, space pause, h help, f full screen, s snapshot, r record, 2, 3, p, u, m, t switch parts of the picture. Nothing
    here waits for the screen, so that a slow display does not hold up the run.

    Args:
        title: of the window.
        annotate: draws the packets; shared with other views it draws each packet once.
        control: told to stop and to record.
        size: width and height in px that the pictures will have; the window begins with it, smaller on a small desktop.
        can_record: whether `control.recording` reaches a recorder; else the key says how to have one.
        snapshots: folder for snapshots.
        presented: called after each new picture is on the screen; costs a copy of the screen.

    Raises:
        UsageError: pygame-ce is missing, or there is no display.
    """

    def __init__(
        self,
        title: str,
        annotate: Annotator,
        control: Control,
        *,
        size: tuple[int, int] = (1280, 720),
        can_record: bool = True,
        snapshots: Path = Path(),
        presented: Presented | None = None,
    ) -> None:
        self._pygame = load_pygame()
        self._annotate = annotate
        self._base = self.style = annotate.style
        self._control = control
        self._can_record = can_record
        self._snapshots = snapshots
        self._presented = presented
        self._result, self._display = LatencyMeter(_REMEMBERED), LatencyMeter(_REMEMBERED)
        self._figures: tuple[LatencySummary, LatencySummary] = (self._result.summary(), self._display.summary())
        self._figures_at = 0.0
        self._ages_ms: deque[float] = deque(maxlen=_REMEMBERED)
        self._status = Status("open", 0, 0, 0, 0)
        self._packet: Packet | None = None
        self._shown_at = time.monotonic()
        self._frame_at: float | None = None
        self._message, self._message_until = "", 0.0
        self._stale = True
        self._closed = False
        self.paused = False
        self.help = False
        self.fullscreen = False
        self._screen = self._open(title, size)

    def write(self, packet: Packet) -> None:
        """Show a packet; while paused the old picture stays and only the figures go on."""
        if self._closed:
            raise ValueError("the sink is closed")
        self._result.add(packet)
        self._frame_at = time.monotonic()
        if self._control.stopped:
            return
        if self.paused and self._packet is not None:
            self._stale = self._stale or self._frame_at - self._figures_at > _FIGURES_S
            return
        self._packet = packet
        self._draw()
        now = time.monotonic_ns()
        self._display.add(packet, now)
        self._ages_ms.append((now - packet.frame.captured_ns) / 1e6)
        if self._presented is not None:
            self._presented(packet, now, self._pygame.surfarray.array3d(self._screen).swapaxes(0, 1))

    def tick(self, status: Status) -> None:
        """Take keys and draw again where something changed without a new packet."""
        if self._closed:
            return
        changed = status.state != self._status.state
        self._status = status
        for event in self._pygame.event.get():
            self._handle(event)
        now = time.monotonic()
        if self._message and now > self._message_until:
            self._message, self._stale = "", True
        waiting = self._packet is None or status.state != "open"
        if self._stale or changed or (waiting and now - self._shown_at > _BANNER_S):
            self._draw()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._pygame.display.quit()

    def _open(self, title: str, size: tuple[int, int]) -> pygame.Surface:
        pygame = self._pygame
        try:
            pygame.display.init()
            driver = pygame.display.get_driver()
            if driver in _HIDDEN_DRIVERS and os.environ.get("SDL_VIDEODRIVER") != driver:
                raise pygame.error("no available video device")
            pygame.display.set_caption(title)
            self._windowed = self._fit_desktop(size)
            return self._set_mode()
        except pygame.error as error:
            pygame.display.quit()
            raise UsageError(f"a window cannot be opened here ({error})", "use --view web for a browser, or --view none") from error

    def _fit_desktop(self, size: tuple[int, int]) -> tuple[int, int]:
        desktop = self._pygame.display.get_desktop_sizes()[0]
        shrink = min(1.0, *(_SHARE_OF_DESKTOP * have / want for have, want in zip(desktop, size, strict=True)))
        grow = max(1.0, *(least / want for least, want in zip(_LEAST_WINDOW_PX, size, strict=True))) if shrink == 1.0 else 1.0
        return round(size[0] * shrink * grow), round(size[1] * shrink * grow)

    def _set_mode(self) -> pygame.Surface:
        pygame = self._pygame
        if self.fullscreen:
            return pygame.display.set_mode(pygame.display.get_desktop_sizes()[0], pygame.FULLSCREEN)
        return pygame.display.set_mode(self._windowed, pygame.RESIZABLE)

    def _handle(self, event: pygame.event.Event) -> None:
        pygame = self._pygame
        if event.type == pygame.QUIT:
            self._control.stop()
        elif event.type == pygame.KEYDOWN:
            self._press("esc" if event.key == pygame.K_ESCAPE else "space" if event.key == pygame.K_SPACE else event.unicode.lower())
        elif event.type in (pygame.VIDEORESIZE, pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED):
            self._screen = pygame.display.get_surface()
            if not self.fullscreen:
                self._windowed = self._screen.get_size()
            self._stale = True

    def _press(self, key: str) -> None:
        self._stale = True
        if key in ("q", "esc"):
            self._control.stop()
        elif key == "space":
            self.paused = not self.paused
        elif key == "h":
            self.help = not self.help
        elif key == "f":
            self.fullscreen = not self.fullscreen
            self._screen = self._set_mode()
        elif key == "s":
            self._snapshot()
        elif key == "r":
            self._record()
        elif key in _SWITCHES:
            name, text = _SWITCHES[key]
            self.style = self.style.toggled(name, self._base)
            self._say(f"{text} {'on' if self._is_on(name) else 'off'}")

    def _is_on(self, name: Toggle) -> bool:
        if name == "inset" and self._base.layout != "overlay":
            return self.style.layout == self._base.layout
        return bool(getattr(self.style, name))

    def _record(self) -> None:
        if not self._can_record:
            self._say("to record, start with --record FILE.mp4")
            return
        self._control.recording = not self._control.recording
        self._say("recording" if self._control.recording else "recording stopped")

    def _snapshot(self) -> None:
        if self._packet is None:
            self._say("there is no picture yet")
            return
        try:
            path = save_snapshot(self._annotate(self._packet, self.style), self._snapshots)
        except OutputError as error:
            self._say(str(error))
        else:
            self._say(f"saved {path.name}")

    def _say(self, text: str) -> None:
        self._message, self._message_until = text, time.monotonic() + _MESSAGE_S

    def _draw(self) -> None:
        """Compose picture and text at the window's own size and hand them to the screen."""
        self._screen = self._pygame.display.get_surface()
        width, height = self._screen.get_size()
        canvas = np.empty((height, width, 3), np.uint8)
        self._draw_picture(canvas)
        self._draw_text(canvas)
        self._screen.blit(self._pygame.image.frombuffer(canvas, (width, height), "BGR"), (0, 0))
        self._pygame.display.flip()
        self._shown_at = time.monotonic()
        self._stale = False

    def _draw_picture(self, canvas: np.ndarray) -> None:
        """The annotated picture as large as it fits, its shape kept, on a dark ground."""
        if self._packet is None:
            canvas[...] = _BACKGROUND
            return
        picture = self._annotate(self._packet, self.style)
        height, width = canvas.shape[:2]
        scale = min(width / picture.shape[1], height / picture.shape[0])
        wide, high = max(1, min(width, round(picture.shape[1] * scale))), max(1, min(height, round(picture.shape[0] * scale)))
        left, top = (width - wide) // 2, (height - high) // 2
        if (wide, high) != (width, height):
            canvas[:top], canvas[top + high :], canvas[:, :left], canvas[:, left + wide :] = (_BACKGROUND,) * 4
        part = canvas[top : top + high, left : left + wide]
        if part.shape == picture.shape:
            part[...] = picture
        else:
            cv2.resize(picture, (wide, high), dst=part, interpolation=cv2.INTER_LINEAR)

    def _draw_text(self, canvas: np.ndarray) -> None:
        state, style = self._status.state, self.style
        silent_s = time.monotonic() - (self._frame_at or self._shown_at)
        if state == "lost":
            draw_banner(canvas, "Camera lost", f"no frame for {silent_s:.0f} s, trying to open it again", style, ALARM)
        elif state == "stalled":
            draw_banner(canvas, "Camera stalled", f"no frame for {silent_s:.1f} s", style, WARNING)
        elif self._packet is None:
            draw_banner(canvas, "Waiting for the first picture", "q quits", style, style.left)
        self._refresh_figures()
        draw_status(canvas, self._status_line(), style, recording=self._control.recording and self._can_record)
        if self._message:
            draw_message(canvas, self._message, style, style.left)
        elif self.paused:
            draw_message(canvas, "Paused, the run goes on; space shows the live picture", style, WARNING)
        if style.timing:
            result, display = self._figures
            draw_timing(
                canvas, result, style, display=display, state=state, read=self._status.read, dropped=self._status.dropped,
                ages_ms=self._ages_ms,
            )  # fmt: skip
        if self.help:
            draw_help(canvas, self._help_lines(), style)

    def _refresh_figures(self) -> None:
        """A few times a second, so that the numbers can be read."""
        now = time.monotonic()
        if now - self._figures_at >= _FIGURES_S:
            self._figures, self._figures_at = (self._result.summary(), self._display.summary()), now

    def _status_line(self) -> str:
        _, display = self._figures
        parts = []
        if display.frames > 1:
            parts = [f"{display.fps:.1f} fps", f"{display.age_ms['p50']:.0f} ms old"]
        if self._packet is not None and self._packet.keypoints is not None:
            people = self._packet.keypoints.people
            parts.append("1 person" if people == 1 else f"{people or 'no'} people")
        if self._status.dropped:
            parts.append(f"{self._status.dropped} dropped")
        return "   ".join([*parts, "h help"])

    def _help_lines(self) -> list[HelpLine]:
        return [
            HelpLine("q, Esc", "quit"),
            HelpLine("space", "pause the picture, the run goes on", self.paused),
            HelpLine("f", "full screen", self.fullscreen),
            HelpLine("s", "snapshot"),
            HelpLine("r", "record", self._control.recording and self._can_record),
            *(HelpLine(key, text, self._is_on(name)) for key, (name, text) in _SWITCHES.items()),
            HelpLine("h", "this help"),
        ]
