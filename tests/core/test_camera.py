"""Cameras: coordinates go there and back, projection is a pinhole, fields of view mean what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose_rt.core.camera import (
    DEFAULT_FOV_DEG,
    Camera,
    camera_to_world,
    denormalise_screen,
    intrinsics_from_sensor,
    mirror_intrinsics,
    normalise_screen,
    project,
    world_to_camera,
)
from pose_rt.core.rotation import quaternion_conjugate, quaternion_rotate

H36M_CAMERA = np.array([2.29, 2.288, 0.025, 0.029, -0.207, 0.248, -0.003, -0.001, -0.0014], np.float32)


def unit_quaternions(seed: int, n: int) -> np.ndarray:
    q = np.random.default_rng(seed).standard_normal((n, 4))
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


@given(st.integers(0, 2**32 - 1))
def test_quaternion_rotation_is_a_rotation(seed: int) -> None:
    q, v = unit_quaternions(seed, 5), np.random.default_rng(seed).standard_normal((5, 3))
    matrix = np.stack([quaternion_rotate(q, np.broadcast_to(axis, (5, 3))) for axis in np.eye(3)], -1)
    np.testing.assert_allclose(np.linalg.det(matrix), 1.0, atol=1e-12)
    np.testing.assert_allclose(matrix @ np.swapaxes(matrix, -1, -2), np.broadcast_to(np.eye(3), (5, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", matrix, v), quaternion_rotate(q, v), atol=1e-12)
    np.testing.assert_allclose(quaternion_rotate(quaternion_conjugate(q), quaternion_rotate(q, v)), v, atol=1e-12)


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    q = np.array([math.cos(math.pi / 4), 0, 0, math.sin(math.pi / 4)])
    np.testing.assert_allclose(quaternion_rotate(q, np.array([1.0, 0, 0])), [0, 1, 0], atol=1e-15)


@given(st.integers(0, 2**32 - 1))
def test_world_and_camera_axes_are_inverse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, q, t = rng.normal(0, 2, (4, 17, 3)), unit_quaternions(seed, 1)[0], rng.normal(0, 3, 3)
    seen = world_to_camera(points, q, t)
    np.testing.assert_allclose(camera_to_world(seen, q, t), points, atol=1e-12)
    np.testing.assert_allclose(world_to_camera(t, q, t), np.zeros(3), atol=1e-15)


@given(st.integers(1, 8000), st.integers(1, 8000))
def test_screen_coordinates_keep_the_aspect_and_come_back(width: int, height: int) -> None:
    corners = np.array([[0.0, 0.0], [width, height], [width / 2, height / 2]])
    screen = normalise_screen(corners, width, height)
    np.testing.assert_allclose(screen, [[-1, -height / width], [1, height / width], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(denormalise_screen(screen, width, height), corners, rtol=1e-12, atol=1e-9)


@given(st.integers(16, 8000), st.integers(16, 8000), st.floats(5, 170))
def test_field_of_view_is_the_angle_between_opposite_corners(width: int, height: int, fov: float) -> None:
    cam = Camera.from_fov(width, height, fov)
    rays = [np.array([x - cam.cx, y - cam.cy, cam.focal_px]) for x, y in ((0, 0), (width, height))]
    cosine = rays[0] @ rays[1] / (np.linalg.norm(rays[0]) * np.linalg.norm(rays[1]))
    assert math.degrees(math.acos(cosine)) == pytest.approx(fov, abs=1e-6)
    assert Camera.from_fov(height, width, fov).focal_px == cam.focal_px


def test_cameras_say_where_the_focal_length_comes_from() -> None:
    assert "assumed" in Camera.default(640, 480).how and f"{DEFAULT_FOV_DEG:g}" in Camera.default(640, 480).how
    assert "50" in Camera.from_fov(640, 480, 50).how
    assert Camera.from_focal(640, 480, 900.0).intrinsics.tolist() == [900, 900, 320, 240]


@pytest.mark.parametrize("focal", [0.0, -1.0, math.nan, math.inf])
def test_a_focal_length_must_be_positive(focal: float) -> None:
    with pytest.raises(ValueError, match="focal_px"):
        Camera.from_focal(640, 480, focal)


@pytest.mark.parametrize("fov", [0.0, 180.0, -5.0, math.nan])
def test_a_field_of_view_lies_between_0_and_180(fov: float) -> None:
    with pytest.raises(ValueError, match="fov_deg"):
        Camera.from_fov(640, 480, fov)


def test_projection_is_a_pinhole() -> None:
    intrinsics = np.array([1000, 900, 320, 240], np.float32)
    points = np.array([[0, 0, 2], [0.5, -0.25, 2], [1, 1, 4]], np.float32)
    np.testing.assert_array_equal(project(points, intrinsics), [[320, 240], [570, 127.5], [570, 465]])
    np.testing.assert_array_equal(project(points * 3, intrinsics), project(points, intrinsics))


def test_projection_limits_the_angle_before_the_distortion() -> None:
    wide = np.array([[5, -9, 1], [1, -1, 1]], np.float32)
    seen = project(wide, H36M_CAMERA)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert (project(wide, H36M_CAMERA, clamp=False)[0] != seen[0]).any()


def test_distortion_vanishes_without_coefficients_and_on_the_axis() -> None:
    points = np.random.default_rng(0).normal([0, 0, 4], 0.5, (9, 3)).astype(np.float32)
    plain = H36M_CAMERA.copy()
    plain[4:] = 0
    np.testing.assert_array_equal(project(points, plain), project(points, plain[:4]))
    np.testing.assert_array_equal(project(points, H36M_CAMERA, distortion=False), project(points, H36M_CAMERA[:4]))
    axis = np.array([[0, 0, 3]], np.float32)
    np.testing.assert_array_equal(project(axis, H36M_CAMERA), H36M_CAMERA[None, 2:4])


def test_a_camera_for_each_window_broadcasts() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal([0, 0, 4], 0.5, (3, 2, 17, 3)).astype(np.float32)
    cameras = np.stack([H36M_CAMERA * s for s in (1, 2, 3)]).astype(np.float32)
    together = project(points, cameras[:, None, None])
    for i, cam in enumerate(cameras):
        np.testing.assert_array_equal(together[i], project(points[i], cam))


def test_the_mirrored_camera_sees_the_mirrored_picture() -> None:
    points = np.random.default_rng(2).normal([0, 0, 4], 0.5, (9, 3)).astype(np.float32)
    flip = np.array([-1, 1, 1], np.float32)
    seen = project(points * flip, mirror_intrinsics(H36M_CAMERA))
    np.testing.assert_allclose(seen * flip[:2], project(points, H36M_CAMERA), atol=1e-6)  # float32, values near 1


def test_intrinsics_from_a_sensor() -> None:
    got = intrinsics_from_sensor((2000, 1000), (10.0, 5.0), 7.5, (0.1, -0.2))
    np.testing.assert_allclose(got, [1500, 1500, 1020, 460], rtol=1e-6)
