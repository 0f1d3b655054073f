"""What views lay over pictures, mirrored pictures, completed joints, and one drawing for several views."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pose_rt.core.camera import Camera
from pose_rt.core.skeleton import BLAZEPOSE33, H36M17
from pose_rt.core.types import COMPLETED, Packet
from pose_rt.io.draw import (
    Annotator,
    HelpLine,
    Style,
    draw_banner,
    draw_frame,
    draw_help,
    draw_message,
    draw_status,
    draw_timing,
    layout,
)
from pose_rt.io.draw.mirror import mirror_camera, mirror_packet
from pose_rt.stream import LatencySummary
from tests.io.packets import make_packet

SIZES = [(1280, 720), (640, 480), (360, 640), (160, 90), (16, 16), (1, 1)]
FIGURES = LatencySummary(
    {"p50": 27.0, "p95": 31.0, "p99": 40.0, "max": 90.0},
    {"p50": 24.0, "p95": 29.0, "p99": 37.0, "max": 88.0},
    3.0,
    {"detect": 1.0, "pose2d": 9.0, "lift": 4.0},
    29.9,
    100,
    2,
)
EMPTY = LatencySummary({}, {}, 0.0, {}, 0.0, 0, 0)


def grey(width: int = 1280, height: int = 720) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def where(image: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what differs from grey."""
    rows, columns = np.nonzero((image != 128).any(-1))
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


@pytest.mark.parametrize("size", SIZES)
def test_everything_fits_any_picture(size: tuple[int, int]) -> None:
    style, image = Style(), grey(*size)
    draw_status(image, "29.9 fps   31 ms old", style, recording=True)
    draw_message(image, "a message that is much too long for a small picture " * 3, style)
    draw_timing(image, FIGURES, style, display=FIGURES, read=10, ages_ms=[20.0, 30.0, 25.0])
    draw_timing(image, EMPTY, style)
    draw_banner(image, "Camera lost", "no frame for 3 s", style)
    draw_help(image, [HelpLine("q", "quit"), HelpLine("2", "2D overlay", True)], style)
    assert image.shape == (size[1], size[0], 3)


@pytest.mark.parametrize("size", [(1280, 720), (640, 480)])
@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_text_keeps_clear_of_the_inset_and_of_other_text(size: tuple[int, int], corner: str) -> None:
    style = Style(inset_corner=corner)  # type: ignore[arg-type]
    box = layout.inset_box(*size, style)
    assert box is not None
    taken = [box]
    for draw in (
        lambda image: draw_status(image, "29.9 fps   31 ms old   2 people   h help", style),
        lambda image: draw_message(image, "saved pose-rt-20261121-151000.png", style),
        lambda image: draw_timing(image, FIGURES, style, display=FIGURES, read=10, ages_ms=[20.0, 30.0]),
    ):
        image = grey(*size)
        draw(image)
        left, top, right, bottom = where(image)
        for other in taken:
            assert right < other[0] or left >= other[2] or bottom < other[1] or top >= other[3]
        taken.append((left, top, right + 1, bottom + 1))


def test_bars_of_the_stages_are_as_long_as_their_times() -> None:
    image, style = grey(), Style()
    draw_timing(image, FIGURES, style)
    blue = (np.abs(image.astype(int) - style.left).sum(-1) < 12).sum(1)
    bars = sorted({int(n) for n in blue if n > 3}, reverse=True)
    assert bars[0] / bars[1] == pytest.approx(9.0 / 4.0, rel=0.05) and bars[0] / bars[2] == pytest.approx(9.0, rel=0.15)


def test_drops_and_the_look_ahead_change_the_panel() -> None:
    pictures = []
    for figures in (FIGURES, FIGURES._replace(wait_ms=100.0), FIGURES._replace(dropped=7), FIGURES._replace(work_ms=FIGURES.age_ms)):
        pictures.append(grey())
        draw_timing(pictures[-1], figures, Style())
    assert all((picture != pictures[0]).any() for picture in pictures[1:])


def test_recording_is_a_red_dot() -> None:
    plain, recording = grey(), grey()
    draw_status(plain, "30 fps", Style())
    draw_status(recording, "30 fps", Style(), recording=True)
    red = [(np.abs(image.astype(int) - (0, 94, 213)).sum(-1) < 12).sum() for image in (plain, recording)]
    assert red[0] == 0 and red[1] > 30


def test_mirrored_picture_is_the_mirror_image_with_readable_text() -> None:
    packet = make_packet(640, 480, people=2)
    bare = Style(boxes=False, inset=False, spread=False)
    plain, mirrored = draw_frame(packet, bare), draw_frame(packet, replace(bare, mirror=True))
    # Strokes are rounded to 1/16 px from the other side: an edge pixel may differ a little.
    off = np.abs(plain[:, ::-1].astype(int) - mirrored).max(-1) > 60
    assert off.mean() < 0.002
    named = draw_frame(packet, replace(bare, boxes=True, mirror=True))
    assert (named != draw_frame(mirror_packet(packet), replace(bare, boxes=True))).sum() == 0


def test_mirroring_keeps_left_left() -> None:
    packet = make_packet(1280, 720)
    assert packet.keypoints is not None
    style = Style(inset=False, boxes=False, spread=False, mirror=True)
    picture = draw_frame(packet, style)
    for side, colour in (("left", style.left), ("right", style.right)):
        ends = [packet.keypoints.xy_px[0, BLAZEPOSE33.joints.index(f"{side}_{name}")] for name in ("elbow", "wrist")]
        x, y = np.mean(ends, 0).round().astype(int)
        assert tuple(picture[y, 1279 - x].tolist()) == colour


def test_mirroring_twice_is_nothing() -> None:
    packet = make_packet(321, 240, people=2)
    again = mirror_packet(mirror_packet(packet))
    assert packet.keypoints and again.keypoints and packet.pose and again.pose and packet.forecast and again.forecast
    np.testing.assert_array_equal(again.frame.bgr, packet.frame.bgr)
    np.testing.assert_allclose(again.keypoints.xy_px, packet.keypoints.xy_px, atol=1e-3)  # float32 at some hundred px
    np.testing.assert_allclose(again.keypoints.box_px, packet.keypoints.box_px, atol=1e-3)
    np.testing.assert_array_equal(again.pose.hypotheses_m, packet.pose.hypotheses_m)
    np.testing.assert_array_equal(again.forecast.futures_m, packet.forecast.futures_m)


def completed(packet: Packet, *joints: str) -> Packet:
    assert packet.pose is not None
    provenance = np.zeros((1, 17), np.uint8)
    provenance[0, [H36M17.joints.index(name) for name in joints]] = COMPLETED
    return replace(packet, keypoints=None, pose=replace(packet.pose, provenance=provenance))


@pytest.mark.parametrize("mirror", [False, True])
def test_completed_joints_are_where_the_camera_would_see_them(mirror: bool) -> None:
    packet, camera = completed(make_packet(1280, 720), "left_wrist"), Camera.from_focal(1280, 720, 900.0)
    style = Style(inset=False, spread=False, mirror=mirror)
    assert packet.pose is not None and packet.pose.root_m is not None
    drawn = (draw_frame(packet, style, camera=camera) != draw_frame(packet, style)).any(-1)
    wrist, elbow = (packet.pose.joints_m[0, H36M17.joints.index(f"left_{name}")] + packet.pose.root_m[0] for name in ("wrist", "elbow"))
    ends = np.array([900.0 * p[:2] / p[2] + (640, 360) for p in (wrist, elbow)])
    if mirror:
        ends[:, 0] = 1279 - ends[:, 0]
    rows, columns = np.nonzero(drawn)
    low, high = ends.min(0), ends.max(0)
    # The line's half width is 3 px with its casing.
    assert (columns.min(), rows.min()) == (pytest.approx(low[0], abs=5), pytest.approx(low[1], abs=5))
    assert (columns.max(), rows.max()) == (pytest.approx(high[0], abs=5), pytest.approx(high[1], abs=5))
    ink = np.abs(draw_frame(packet, style, camera=camera).astype(int) - style.left).sum(-1) < 90
    pieces, _ = cv2.connectedComponents(ink.astype(np.uint8))
    assert pieces - 1 == 4


def test_completed_joints_show_their_sigma() -> None:
    packet, camera = completed(make_packet(1280, 720), "left_wrist"), Camera.from_focal(1280, 720, 900.0)
    assert packet.pose is not None
    covered = []
    for sigma in (0.03, 0.1):
        wide = replace(packet, pose=replace(packet.pose, sigma_m=np.full((1, 17), sigma, np.float32)))
        covered.append((draw_frame(wide, Style(inset=False), camera=camera) != packet.frame.bgr).any(-1).sum())
    assert covered[1] > 2 * covered[0]


def test_completed_joints_without_a_known_place_are_not_drawn_in_the_picture() -> None:
    packet, camera = completed(make_packet(), "left_wrist"), Camera.default(320, 240)
    assert packet.pose is not None
    for root in (None, np.full((1, 3), np.nan, np.float32)):
        lost = replace(packet, pose=replace(packet.pose, root_m=root))
        np.testing.assert_array_equal(draw_frame(lost, Style(inset=False), camera=camera), packet.frame.bgr)


def test_the_mirrored_camera_sees_the_mirrored_point_in_the_mirrored_place() -> None:
    camera = Camera.from_focal(641, 480, 500.0)
    assert mirror_camera(camera, 641).cx - 500.0 * 0.3 == pytest.approx(640 - (camera.cx + 500.0 * 0.3))


def test_a_packet_is_drawn_once_for_several_views(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Style] = []
    original = draw_frame
    monkeypatch.setattr(
        "pose_rt.io.draw.annotator.draw_frame", lambda packet, style, **k: calls.append(style) or original(packet, style, **k)
    )
    annotate, packet, other = Annotator(Style(futures=2)), make_packet(), make_packet(people=2)
    first = annotate(packet)
    assert annotate(packet) is first and annotate(packet, Style(futures=2, timing=True)) is first and len(calls) == 1
    assert not first.flags.writeable
    without = annotate(packet, Style(inset=False))
    assert (without != first).any() and annotate(packet) is first and len(calls) == 2
    assert annotate(other).shape == first.shape and len(calls) == 3
    np.testing.assert_array_equal(annotate(packet), first)


@pytest.mark.parametrize("name", ["overlay", "inset", "hypotheses", "futures", "spread", "boxes", "mirror", "timing"])
@pytest.mark.parametrize("base", [Style(), Style(layout="side"), Style(futures=3, hypotheses=2)])
def test_switching_twice_gives_the_style_back(name: str, base: Style) -> None:
    once = base.toggled(name, base)  # type: ignore[arg-type]
    assert once != base and once.toggled(name, base) == base  # type: ignore[arg-type]
    off = replace(base, futures=0, hypotheses=0)
    assert off.toggled("futures", off).futures == Style().futures
