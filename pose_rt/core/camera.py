"""Cameras: screen coordinates, intrinsics, world and camera axes, projection.

Camera axes are x right, y down, z forward. Intrinsics are a vector fx, fy, cx, cy, optionally followed by Human3.6M's distortion
k1, k2, k3, p1, p2, in whatever unit the image has (pixels, or normalised screen units).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .rotation import quaternion_conjugate, quaternion_rotate

DEFAULT_FOV_DEG = 65.0
"""Diagonal field of view assumed when nothing is known. Phones film at 26-30 mm equivalent (80 to 72 degrees, stabilisation crops
the picture), webcams see 65 to 78 degrees, camcorders and cropped footage 40 to 55, Human3.6M's cameras 63. A focal length that
is wrong by some factor moves the estimated distance by that factor; the root-relative pose hardly changes."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels. `how` says where the focal length comes from, for the output's header."""

    focal_px: float
    cx: float
    cy: float
    how: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.focal_px) and self.focal_px > 0):
            raise ValueError(f"focal_px: got {self.focal_px}, wanted a positive number of pixels")

    @classmethod
    def from_focal(cls, width: int, height: int, focal_px: float, how: str = "given focal length") -> Camera:
        """A camera whose principal point is the middle of the picture."""
        return cls(float(focal_px), width / 2, height / 2, how)

    @classmethod
    def from_fov(cls, width: int, height: int, fov_deg: float, how: str | None = None) -> Camera:
        """From the diagonal field of view, which is the same for a picture held upright or sideways.

        ``focal = sqrt(w^2 + h^2) / 2 / tan(fov / 2)``

        Raises:
            ValueError: a field of view outside (0, 180) degrees.
        """
        if not 0 < fov_deg < 180:
            raise ValueError(f"fov_deg: got {fov_deg}, wanted a diagonal field of view between 0 and 180 degrees")
        focal = math.hypot(width, height) / 2 / math.tan(math.radians(fov_deg) / 2)
        return cls.from_focal(width, height, focal, f"given field of view, {fov_deg:g} degrees diagonal" if how is None else how)

    @classmethod
    def default(cls, width: int, height: int) -> Camera:
        """The assumption for a picture of unknown origin: `DEFAULT_FOV_DEG`."""
        return cls.from_fov(width, height, DEFAULT_FOV_DEG, f"assumed field of view, {DEFAULT_FOV_DEG:g} degrees diagonal")

    @property
    def center(self) -> np.ndarray:
        """(2,) float32 principal point, px."""
        return np.array([self.cx, self.cy], np.float32)

    @property
    def intrinsics(self) -> np.ndarray:
        """(4,) float32: fx, fy, cx, cy in px, as `project` takes them."""
        return np.array([self.focal_px, self.focal_px, self.cx, self.cy], np.float32)


def intrinsics_from_sensor(
    size_px: tuple[int, int], sensor_mm: tuple[float, float], focal_mm: float, offset_mm: tuple[float, float]
) -> np.ndarray:
    """Intrinsics (4,) float32 in px of a camera given in mm: ``f w / sensor_w``, ``offset_x w / sensor_w + w / 2``, and so for y."""
    scale = np.array(size_px, np.float64) / np.array(sensor_mm)
    return np.concatenate([focal_mm * scale, np.array(offset_mm) * scale + np.array(size_px) / 2]).astype(np.float32)


MPI_INF_3DHP_TEST_CAMERAS: dict[str, tuple[tuple[int, int], np.ndarray]] = {
    **dict.fromkeys(
        ("TS1", "TS2", "TS3", "TS4"),
        ((2048, 2048), intrinsics_from_sensor((2048, 2048), (10.0, 10.0), 7.32506, (-0.0322884, 0.0929296))),
    ),
    **dict.fromkeys(
        ("TS5", "TS6"),
        ((1920, 1080), intrinsics_from_sensor((1920, 1080), (10.0, 5.625), 8.770747185, (-0.104908645, 0.104899704))),
    ),
}
"""Picture size and intrinsics (px) of MPI-INF-3DHP's test sequences; their 2D annotations are free of distortion."""


def normalise_screen(xy: np.ndarray, width: float, height: float) -> np.ndarray:
    """Pixels (..., 2) to normalised screen coordinates, float64: ``x' = 2x/w - 1``, ``y' = 2y/w - h/w`` (the aspect is kept).

    The division runs in the precision of the input, as in the data that published models were trained on.
    """
    return xy / width * 2 - np.array([1.0, height / width])


def denormalise_screen(xy: np.ndarray, width: float, height: float) -> np.ndarray:
    """The inverse of `normalise_screen`: (..., 2) to pixels, float64."""
    return (xy + np.array([1.0, height / width])) * width / 2


def world_to_camera(points: np.ndarray, orientation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """World points (..., 3) to camera axes: rotate ``X - t`` by the conjugate of the camera's quaternion.

    Args:
        points: (..., 3), in the unit of `translation`.
        orientation: (4,) or (..., 4) unit quaternion, w first, that turns camera axes to world axes.
        translation: (3,) or (..., 3), the camera's place in the world.
    """
    return quaternion_rotate(quaternion_conjugate(orientation), points - translation)


def camera_to_world(points: np.ndarray, orientation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """The inverse of `world_to_camera`."""
    return quaternion_rotate(orientation, points) + translation


def project(points: np.ndarray, intrinsics: np.ndarray, *, distortion: bool | None = None, clamp: bool = True) -> np.ndarray:
    """Camera space to image: ``f a' + c`` with a = clamp(XY / Z, -1, 1) and Human3.6M's distortion.

    r2 = |a|^2; a' = a (1 + k1 r2 + k2 r2^2 + k3 r2^3 + p . a) + p r2. This tangential form is Human3.6M's own, not OpenCV's.

    Args:
        points: (..., 3); the sign of Z is not looked at.
        intrinsics: (4,) or (9,), or (..., 4 | 9) whose leading axes broadcast against those of `points`.
        distortion: None = when the camera has 9 numbers.
        clamp: the reference's limit on XY / Z, which comes before the distortion.

    Returns:
        (..., 2) in the unit of f and c.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        a = points[..., :2] / points[..., 2:]
    if clamp:
        a = np.clip(a, np.float32(-1), np.float32(1))
    if distortion or (distortion is None and intrinsics.shape[-1] == 9):
        k1, k2, k3 = (intrinsics[..., i : i + 1] for i in (4, 5, 6))
        p = intrinsics[..., 7:9]
        r2 = a[..., :1] * a[..., :1] + a[..., 1:] * a[..., 1:]
        radial = np.float32(1) + r2 * (k1 + r2 * (k2 + r2 * k3))
        tangential = p[..., :1] * a[..., :1] + p[..., 1:] * a[..., 1:]
        a = a * (radial + tangential) + p * r2
    return intrinsics[..., :2] * a + intrinsics[..., 2:4]


def mirror_intrinsics(intrinsics: np.ndarray) -> np.ndarray:
    """The camera that sees the picture flipped left to right, in normalised screen units: cx and p1 change sign; (..., 4 | 9)."""
    out = intrinsics.copy()
    out[..., 2] *= -1
    if out.shape[-1] == 9:
        out[..., 7] *= -1
    return out
