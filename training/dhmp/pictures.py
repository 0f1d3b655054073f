"""Futures to look at: the last poses stacked, films, a file for Rerun."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np

from pose_rt.io.draw.strokes import put_text
from pose_rt.io.draw.style import Style
from pose_rt.io.motion_film import draw_film_frame, film_packets, write_film

from .predictors import Predictor
from .windows import EvalWindows

_CELL = (320, 320)
_COLUMNS = 4
_SHOWN = 10
# With the middles of pelvis and thorax (15) and of thorax and head (16) behind the 15 joints.
_HUMANEVA_TO_H36M = (0, 11, 12, 13, 8, 9, 10, 15, 1, 16, 14, 2, 3, 4, 5, 6, 7)


def to_camera(windows: EvalWindows, joints: np.ndarray) -> np.ndarray:
    """(..., J, 3) of a data set -> (..., 17, 3) float32 of H36M-17 in camera axes, y down; the published sets have z up."""
    if windows.name == "cmu17":
        return joints.astype(np.float32)
    turned = np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], -1)
    if windows.name == "humaneva":
        middles = (turned[..., [0, 1], :] + turned[..., [1, 14], :]) / 2
        turned = np.concatenate([turned, middles], axis=-2)[..., list(_HUMANEVA_TO_H36M), :]
    return turned.astype(np.float32)


def stacked_last_poses(histories: np.ndarray, truths: np.ndarray, futures: np.ndarray, labels: list[str], step_ns: int) -> np.ndarray:
    """A grid of rooms: each window's true last pose as a body, the last poses of its futures as lines over it; (h, w, 3) uint8 BGR.

    Args:
        histories, truths: (N, T, 17, 3) camera axes.
        futures: (N, K, T, 17, 3).
    """
    style = Style(layout="3d", futures=futures.shape[1], spread=False, hypotheses=0, ghosts_s=(futures.shape[2] * step_ns / 1e9,))
    cells = []
    for truth, future, label in zip(truths, futures, labels, strict=True):
        # The true last pose as the past, the last frame of every future as the next frame.
        packets = list(film_packets(truth[None, -1:], future[None, :, -1:], np.zeros(1), step_ns, _CELL))
        body, lines = (draw_film_frame(packet, style) for packet in packets)
        cell = cv2.addWeighted(lines, 0.7, body, 0.3, 0.0)
        put_text(cell, label, 8.0, 20.0, 11.0, (220, 220, 220))
        cells.append(cell)
    blank = np.zeros_like(cells[0])
    rows = [cells[i : i + _COLUMNS] for i in range(0, len(cells), _COLUMNS)]
    return np.vstack([np.hstack(row + [blank] * (min(_COLUMNS, len(cells)) - len(row))) for row in rows])


def draw_windows(predictor: Predictor, windows: EvalWindows, folder: Path, seed: int, count: int = 8) -> list[Path]:
    """Write `last_poses.png`, and `window_N.mp4`, `.gif` (and `.rrd` where rerun-sdk is installed) for the first of `count` windows
    spread over the data set; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.unique(np.linspace(0, len(windows) - 1, count).round().astype(int))
    step_ns = round(1e9 / windows.rate_hz)
    futures = np.stack([to_camera(windows, predictor.futures(windows.observed[i], _SHOWN, seed, int(i))) for i in rows])
    histories, truths = to_camera(windows, windows.observed[rows]), to_camera(windows, windows.truth[rows])
    labels = [f"{i} {windows.action[i]}" for i in rows]
    written = [folder / "last_poses.png"]
    cv2.imwrite(str(written[0]), stacked_last_poses(histories, truths, futures, labels, step_ns))
    first = histories[:1], futures[:1], np.zeros(1, np.int64), step_ns
    for suffix in (".mp4", ".gif"):
        written.append(write_film(folder / f"window_{rows[0]}{suffix}", *first, overwrite=True))
    if importlib.util.find_spec("rerun") is not None:
        from pose_rt.io.sinks.rerun import RerunSink

        written.append(folder / f"window_{rows[0]}.rrd")
        sink = RerunSink(written[-1], overwrite=True, style=Style(futures=_SHOWN))
        try:
            for packet in film_packets(*first, (64, 48)):
                sink.write(packet)
        finally:
            sink.close()
    return written
