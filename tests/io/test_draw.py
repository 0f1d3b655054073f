"""Annotated pictures: a pure function of the packet that keeps its promises on any input."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pose_rt.core.skeleton import BLAZEPOSE33, H36M17
from pose_rt.core.types import COMPLETED, Packet
from pose_rt.errors import UsageError
from pose_rt.io.draw import Style, draw_frame, inset_box, output_size
from pose_rt.io.draw.room3d import backdrop
from tests.io.packets import make_packet

LAYOUTS = ("overlay", "side", "3d")
BARE = Style(inset=False, boxes=False, spread=False)


def only_keypoints(packet: Packet, **changes: np.ndarray | None) -> Packet:
    assert packet.keypoints is not None
    return Packet(packet.frame, keypoints=replace(packet.keypoints, **changes))


def with_pose(packet: Packet, **changes: np.ndarray | None) -> Packet:
    assert packet.pose is not None
    return replace(packet, pose=replace(packet.pose, **changes))


def changed(picture: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (picture != other).any(-1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "size", [(1, 1), (2, 1), (16, 16), (3, 400), (400, 3), (321, 241), (160, 90), (90, 160), (1280, 720), (3000, 1200)]
)
def test_size_is_as_announced(layout: str, size: tuple[int, int]) -> None:
    picture = draw_frame(make_packet(*size), Style(layout=layout), "30 fps")
    width, height = output_size(*size, layout)
    assert picture.shape == (height, width, 3) and picture.dtype == np.uint8
    assert height == size[1] and (width == size[0] if layout != "side" else width > size[0])


@pytest.mark.parametrize("width", range(2, 40, 2))
def test_an_even_frame_stays_even(width: int) -> None:
    assert output_size(width, 18, "side")[0] % 2 == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_packet_same_picture(layout: str) -> None:
    style, packet = Style(layout=layout), make_packet(people=2)
    before = packet.frame.bgr.copy()
    first = draw_frame(packet, style, "30 fps")
    draw_frame(make_packet(futures=1, hypotheses=2), style)
    first_again = first.copy()
    second = draw_frame(packet, style, "30 fps")
    np.testing.assert_array_equal(second, first_again)
    second[...] = 0
    np.testing.assert_array_equal(draw_frame(packet, style, "30 fps"), first)
    np.testing.assert_array_equal(packet.frame.bgr, before)


def test_nothing_known_is_the_frame_itself() -> None:
    packet = make_packet(people=0)
    np.testing.assert_array_equal(draw_frame(only_keypoints(packet)), packet.frame.bgr)
    np.testing.assert_array_equal(draw_frame(Packet(packet.frame)), packet.frame.bgr)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nobody_in_view(layout: str) -> None:
    picture = draw_frame(make_packet(people=0), Style(layout=layout))
    assert picture.shape[0] == 240


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, 3e4])
def test_values_that_cannot_be_drawn_are_left_out(layout: str, bad: float) -> None:
    packet = make_packet(people=2)
    assert packet.keypoints is not None and packet.pose is not None and packet.forecast is not None
    rng = np.random.default_rng(3)

    def spoil(values: np.ndarray, share: float) -> np.ndarray:
        return np.where(rng.random(values.shape) < share, np.float32(bad), values).astype(np.float32)

    for share in (0.2, 1.0):
        spoilt = replace(
            packet,
            keypoints=replace(
                packet.keypoints,
                xy_px=spoil(packet.keypoints.xy_px, share),
                score=spoil(packet.keypoints.score, share),
                spread_px=spoil(np.ones((2, 33), np.float32), share),
                box_px=spoil(packet.keypoints.box_px, share),
                second_px=spoil(packet.keypoints.xy_px + 9, share),
            ),
            pose=replace(
                packet.pose,
                joints_m=spoil(packet.pose.joints_m, share),
                hypotheses_m=spoil(packet.pose.hypotheses_m, share),
                sigma_m=spoil(packet.pose.sigma_m, share),
                root_m=spoil(np.ones((2, 3), np.float32), share),
            ),
            forecast=replace(packet.forecast, futures_m=spoil(packet.forecast.futures_m, share)),
        )
        assert draw_frame(spoilt, Style(layout=layout)).shape[0] == 240


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("hypotheses", "futures", "steps"), [(0, 0, 0), (1, 1, 1), (4, 3, 0), (4, 0, 10), (2, 2, 5)])
def test_any_number_of_hypotheses_and_futures(layout: str, hypotheses: int, futures: int, steps: int) -> None:
    assert draw_frame(make_packet(hypotheses=hypotheses, futures=futures, steps=steps), Style(layout=layout)).any()


def test_person_without_a_known_joint_leaves_the_scene_empty() -> None:
    packet, nobody = make_packet(futures=0, hypotheses=0), make_packet(people=0, futures=0, hypotheses=0)
    assert packet.pose is not None
    unknown = with_pose(packet, joints_m=np.full_like(packet.pose.joints_m, np.nan))
    np.testing.assert_array_equal(draw_frame(unknown, Style(layout="3d")), draw_frame(nobody, Style(layout="3d")))


@pytest.mark.parametrize("shift", [(-5000, 0), (5000, 0), (0, -5000), (0, 5000)])
def test_person_out_of_the_picture_leaves_it_unchanged(shift: tuple[int, int]) -> None:
    packet = make_packet()
    assert packet.keypoints is not None
    away = np.array(shift, np.float32)
    gone = only_keypoints(packet, xy_px=packet.keypoints.xy_px + away, box_px=packet.keypoints.box_px + np.tile(away, 2))
    np.testing.assert_array_equal(draw_frame(gone, replace(Style(), boxes=False)), packet.frame.bgr)


def test_each_limb_has_the_colour_of_its_side() -> None:
    packet = only_keypoints(make_packet(1280, 720))
    assert packet.keypoints is not None
    picture = draw_frame(packet, BARE)
    for side, colour in (("left", BARE.left), ("right", BARE.right)):
        for bone in (("elbow", "wrist"), ("shoulder", "elbow"), ("knee", "ankle")):
            ends = [packet.keypoints.xy_px[0, BLAZEPOSE33.joints.index(f"{side}_{name}")] for name in bone]
            x, y = np.mean(ends, 0).round().astype(int)
            assert tuple(picture[y, x].tolist()) == colour, (side, bone)
    shoulders = [packet.keypoints.xy_px[0, BLAZEPOSE33.joints.index(f"{side}_shoulder")] for side in ("left", "right")]
    x, y = np.mean(shoulders, 0).round().astype(int)
    assert tuple(picture[y, x].tolist()) == BARE.centre


def test_exchanging_sides_exchanges_only_colours() -> None:
    packet = only_keypoints(make_packet(640, 480))
    assert packet.keypoints is not None
    mirrored = only_keypoints(packet, xy_px=packet.keypoints.xy_px[:, BLAZEPOSE33.mirror])
    swapped = replace(BARE, left=BARE.right, right=BARE.left)
    picture, other = draw_frame(packet, BARE), draw_frame(mirrored, swapped)
    np.testing.assert_array_equal(changed(picture, packet.frame.bgr), changed(other, packet.frame.bgr))


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}


@pytest.mark.parametrize("vision", VISION)
def test_left_and_right_differ_for_every_colour_vision(vision: str) -> None:
    def seen(bgr: tuple[int, int, int]) -> np.ndarray:
        srgb = np.array(bgr[::-1]) / 255.0
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        return np.clip(VISION[vision] @ linear, 0.0, 1.0) ** (1 / 2.2)

    style = Style()
    # 0.3 of the colour cube's edge; pure red against the green of equal lightness falls to about 0.1 for deuteranopia.
    assert np.linalg.norm(seen(style.left) - seen(style.right)) > 0.3


def test_doubtful_joints_are_fainter_but_there() -> None:
    packet = make_packet(1280, 720)
    assert packet.keypoints is not None
    wrist, elbow = (BLAZEPOSE33.joints.index(f"left_{name}") for name in ("wrist", "elbow"))
    x, y = packet.keypoints.xy_px[0, [wrist, elbow]].mean(0).round().astype(int)
    background = packet.frame.bgr[y, x].astype(int)
    contrast = []
    for score in (0.9, 0.1):
        scores = packet.keypoints.score.copy()
        scores[0, wrist] = score
        pixel = draw_frame(only_keypoints(packet, score=scores), BARE)[y, x].astype(int)
        contrast.append(float(np.abs(pixel - background).sum()))
    assert 0.2 * contrast[0] < contrast[1] < 0.6 * contrast[0]


def test_spread_covers_more_where_it_is_larger() -> None:
    packet, style = make_packet(640, 480), replace(BARE, spread=True)
    covered = [
        changed(draw_frame(only_keypoints(packet, spread_px=np.full((1, 33), s, np.float32)), style), packet.frame.bgr).sum()
        for s in (0.5, 6.0, 12.0, 18.0)
    ]
    assert covered == sorted(covered) and covered[-1] > 2 * covered[0]


def test_second_mode_of_a_heatmap_is_marked() -> None:
    packet = make_packet(640, 480)
    second = np.full((1, 33, 2), np.nan, np.float32)
    second[0, 16] = (40.0, 60.0)
    style = replace(BARE, spread=True)
    picture = draw_frame(only_keypoints(packet, second_px=second), style)
    marked = changed(picture, draw_frame(only_keypoints(packet), style))
    assert marked[50:70, 30:50].any()


@pytest.mark.parametrize("option", ["hypotheses", "futures", "spread"])
def test_options_of_the_3d_view_change_the_inset_alone(option: str) -> None:
    packet, style = replace(make_packet(640, 480), keypoints=None), Style()
    off = replace(style, **{option: False if option == "spread" else 0})
    differs = changed(draw_frame(packet, style), draw_frame(packet, off))
    box = inset_box(640, 480, style)
    assert box is not None
    left, top, right, bottom = box
    assert differs[top:bottom, left:right].any()
    differs[top:bottom, left:right] = False
    assert not differs.any()


@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_inset_is_where_the_style_says(corner: str) -> None:
    packet, style = replace(make_packet(640, 480), keypoints=None), Style(inset_corner=corner)
    rows, columns = np.nonzero(changed(draw_frame(packet, style), packet.frame.bgr))
    assert (rows.mean() < 240) == corner.startswith("top") and (columns.mean() < 320) == corner.endswith("left")
    assert not changed(draw_frame(packet, replace(style, inset=False)), packet.frame.bgr).any()


def test_bones_to_completed_joints_have_gaps() -> None:
    packet, style = make_packet(900, 900, hypotheses=1, futures=0), Style(layout="3d", spread=False)
    solid = draw_frame(packet, style)
    provenance = np.zeros((1, 17), np.uint8)
    provenance[0, H36M17.joints.index("left_wrist")] = COMPLETED
    dashed = draw_frame(with_pose(packet, provenance=provenance), style)
    colour = np.array(style.left, int)

    def ink(picture: np.ndarray) -> int:
        return int((np.abs(picture.astype(int) - colour).sum(-1) < 90).sum())

    bone = ink(solid) - ink(draw_frame(with_pose(packet, joints_m=without(packet, "left_wrist")), style))
    assert 0.2 * bone < ink(solid) - ink(dashed) < 0.8 * bone


def without(packet: Packet, joint: str) -> np.ndarray:
    assert packet.pose is not None
    joints = packet.pose.joints_m.copy()
    joints[:, H36M17.joints.index(joint)] = np.nan
    return joints


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strokes_grow_with_the_picture(layout: str) -> None:
    shares = []
    for scale in (1, 3):
        packet = make_packet(480 * scale, 360 * scale)
        style = Style(layout=layout, inset=False)
        empty = Packet(packet.frame, keypoints=None, pose=make_packet(people=0).pose)
        differs = changed(draw_frame(replace(packet, forecast=None), style), draw_frame(empty, style))
        shares.append(differs.mean())
    assert shares[1] == pytest.approx(shares[0], rel=0.3)


def test_status_is_written_in_the_corner() -> None:
    packet = Packet(make_packet(1280, 720).frame)
    rows, columns = np.nonzero(changed(draw_frame(packet, None, "30 fps"), packet.frame.bgr))
    assert 0 < rows.max() < 80 and 0 < columns.max() < 200


def test_work_does_not_grow_with_the_number_of_futures(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    original = cv2.polylines
    draw_frame(make_packet(), Style())
    monkeypatch.setattr(cv2, "polylines", lambda *args: calls.append(1) or original(*args))
    counts = []
    for futures in (2, 8):
        calls.clear()
        draw_frame(make_packet(futures=futures, hypotheses=2 * futures), Style())
        counts.append(len(calls))
    assert counts[0] == counts[1] < 60


def test_blending_stays_inside_small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    blended: list[int] = []
    original = cv2.addWeighted

    def counted(above: np.ndarray, *args: object, **options: object) -> np.ndarray:
        blended.append(above.shape[0] * above.shape[1])
        return original(above, *args, **options)

    monkeypatch.setattr(cv2, "addWeighted", counted)
    draw_frame(make_packet(1280, 720), Style(), "30 fps")
    assert 0 < sum(blended) < 0.35 * 1280 * 720


def test_backdrop_is_made_once() -> None:
    style = Style(layout="side", pitch_deg=16.0)
    draw_frame(make_packet(), style)
    made = backdrop.cache_info().misses
    for people in (1, 0, 1):
        draw_frame(make_packet(people=people), style)
    assert backdrop.cache_info().misses == made


@pytest.mark.parametrize(
    "wrong",
    [
        {"layout": "tiles"},
        {"inset_corner": "middle"},
        {"inset_share": 0.0},
        {"line_scale": 0.0},
        {"hypotheses": -1},
        {"futures": -1},
        {"accents": ()},
    ],
)
def test_wrong_styles_are_refused_with_a_cure(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as error:
        Style(**wrong)  # type: ignore[arg-type]
    assert error.value.cure
