"""The lifter's view does not depend on the picture's size, place or distance, and its rotation is known."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_rt.core.viewpoint import look_at_rotation, normalise_window

CENTER = np.array([640.0, 360.0])
SEEDS = st.integers(0, 2**32 - 1)
# float32 results of size 1 from float64 arithmetic
ATOL = 1e-5


def person(seed: int, depth: float = 5.0) -> np.ndarray:
    """A moving person in camera space, (F, J, 3) metres."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, [0.25, 0.45, 0.2], (1, 17, 3)) + rng.normal(0, 0.05, (9, 17, 3))
    return pose + np.array([rng.uniform(-1.5, 1.5), rng.uniform(-0.5, 0.5), depth])


def pixels(points: np.ndarray, focal: float = 1000.0, center: np.ndarray = CENTER) -> np.ndarray:
    return focal * points[..., :2] / points[..., 2:] + center


@given(SEEDS)
@settings(deadline=None)
def test_look_at_takes_the_direction_to_the_optical_axis(seed: int) -> None:
    direction = np.random.default_rng(seed).normal(0, 1, (6, 3))
    direction[:, 2] = np.abs(direction[:, 2]) + 1e-3
    rotation = look_at_rotation(direction)
    np.testing.assert_allclose(rotation @ np.swapaxes(rotation, -1, -2), np.broadcast_to(np.eye(3), (6, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-12)
    unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", rotation, unit), np.broadcast_to([0, 0, 1.0], (6, 3)), atol=1e-12)
    # The smallest such rotation: its angle is the angle between the direction and the axis.
    np.testing.assert_allclose((np.trace(rotation, axis1=-2, axis2=-1) - 1) / 2, unit[:, 2], atol=1e-12)


@given(SEEDS, st.floats(0.05, 20))
@settings(deadline=None)
def test_the_size_of_the_picture_does_not_matter(seed: int, scale: float) -> None:
    xy = pixels(person(seed))
    one, two = normalise_window(xy, 1000.0, CENTER), normalise_window(xy * scale, 1000.0 * scale, CENTER * scale)
    np.testing.assert_allclose(one.xy, two.xy, atol=ATOL)
    np.testing.assert_allclose(one.rotation, two.rotation, atol=ATOL)


@given(SEEDS, st.floats(-3000, 3000), st.floats(-3000, 3000))
@settings(deadline=None)
def test_a_shift_together_with_the_principal_point_does_not_matter(seed: int, dx: float, dy: float) -> None:
    xy, shift = pixels(person(seed)), np.array([dx, dy])
    one, two = normalise_window(xy, 1000.0, CENTER), normalise_window(xy + shift, 1000.0, CENTER + shift)
    np.testing.assert_allclose(one.xy, two.xy, atol=ATOL)
    np.testing.assert_allclose(one.rotation, two.rotation, atol=ATOL)


@given(SEEDS, st.floats(0.2, 5))
@settings(deadline=None)
def test_the_distance_of_a_flat_person_on_the_axis_does_not_matter(seed: int, factor: float) -> None:
    points = person(seed)
    points[..., :2] -= points[..., :2].mean((0, 1))
    points[..., 2] = 5.0
    far = points * [1, 1, factor]
    one, two = (normalise_window(pixels(p), 1000.0, CENTER) for p in (points, far))
    np.testing.assert_allclose(one.xy, two.xy, atol=ATOL)


@given(SEEDS)
@settings(deadline=None)
def test_the_view_is_the_turned_person_centred_and_scaled(seed: int) -> None:
    points = person(seed)
    view = normalise_window(pixels(points), 1000.0, CENTER)
    turned = points @ view.rotation.T.astype(np.float64)
    plane = turned[..., :2] / turned[..., 2:]
    centred = plane - plane.mean((0, 1))
    np.testing.assert_allclose(view.xy, centred * (view.xy.std() / centred.std()), atol=ATOL)


@given(SEEDS)
@settings(deadline=None)
def test_the_view_is_centred_and_of_unit_size(seed: int) -> None:
    xy = normalise_window(pixels(person(seed)), 1000.0, CENTER).xy.astype(np.float64)
    np.testing.assert_allclose(xy.mean((0, 1)), 0, atol=ATOL)
    radius = ((xy - xy.mean(1, keepdims=True)) ** 2).sum(-1).mean()
    np.testing.assert_allclose(radius, 1, atol=ATOL)


def test_turning_the_camera_hardly_changes_the_view() -> None:
    points = person(3)
    angle = np.radians(15)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    raw = pixels(points), pixels(points @ turn.T)
    views = [normalise_window(xy, 1000.0, CENTER).xy for xy in raw]
    flat = [(xy - xy.mean((0, 1))) / xy.std() for xy in raw]
    # Not exact: the mean of rays at unit depth is not the mean direction, and the smallest rotation leaves a roll.
    assert np.abs(views[0] - views[1]).max() < 0.35 * np.abs(flat[0] - flat[1]).max()


def test_unseen_joints_stay_nan_and_do_not_count() -> None:
    xy = pixels(person(4))
    hidden = np.concatenate([xy, xy[:, :2]], 1)
    hidden[:, 17:] = np.nan
    hidden[0, 17] = np.inf
    whole, view = normalise_window(xy, 1000.0, CENTER), normalise_window(hidden, 1000.0, CENTER)
    np.testing.assert_allclose(view.xy[:, :17], whole.xy, atol=ATOL)
    assert np.isnan(view.xy[:, 17:]).all()
    np.testing.assert_allclose(view.rotation, whole.rotation, atol=ATOL)


def test_nothing_seen_and_a_single_point() -> None:
    nothing = normalise_window(np.full((2, 9, 17, 2), np.nan), 1000.0, CENTER)
    assert np.isnan(nothing.xy).all()
    np.testing.assert_array_equal(nothing.rotation, np.broadcast_to(np.eye(3, dtype=np.float32), (2, 3, 3)))
    xy = np.full((9, 17, 2), np.nan)
    xy[3, 5] = [100, 200]
    single = normalise_window(xy, 1000.0, CENTER).xy
    assert single[3, 5].tolist() == [0, 0] and np.isnan(single).sum() == single.size - 2
    assert normalise_window(np.zeros((0, 9, 17, 2), np.float32), 1000.0, CENTER).xy.shape == (0, 9, 17, 2)


def test_each_window_has_its_own_camera() -> None:
    xy = np.stack([pixels(person(s), f, np.array(c)) for s, f, c in ((5, 800.0, [320, 240]), (6, 1500.0, [960, 540]))])
    together = normalise_window(xy, np.array([800.0, 1500.0]), np.array([[320, 240], [960, 540]]))
    for i, (focal, center) in enumerate(((800.0, [320, 240]), (1500.0, [960, 540]))):
        alone = normalise_window(xy[i], focal, np.array(center))
        np.testing.assert_array_equal(together.xy[i], alone.xy)
        np.testing.assert_array_equal(together.rotation[i], alone.rotation)
    assert together.xy.dtype == together.rotation.dtype == np.float32
