"""What views write over the picture: a status line, messages, the state of the camera, help. Text keeps a readable size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .panel import lay_panel
from .strokes import disc, put_text, text_size
from .style import Bgr, Style, mix, picture_unit

TEXT: Bgr = (240, 238, 236)
_WHITE: Bgr = (255, 255, 255)
_BLACK: Bgr = (0, 0, 0)
WARNING: Bgr = (66, 228, 240)
ALARM: Bgr = (0, 94, 213)
"""Yellow and vermilion of the Okabe-Ito palette."""
_LEAST_PX = 4.5
_CAPITAL = 9.0
_MARGIN = 12.0
_DIM = 0.45


class HelpLine(NamedTuple):
    """A key, what it does, and whether that is on now (None: it is no switch)."""

    key: str
    text: str
    on: bool | None = None


def hud_unit(image: np.ndarray) -> float:
    """What `picture_unit` is, but not below the size at which small text can be read."""
    return max(picture_unit(image.shape[1], image.shape[0]), 0.84)


def muted(style: Style) -> Bgr:
    """The colour of secondary text on a panel."""
    return mix(style.panel, _WHITE, 0.62)


def draw_status(image: np.ndarray, text: str, style: Style, *, recording: bool = False) -> None:
    """Write a line of text on a chip in the upper corner without the inset, with a red dot while recording."""
    _draw_chip(image, text, style, row=0, dot=ALARM if recording else None)


def draw_message(image: np.ndarray, text: str, style: Style, colour: Bgr | None = None) -> None:
    """Write a passing message under the status line, with a dot of `colour` before it."""
    _draw_chip(image, text, style, row=1, dot=colour)


def _draw_chip(image: np.ndarray, text: str, style: Style, row: int, dot: Bgr | None) -> None:
    unit = hud_unit(image)
    width = image.shape[1]
    margin, pad = _MARGIN * unit, 0.85 * _CAPITAL * unit
    before = 1.7 * _CAPITAL * unit if dot is not None else 0.0
    capital = _fit(text, _CAPITAL * unit, width - 2.0 * margin - 2.0 * pad - before)
    if capital < _LEAST_PX:
        return
    chip = before + text_size(text, capital)[0] + 2.0 * pad
    height = (_CAPITAL + 2.0 * 0.85 * _CAPITAL) * unit
    left = margin if style.hud_side == "left" else width - margin - chip
    patch = lay_panel(image, left, margin + row * (height + 0.5 * margin), chip, height, style, 0.72)
    if not patch.size:
        return
    baseline = 0.5 * (height + capital)
    if dot is not None:
        disc(patch, np.array([pad + 0.45 * _CAPITAL * unit, 0.5 * height]), 0.5 * _CAPITAL * unit, dot)
    put_text(patch, text, pad + before, baseline, capital, TEXT)


def draw_banner(image: np.ndarray, title: str, detail: str, style: Style, colour: Bgr = WARNING) -> None:
    """Dim the picture and say across its middle what is wrong with the source and what is being done."""
    cv2.addWeighted(image, _DIM, image, 0.0, 0.0, dst=image)
    unit, (height, width) = hud_unit(image), image.shape[:2]
    large = _fit(title, 15.0 * unit, 0.9 * width)
    small = _fit(detail, _CAPITAL * unit, 0.9 * width)
    band = 5.2 * large
    top = max(0, round(0.5 * (height - band)))
    strip = image[top : top + round(band)]
    cv2.addWeighted(strip, 0.3, np.full_like(strip, style.panel), 0.7, 0.0, dst=strip)
    edge = max(1, round(2.0 * unit))
    strip[:edge], strip[-edge:] = colour, colour
    if large >= _LEAST_PX:
        put_text(strip, title, 0.5 * (width - text_size(title, large)[0]), 2.35 * large, large, colour)
    if small >= _LEAST_PX:
        put_text(strip, detail, 0.5 * (width - text_size(detail, small)[0]), 2.45 * large + 2.0 * small, small, TEXT)


def draw_help(image: np.ndarray, lines: Sequence[HelpLine], style: Style) -> None:
    """Dim the picture and list the keys in its middle; the sign of a switch shows whether it is on."""
    cv2.addWeighted(image, _DIM, image, 0.0, 0.0, dst=image)
    height, width = image.shape[:2]
    rows = len(lines) + 1.6
    capital = min(9.5 * hud_unit(image), height / (2.6 * rows + 4.0))
    keys = max((text_size(line.key, capital)[0] for line in lines), default=0)
    texts = max((text_size(line.text, capital)[0] for line in lines), default=0)
    wide = keys + texts + 9.6 * capital
    if wide > 0.96 * width:
        capital *= 0.96 * width / wide
        keys, texts, wide = round(keys * 0.96 * width / wide), round(texts * 0.96 * width / wide), 0.96 * width
    if capital < _LEAST_PX:
        return
    step = 2.6 * capital
    tall = rows * step + 2.4 * capital
    patch = lay_panel(image, 0.5 * (width - wide), 0.5 * (height - tall), wide, tall, style, 0.92)
    pad, y = 2.0 * capital, 1.6 * capital + step
    put_text(patch, "Keys", pad, y, 1.15 * capital, TEXT)
    for line in lines:
        y += step
        put_text(patch, line.key, pad, y, capital, style.left)
        on = line.on is not False
        put_text(patch, line.text, pad + keys + 2.2 * capital, y, capital, TEXT if on else muted(style))
        if line.on is not None:
            _draw_switch(patch, pad + keys + texts + 4.6 * capital, y - 0.5 * capital, capital, line.on, style)


def _draw_switch(image: np.ndarray, x: float, y: float, size: float, on: bool, style: Style) -> None:
    ground = mix(style.panel, _WHITE, 0.25)
    radius = 0.62 * size
    for at in np.linspace(0.0, size, 5):
        disc(image, np.array([x + at, y]), radius, style.left if on else ground)
    disc(image, np.array([x + (size if on else 0.0), y]), 0.75 * radius, TEXT if on else muted(style))


def _fit(text: str, capital: float, room: float) -> float:
    """The height of capitals at which a text is at most `room` wide, px."""
    width = text_size(text, capital)[0]
    return capital if width <= room else capital * max(room, 0.0) / width
