"""The space of GFPose's poses: image positions and relative depth in one unit, the metre at the depth of the root.

Published poses are pixels of a 1000 x 1000 crop that shows 2 m at the root's depth, divided by 500: 1 is a metre there, in all three
axes. `x` and `y` are a perspective picture, so that a 2D detection is part of the pose as it stands; `z` is depth relative to the root.
"""

from __future__ import annotations

import numpy as np

MIN_DEPTH_M = 0.25
"""Joints nearer to the camera than this are taken to be this far away."""


def to_image_space(joints_m: np.ndarray, root_depth_m: np.ndarray) -> np.ndarray:
    """``(x Z / (Z + z), y Z / (Z + z), z)`` of joints that a camera sees straight on.

    Args:
        joints_m: (..., J, 3) relative to the root, z forward.
        root_depth_m: (...,) Z; infinity = parallel projection.
    """
    out = joints_m.copy()
    out[..., :2] /= _ratio(joints_m[..., 2:], root_depth_m)
    return out


def from_image_space(poses: np.ndarray, root_depth_m: np.ndarray) -> np.ndarray:
    """The inverse of `to_image_space`: (..., J, 3) metres."""
    out = poses.copy()
    out[..., :2] *= _ratio(poses[..., 2:], root_depth_m)
    return out


def _ratio(z: np.ndarray, root_depth_m: np.ndarray) -> np.ndarray:
    """(Z + z) / Z, (..., J, 1)."""
    depth = np.asarray(root_depth_m, z.dtype)[..., None, None]
    return np.where(np.isfinite(depth), np.maximum(depth + z, MIN_DEPTH_M) / np.where(np.isfinite(depth), depth, 1.0), 1.0).astype(z.dtype)
