"""Annotated pictures: `draw_frame(packet, style, status)` is a pure function of what it is given."""

from .layout import draw_frame, inset_box, output_size
from .style import Style

__all__ = ["Style", "draw_frame", "inset_box", "output_size"]
