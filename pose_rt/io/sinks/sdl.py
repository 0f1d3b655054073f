"""SDL through pygame-ce: whether it is there, and how it is set up."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any

from ...errors import UsageError


def display_available() -> bool:
    """Whether a window could be shown: pygame-ce is installed and the session has a display. Loads nothing."""
    if importlib.util.find_spec("pygame") is None:
        return False
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"))


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
