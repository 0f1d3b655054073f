"""Annotated pictures: `draw_frame(packet, style, status)` is a pure function of what it is given; the rest is what views write over it."""

from .annotator import Annotator
from .hud import HelpLine, draw_banner, draw_help, draw_message, draw_status
from .layout import draw_frame, inset_box, output_size
from .style import Style, Toggle
from .timing import draw_timing

__all__ = [
    "Annotator",
    "HelpLine",
    "Style",
    "Toggle",
    "draw_banner",
    "draw_frame",
    "draw_help",
    "draw_message",
    "draw_status",
    "draw_timing",
    "inset_box",
    "output_size",
]
