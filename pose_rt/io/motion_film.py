"""Futures as moving pictures: the past half second, then all futures side by side in one room; .mp4 or .gif."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from ..core.skeleton import H36M17
from ..core.types import Forecast, Frame, Packet, Pose3D
from ..stream.protocols import SourceInfo
from .draw.room3d import backdrop
from .draw.scene3d import draw_future_scene, draw_scene, people_places
from .draw.strokes import put_text
from .draw.style import Style, picture_unit
from .draw.view import choose_view
from .output import check_output_path, whole_file
from .sinks.video import VideoSink

FILM_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".gif")
_TEXT = (220, 220, 220)
_GIF_FPS = 25


def film_packets(
    history_m: np.ndarray,
    futures_m: np.ndarray,
    tracks: np.ndarray,
    step_ns: int,
    size: tuple[int, int],
) -> Iterator[Packet]:
    """A packet for every frame of the past (pose alone) and of the future (the last pose, and where the futures are).

    Args:
        history_m: (P, T_his, 17, 3), camera axes.
        futures_m: (P, K, T, 17, 3).
        size: width and height of the pictures, px.
    """
    black = np.zeros((size[1], size[0], 3), np.uint8)
    people, past = history_m.shape[:2]
    unknown = np.zeros((people, H36M17.num_joints))
    for index in range(past + futures_m.shape[2]):
        joints = history_m[:, min(index, past - 1)]
        pose = Pose3D(joints, joints[:, None], unknown.astype(np.float32), None, unknown.astype(np.uint8), tracks.astype(np.int64), H36M17)
        packet = Packet(Frame(black, index, index * step_ns, 0), pose=pose)
        if index < past:
            yield packet
        else:
            yield replace(packet, forecast=Forecast(futures_m[:, :, index - past :], step_ns, pose.track, H36M17))


def draw_film_frame(packet: Packet, style: Style) -> np.ndarray:
    """The 3D room with the pose, or with the first frame of every future; (h, w, 3) uint8 BGR."""
    width, height = packet.frame.width, packet.frame.height
    places = people_places(packet)
    view = choose_view(width, height, picture_unit(width, height), places, style)
    image = np.array(backdrop(view, style))
    if packet.forecast is None:
        draw_scene(image, packet, places, view, style)
    else:
        draw_future_scene(image, packet, places, 0, view, style)
    return image


class _Clock:
    """Draws frames with the time from now written into a corner."""

    def __init__(self, past: int, style: Style) -> None:
        self._past, self._style = past, style

    def __call__(self, packet: Packet) -> np.ndarray:
        image = draw_film_frame(packet, self._style)
        step_ns = packet.frame.media_ns / max(packet.frame.index, 1)
        seconds = (packet.frame.index - self._past + 1) * step_ns / 1e9
        height = max(image.shape[0] / 30, 6.0)
        put_text(image, f"{seconds:+.2f} s", 1.2 * height, image.shape[0] - 1.2 * height, height, _TEXT)
        return image


def write_film(
    path: str | Path,
    history_m: np.ndarray,
    futures_m: np.ndarray,
    tracks: np.ndarray,
    step_ns: int,
    *,
    overwrite: bool = False,
    size: tuple[int, int] | None = None,
    source: str = "",
) -> Path:
    """Write the film of `film_packets`; whole or not at all. A .gif is smaller and shows every other frame.

    Raises:
        UsageError, OutputError: see `check_output_path`.
    """
    path = check_output_path(path, overwrite=overwrite, suffixes=FILM_SUFFIXES, inputs=[source] if source else [])
    if size is None:
        size = (480, 360) if path.suffix.lower() == ".gif" else (960, 720)
    style = Style(layout="3d", futures=futures_m.shape[1], spread=False, hypotheses=0)
    packets, draw = film_packets(history_m, futures_m, tracks, step_ns, size), _Clock(history_m.shape[1], style)
    if path.suffix.lower() == ".gif":
        every = max(1, round(1e9 / step_ns / _GIF_FPS))
        _write_gif(path, (draw(p) for p in packets if p.frame.index % every == 0), Fraction(10**9, step_ns * every))
        return path
    info = SourceInfo(size[0], size[1], Fraction(10**9, step_ns), False, None, None, source or "futures")
    sink = VideoSink(path, info, draw, overwrite=overwrite)
    try:
        for packet in packets:
            sink.write(packet)
    finally:
        sink.close()
    return path


def _write_gif(path: Path, images: Iterator[np.ndarray], fps: Fraction) -> None:
    with whole_file(path) as temporary, av.open(f"file:{temporary}", "w", format="gif") as container:
        stream = None
        for image in images:
            if stream is None:
                stream = container.add_stream("gif", rate=fps.limit_denominator(1000))
                stream.width, stream.height, stream.pix_fmt = image.shape[1], image.shape[0], "bgr8"
            frame = VideoFrame.from_ndarray(image, format="bgr24").reformat(format="bgr8")
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
