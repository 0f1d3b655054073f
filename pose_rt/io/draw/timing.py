"""The timing panel: how old the results are, what the look-ahead adds, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pose_rt.stream.latency import LatencySummary

from .hud import ALARM, TEXT, WARNING, hud_unit, muted
from .panel import lay_panel
from .strokes import polylines, put_text, text_size
from .style import Bgr, Style, mix

_WHITE: Bgr = (255, 255, 255)
_CAPITAL = 8.2
_COLUMNS = ("p50", "p95", "p99")
_MAX_STAGES = 10
_STATES = {"open": TEXT, "stalled": WARNING, "lost": ALARM}


def draw_timing(
    image: np.ndarray,
    result: LatencySummary,
    style: Style,
    *,
    display: LatencySummary | None = None,
    state: str = "open",
    read: int | None = None,
    dropped: int | None = None,
    ages_ms: Sequence[float] = (),
) -> None:
    """Lay the panel over a lower corner of the picture, in place.

    The rows are the time from capture to result, without the wait for the look-ahead; that wait, which no faster machine makes
    shorter; and the age of the picture when it is on the screen, all of it included. Under them the mean time of each stage.

    Args:
        image: (h, w, 3) uint8, changed.
        result: measured where results leave the pipeline.
        style: colours, and which corner is free.
        display: measured after the picture was shown; None leaves its row out.
        state: of the source, see `Status`.
        read: frames that came from the source, or None.
        dropped: frames lost so far; None takes the count of the last packet.
        ages_ms: the last ages on display, drawn as a line from zero upwards.
    """
    height, width = image.shape[:2]
    stages = sorted(result.stage_ms.items(), key=lambda item: -item[1])[:_MAX_STAGES]
    stages = [(name, taken) for name, taken in result.stage_ms.items() if (name, taken) in stages]
    rows = 5.4 + (display is not None) + len(stages) + (2.2 if len(ages_ms) > 1 else 0.0)
    capital = min(_CAPITAL * hud_unit(image), 0.56 * height / (2.15 * rows), width / 42.0)
    if capital < 4.5:
        return
    step, pad, margin = 2.15 * capital, 1.5 * capital, 1.4 * capital
    wide, tall = 36.0 * capital, rows * step + 0.9 * capital
    left = margin if style.hud_side == "left" else width - margin - wide
    patch = lay_panel(image, left, height - margin - tall, wide, tall, style)
    tall, wide = patch.shape[0], patch.shape[1]
    columns = [wide - pad - 9.2 * capital, wide - pad - 4.6 * capital, wide - pad]
    faint, y = muted(style), 1.15 * step
    put_text(patch, "ms", pad, y, capital, faint)
    for name, x in zip(_COLUMNS, columns, strict=True):
        _right(patch, name, x, y, capital, faint)
    y += step
    _row(patch, "capture to result", [_ms(result.work_ms.get(name)) for name in _COLUMNS], columns, y, pad, capital)
    y += step
    put_text(patch, "+ look-ahead", pad, y, capital, style.right if result.wait_ms else faint)
    _right(patch, _ms(result.wait_ms), columns[0], y, capital, style.right if result.wait_ms else faint)
    if display is not None:
        y += step
        _row(patch, "age on display", [_ms(display.age_ms.get(name)) for name in _COLUMNS], columns, y, pad, capital)
    y += 0.55 * step
    if len(ages_ms) > 1:
        _history(patch, ages_ms, pad, y, wide - pad, y + 2.0 * step, faint, style)
        y += 2.2 * step
    patch[round(y), round(pad) : round(wide - pad)] = mix(style.panel, _WHITE, 0.22)
    y += 0.25 * step
    longest = max((taken for _, taken in stages), default=0.0)
    for name, taken in stages:
        y += step
        put_text(patch, name, pad, y, capital, faint)
        _right(patch, f"{taken:.1f}", columns[2], y, capital, TEXT)
        start, end = pad + 9.5 * capital, columns[2] - 4.2 * capital
        bar = max(1, round((end - start) * taken / longest)) if longest > 0 else 1
        patch[round(y - 0.85 * capital) : round(y - 0.1 * capital), round(start) : round(start) + bar] = style.left
    y += 1.25 * step
    lost = result.dropped if dropped is None else dropped
    fps = f"{result.fps:.1f} fps"
    put_text(patch, fps, pad, y, capital, TEXT)
    counted = f"{lost} dropped" if read is None else f"{lost} of {read} dropped"
    put_text(patch, counted, pad + 9.5 * capital, y, capital, WARNING if lost else faint)
    _right(patch, state, columns[2], y, capital, _STATES.get(state, TEXT))


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _right(image: np.ndarray, text: str, right: float, baseline: float, capital: float, colour: Bgr) -> None:
    put_text(image, text, right - text_size(text, capital)[0], baseline, capital, colour)


def _row(image: np.ndarray, name: str, values: Sequence[str], columns: Sequence[float], y: float, pad: float, capital: float) -> None:
    put_text(image, name, pad, y, capital, TEXT)
    for value, x in zip(values, columns, strict=True):
        _right(image, value, x, y, capital, TEXT)


def _history(
    image: np.ndarray, ages_ms: Sequence[float], left: float, top: float, right: float, bottom: float, faint: Bgr, style: Style
) -> None:
    """The ages as a line over a base line at zero; the scale ends at 50, 100, 200, ... ms, above all but the few largest."""
    ages = np.asarray(ages_ms, np.float64)
    scale, high = 50.0, float(np.quantile(ages, 0.95))
    while scale < high and scale < 1e6:
        scale *= 2.0
    capital = 0.175 * (bottom - top)
    label = f"{scale:.0f}"
    put_text(image, label, left, top + 1.4 * capital, capital, faint)
    start = left + max(text_size("0000", capital)[0], text_size(label, capital)[0]) + capital
    x = np.linspace(start, right, len(ages))
    y = bottom - np.clip(ages / scale, 0.0, 1.0) * (bottom - top - 0.3 * capital)
    image[min(round(bottom), image.shape[0] - 1), round(start) : round(right)] = mix(style.panel, _WHITE, 0.22)
    polylines(image, np.stack([x, y], 1)[None], style.left)
