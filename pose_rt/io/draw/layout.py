"""The whole annotated picture: where the frame, the 3D view and the status line go."""

from __future__ import annotations

import numpy as np

from pose_rt.core.camera import Camera
from pose_rt.core.types import Packet

from .completed import draw_completed
from .futures3d import ghost_steps
from .hud import draw_status
from .mirror import mirror_camera, mirror_packet
from .overlay import draw_people
from .panel import round_corners
from .room3d import backdrop
from .scene3d import draw_future_scene, draw_scene, people_places
from .strokes import blend, put_text
from .style import Bgr, Layout, Style, mix, picture_unit
from .view import choose_view

_PANEL_OPACITY = 0.9
_SMALLEST_VIEW_PX = 24
_SMALLEST_STRIP_PX = 160
Box = tuple[int, int, int, int]
_WHITE: Bgr = (255, 255, 255)


def output_size(width: int, height: int, layout: Layout) -> tuple[int, int]:
    """Width and height in px of the annotated picture of a `width` x `height` frame.

    `side` adds a panel of 42 % of the width, but no narrower than 60 % of the height and no wider than the height; the
    whole stays even when the frame is, as video encoders want.
    """
    return (width + _panel_width(width, height), height) if layout == "side" else (width, height)


def draw_frame(packet: Packet, style: Style | None = None, status: str = "", camera: Camera | None = None) -> np.ndarray:
    """Draw what is known about a frame; the same packet, style and status always give the same picture.

    Args:
        packet: any of its results may be None; that part is then not drawn.
        style: the look; the default one where None.
        status: one line of text for an upper corner, such as frame rate and delay.
        camera: of the 3D stages; with it, completed joints whose root is known are drawn in the picture too.

    Returns:
        (h, w, 3) uint8 BGR of `output_size`, a new array; the packet's frame is not changed.
    """
    style = style or Style()
    width, height = packet.frame.width, packet.frame.height
    if style.mirror:
        packet = mirror_packet(packet)
        camera = None if camera is None else mirror_camera(camera, width)
    unit = picture_unit(width, height)
    out_width, out_height = output_size(width, height, style.layout)
    image = np.empty((out_height, out_width, 3), np.uint8)
    if style.layout == "3d":
        _draw_panel(image, packet, unit, style)
    else:
        picture = image[:, :width]
        picture[...] = packet.frame.bgr
        if style.overlay and packet.pose is not None and camera is not None:
            draw_completed(picture, packet.pose, camera, style)
        if style.overlay and packet.keypoints is not None:
            draw_people(picture, packet.keypoints, style)
        if style.layout == "side":
            _draw_panel(image[:, width:], packet, unit, style)
        elif style.inset and packet.pose is not None:
            _draw_inset(picture, packet, unit, style)
    if status:
        draw_status(image, status, style)
    return image


def _panel_width(width: int, height: int) -> int:
    panel = max(1, round(min(max(0.42 * width, 0.6 * height), height)))
    return panel + (width + panel) % 2


def _draw_panel(image: np.ndarray, packet: Packet, unit: float, style: Style) -> None:
    """Fill a picture with the 3D view and, where there is a forecast, a strip of its coming moments."""
    height, width = image.shape[:2]
    moments = [] if packet.forecast is None or style.futures == 0 else ghost_steps(packet.forecast, style)
    scene, cells = _split_panel(width, height, len(moments))
    places = people_places(packet)
    view = choose_view(scene[2], scene[3], unit, places, style)
    main = _part(image, scene)
    main[...] = backdrop(view, style)
    draw_scene(main, packet, places, view, style)
    for (ghost_s, step), box in zip(moments, cells, strict=False):
        cell = _part(image, box)
        cell_view = choose_view(box[2], box[3], unit, places, style)
        cell[...] = backdrop(cell_view, style, labels=False)
        draw_future_scene(cell, packet, places, step, cell_view, style)
        _draw_cell_frame(cell, f"+{ghost_s:g} s", style)


def _split_panel(width: int, height: int, cells: int) -> tuple[Box, list[Box]]:
    """Boxes (left, top, width, height) of the main view and of `cells` small ones: a column beside a wide view, a row under a high one."""
    if cells == 0 or min(width, height) < _SMALLEST_STRIP_PX:
        return (0, 0, width, height), []
    wide = width > 1.2 * height
    side = (height if wide else width) // cells
    spans = [(n * side, side) for n in range(cells - 1)]
    spans.append(((cells - 1) * side, (height if wide else width) - (cells - 1) * side))
    if wide:
        across = min(side, round(0.25 * width))
        return (0, 0, width - across, height), [(width - across, start, across, length) for start, length in spans]
    across = min(round(1.2 * side), round(0.3 * height))
    return (0, 0, width, height - across), [(start, height - across, length, across) for start, length in spans]


def _part(image: np.ndarray, box: Box) -> np.ndarray:
    left, top, width, height = box
    return image[top : top + height, left : left + width]


def _draw_cell_frame(cell: np.ndarray, label: str, style: Style) -> None:
    """Part a cell from its neighbours by a line and write its time."""
    height, width = cell.shape[:2]
    line = mix(style.panel, _WHITE, 0.28)
    cell[0, :], cell[:, 0] = line, line
    size = 0.075 * min(height, width)
    if size >= 4.5:
        put_text(cell, label, 0.8 * size, 1.9 * size, size, mix(style.panel, _WHITE, 0.8))


def _draw_inset(image: np.ndarray, packet: Packet, unit: float, style: Style) -> None:
    """Lay the 3D view over a corner of the picture, on a translucent panel with round corners."""
    box = inset_box(image.shape[1], image.shape[0], style)
    if box is None:
        return
    left, top, right, bottom = box
    patch = image[top:bottom, left:right]
    below = patch.copy()
    places = people_places(packet)
    view = choose_view(right - left, bottom - top, unit, places, style)
    blend(patch, backdrop(view, style), _PANEL_OPACITY)
    draw_scene(patch, packet, places, view, style)
    radius = max(2, round(0.045 * (bottom - top)))
    round_corners(patch, below, radius, mix(style.panel, _WHITE, 0.35))


def inset_box(width: int, height: int, style: Style) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom in px of the inset in a picture of this size, or None where it is too small for one."""
    least = min(max(110.0, 0.2 * width), 0.62 * height)
    side = round(min(max(style.inset_share * height, least), 0.6 * width))
    margin = round(0.02 * min(width, height))
    if side < _SMALLEST_VIEW_PX:
        return None
    left = margin if style.inset_corner.endswith("left") else width - margin - side
    top = margin if style.inset_corner.startswith("top") else height - margin - side
    return left, top, left + side, top + side
