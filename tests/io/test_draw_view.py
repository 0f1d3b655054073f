"""The geometry behind the 3D picture: viewpoint, places on the floor, and the strokes everything is made of."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pose_rt.core.skeleton import BLAZEPOSE33, COCO17, H36M17, SKELETONS, Skeleton
from pose_rt.core.types import Forecast, Keypoints2D, Pose3D
from pose_rt.io.draw import Style
from pose_rt.io.draw.futures3d import ghost_steps
from pose_rt.io.draw.lines3d import chains, head_bone
from pose_rt.io.draw.strokes import SHIFT, capsules, dashes, discs, polylines, window
from pose_rt.io.draw.style import CENTRE, LEFT, RIGHT, anatomy, mix
from pose_rt.io.draw.view import View, choose_view, places_on_floor

STYLE = Style()


def make_pose(roots: list[list[float]] | None, people: int, feet_m: float = 0.9) -> Pose3D:
    joints = np.zeros((people, 17, 3), np.float32)
    joints[:, [3, 6], 1] = feet_m
    joints[:, 10, 1] = -0.7
    root = None if roots is None else np.array(roots, np.float32)
    track = np.arange(people, dtype=np.int64)
    return Pose3D(joints, joints[:, None], np.zeros((people, 17), np.float32), root, np.zeros((people, 17), np.uint8), track, H36M17)


def make_boxes(lefts: list[float], track: list[int]) -> Keypoints2D:
    people = len(lefts)
    box = np.array([[left, 0, left + 10, 50] for left in lefts], np.float32)
    xy, score = np.zeros((people, 33, 2), np.float32), np.ones((people, 33), np.float32)
    return Keypoints2D(xy, score, None, box, np.array(track, np.int64), BLAZEPOSE33)


@pytest.mark.parametrize("size", [(300, 300), (540, 720), (1280, 720)])
def test_view_is_upright_and_centred(size: tuple[int, int]) -> None:
    view = choose_view(*size, 1.0, np.zeros((1, 3)), STYLE)
    xy, depth = view.project(np.array([[0, 0, 0], [0, -1.7, 0], [0.5, 0, 0], [0, 0, 0.5], [0, 0, -0.5]], float))
    feet, head, right, back, front = xy
    assert feet[0] == pytest.approx(size[0] / 2) and head[0] == pytest.approx(size[0] / 2)
    assert 0.0 < head[1] < feet[1] < size[1]
    assert right[0] > feet[0]
    assert back[1] < feet[1] < front[1] and depth[3] > depth[0] > depth[4]
    # Perspective and the tilt of the view shorten a metre by a few percent.
    assert np.hypot(*(head - feet)) / 1.7 == pytest.approx(view.pixels_per_m, rel=0.1)


def test_behind_the_viewer_is_nowhere() -> None:
    view = View(300, 300, 1.0, 0.0, 0.0, 1.0)
    assert np.isnan(view.project(np.array([0.0, -1.0, -50.0]))[0]).all()
    assert np.isnan(view.project(np.array([0.0, np.inf, 0.0]))[0]).all()


@pytest.mark.parametrize("apart", [0.5, 1.0, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("size", [(300, 300), (540, 720), (1280, 720)])
def test_everyone_fits(apart: float, size: tuple[int, int]) -> None:
    places = places_on_floor(make_pose([[0, 0, 5], [apart, 0, 5]], 2), None)
    view = choose_view(*size, 1.0, places, STYLE)
    xy, _ = view.project(places * (1.0, 0.0, 1.0))
    assert (xy >= 0).all() and (xy < size).all()


def test_view_does_not_breathe() -> None:
    zooms = {choose_view(300, 300, 1.0, np.array([[x, 0, 0]]), STYLE).zoom_out for x in np.linspace(0.95, 1.0, 20)}
    assert len(zooms) <= 2


def test_known_roots_place_people_relative_to_one_another() -> None:
    roots = [[-1.0, 0.3, 4.0], [0.5, -0.2, 6.0], [1.0, 0.0, 5.0]]
    places = places_on_floor(make_pose(roots, 3), None)
    flat = np.array(roots) * (1, 0, 1)
    np.testing.assert_allclose(places[1:, [0, 2]] - places[:-1, [0, 2]], flat[1:, [0, 2]] - flat[:-1, [0, 2]], atol=1e-6)  # float32 roots
    np.testing.assert_allclose(0.5 * (places.min(0) + places.max(0))[[0, 2]], 0.0, atol=1e-6)


@pytest.mark.parametrize("roots", [None, [[0, 0, 4], [np.nan, 0, 4], [1, 0, 4]]])
def test_unknown_roots_stand_in_the_order_of_the_picture(roots: list[list[float]] | None) -> None:
    places = places_on_floor(make_pose(roots, 3), make_boxes([500, 100, 300], [0, 1, 2]))
    assert places[1, 0] < places[2, 0] < places[0, 0]
    assert places[2, 0] - places[1, 0] == pytest.approx(places[0, 0] - places[2, 0])


@pytest.mark.parametrize("feet_m", [0.4, 0.9])
def test_the_lowest_joint_stands_on_the_floor(feet_m: float) -> None:
    pose = make_pose(None, 1, feet_m)
    lowest = (pose.joints_m + places_on_floor(pose, None)[:, None])[..., 1].max()
    # y points down and the floor is at 0; the ankle is a sole's height above it.
    assert -0.1 < lowest < 0.0


def test_ghosts_are_frames_of_the_forecast() -> None:
    forecast = Forecast(np.zeros((1, 2, 50, 17, 3), np.float32), 20_000_000, np.zeros(1, np.int64), H36M17)
    style = Style(ghosts_s=(2.0, 0.5, 0.001, 1.0))
    assert ghost_steps(forecast, style) == [(0.5, 24), (1.0, 49)]


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_chains_are_all_bones_once_and_of_one_side(skeleton: Skeleton) -> None:
    body = anatomy(skeleton)
    found = [(side, tuple(bone)) for side, paths in chains(skeleton) for path in paths for bone in pairwise(path)]
    assert sorted(found) == sorted((int(side), tuple(edge)) for side, edge in zip(body.edge_side, body.edges, strict=True))


def test_sides_of_bones() -> None:
    body = anatomy(H36M17)
    side = {tuple(edge): int(s) for edge, s in zip(body.edges.tolist(), body.edge_side, strict=True)}
    assert side[(11, 12)] == LEFT and side[(0, 1)] == RIGHT and side[(0, 7)] == CENTRE
    head = head_bone(H36M17)
    assert head is not None and body.edges[head].tolist() == [9, 10] and head_bone(COCO17) is None


def test_capsule_is_as_wide_and_long_as_asked() -> None:
    start, end = np.array([[100.0, 50.0]]), np.array([[100.0, 90.0]])
    outline = capsules(start, end, 4.0, 4.0)[0] / 2**SHIFT
    # Caps of six points reach within 6 % of the radius beyond the ends.
    assert outline[:, 0].min() == pytest.approx(96.0, abs=0.1) and outline[:, 0].max() == pytest.approx(104.0, abs=0.1)
    assert outline[:, 1].min() == pytest.approx(46.0, abs=0.3) and outline[:, 1].max() == pytest.approx(94.0, abs=0.3)
    assert np.isfinite(capsules(start, start, 4.0, 4.0)).all()


@pytest.mark.parametrize("length", [0.0, 3.0, 40.0, 1000.0])
def test_dashes_begin_and_end_with_ink(length: float) -> None:
    start, end = np.array([10.0, 10.0]), np.array([10.0 + length, 10.0])
    starts, stops = dashes(start, end, 10.0)
    np.testing.assert_allclose(starts[0], start)
    np.testing.assert_allclose(stops[-1], end)
    assert (starts[1:, 0] > stops[:-1, 0]).all()


def test_strokes_that_cannot_be_drawn_leave_the_others() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    lines = np.array([[[5, 5], [5, 35]], [[np.nan, 5], [20, 35]], [[30, 5], [1e9, 35]]], float)
    polylines(image, lines, (255, 255, 255))
    assert image[20, 5].all() and not image[:, 10:].any()


def test_discs_are_where_and_as_large_as_asked() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    discs(image, np.array([[20.5, 30.5], [45.0, 10.0]]), np.array([8.0, 3.0]), [(200, 0, 0), (0, 200, 0)])
    assert (image[..., 0] > 100).sum() == pytest.approx(np.pi * 8.5**2, rel=0.1)
    assert tuple(image[10, 45]) == (0, 200, 0)


def test_window_is_clipped_to_the_picture() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    assert window(image, -5, -5, 3.2, 2.0).shape[:2] == (2, 4)
    assert window(image, 30, 30, 40, 40).size == 0 and window(image, 5, 5, 2, 2).size == 0


def test_mix_goes_from_one_colour_to_the_other() -> None:
    assert mix((0, 10, 20), (100, 110, 120), 0.0) == (0, 10, 20)
    assert mix((0, 10, 20), (100, 110, 120), 1.0) == (100, 110, 120)
    assert mix((0, 0, 0), (100, 200, 50), 0.5) == (50, 100, 25)
