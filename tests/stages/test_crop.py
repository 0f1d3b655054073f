"""Geometry of regions of interest: definition, and what a turn or a move of the picture does to them."""

from __future__ import annotations

import numpy as np
import pytest

from pose_rt.stages.crop import ENLARGE, bounding_boxes, letterbox_roi, rois_from_points, to_image, usable


def test_upright_person_has_angle_zero() -> None:
    roi = rois_from_points(np.array([[100.0, 200.0]], np.float32), np.array([[100.0, 150.0]], np.float32))
    np.testing.assert_array_equal(roi, [[100, 200, ENLARGE * 100, 0]])


@pytest.mark.parametrize(("dx", "dy", "angle"), [(1, 0, np.pi / 2), (-1, 0, -np.pi / 2), (0, 1, -np.pi), (1, -1, np.pi / 4)])
def test_angle_turns_with_the_scale_point(dx: float, dy: float, angle: float) -> None:
    roi = rois_from_points(np.zeros((1, 2), np.float32), np.array([[dx, dy]], np.float32))
    assert roi[0, 3] == pytest.approx(angle, abs=1e-6)


def test_the_scale_point_lies_above_the_centre_in_its_own_crop() -> None:
    rng = np.random.default_rng(0)
    centre, scale = (rng.uniform(-500, 500, (50, 2)).astype(np.float32) for _ in range(2))
    roi = rois_from_points(centre, scale)
    # 0.5 / ENLARGE of the side above the middle, wherever the person leans.
    above = to_image(np.tile(np.array([[[0.5, 0.5 - 0.5 / ENLARGE]]]), (50, 1, 1)), roi)[:, 0]
    np.testing.assert_allclose(above, scale, atol=1e-3)  # float32 px of some hundreds
    np.testing.assert_allclose(to_image(np.full((50, 1, 2), 0.5), roi)[:, 0], centre, atol=1e-4)


def test_to_image_is_exact_without_rotation() -> None:
    points = np.array([[[0.0, 0.0], [1.0, 0.5]]], np.float32)
    np.testing.assert_array_equal(to_image(points, np.array([[10, 20, 8, 0]], np.float32)), [[[6, 16], [14, 20]]])


def test_letterbox_covers_the_picture() -> None:
    np.testing.assert_array_equal(letterbox_roi(1280, 720), [[640, 360, 1280, 0]])


def test_unusable_regions() -> None:
    good = [50, 50, 40, 0]
    bad = [[np.nan, 0, 10, 0], [50, 50, np.inf, 0], [50, 50, 1, 0], [50, 50, 1e5, 0], [5000, 50, 40, 0], [50, -5000, 40, 0]]
    np.testing.assert_array_equal(usable(np.array([good, *bad], np.float32), 100, 100), [True] + [False] * len(bad))


def test_boxes_hold_the_points_inside_the_picture() -> None:
    xy = np.array([[[10, 20], [30, 60]], [[-50, 20], [300, 90]]], np.float32)
    boxes = bounding_boxes(xy, 200, 100, margin=0.1)
    np.testing.assert_array_equal(boxes, [[6, 16, 34, 64], [0, 0, 200, 100]])
    assert bounding_boxes(xy[:0], 200, 100).shape == (0, 4)
