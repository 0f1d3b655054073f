"""SDL through pygame-ce: whether it is there, and how it is set up."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any

from ...errors import UsageError


def display_missing() -> bool:
    """Whether this session has nowhere to show a window."""
    return sys.platform.startswith("linux") and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"))


def display_available() -> bool:
    """Whether `WindowView` could be used: pygame-ce is installed and there is a display. Loads nothing."""
    return importlib.util.find_spec("pygame") is not None and not display_missing()


def load_pygame() -> Any:
    """pygame's display, told to leave signals alone and to copy pictures instead of sending them through OpenGL.

    On Linux SDL's accelerated window surface costs 7 ms of CPU per 720p frame where OpenGL is done in software, shared memory 0.1 ms.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")
    if sys.platform.startswith("linux"):
        os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
    try:
        import pygame
    except ImportError as error:
        raise UsageError(
            "the window needs pygame-ce, which is not installed", "pip install 'pose-rt[viewer]', or use --view web"
        ) from error
    return pygame
