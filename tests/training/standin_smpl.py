"""A small body with the file layout of SMPL: 24 joints in an upright rest pose, six vertices around each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
_REST = np.array([
    [0, 0, 0], [0.06, -0.09, 0], [-0.06, -0.09, 0], [0, 0.11, -0.03], [0.1, -0.47, 0], [-0.1, -0.47, 0], [0, 0.25, -0.02],
    [0.09, -0.87, -0.04], [-0.09, -0.87, -0.04], [0, 0.3, 0], [0.11, -0.93, 0.08], [-0.11, -0.93, 0.08], [0, 0.51, -0.03],
    [0.08, 0.42, -0.02], [-0.08, 0.42, -0.02], [0, 0.6, 0.02], [0.17, 0.45, -0.03], [-0.17, 0.45, -0.03], [0.43, 0.43, -0.05],
    [-0.43, 0.43, -0.05], [0.68, 0.44, -0.05], [-0.68, 0.44, -0.05], [0.76, 0.43, -0.06], [-0.76, 0.43, -0.06],
])  # fmt: skip
_AROUND = np.concatenate([np.eye(3), -np.eye(3)]) * 0.05


def standin_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a SMPL file, with 144 vertices."""
    rng = np.random.default_rng(seed)
    vertices = (_REST[:, None] + _AROUND).reshape(-1, 3)
    count = len(vertices)
    owner = np.repeat(np.arange(24), 6)
    regressor = np.zeros((24, count))
    regressor[owner, np.arange(count)] = 1 / 6
    corners = np.array([[0, 1, 2], [1, 3, 2], [3, 4, 2], [4, 0, 2], [1, 0, 5], [3, 1, 5], [4, 3, 5], [0, 4, 5]])
    faces = (np.arange(24)[:, None, None] * 6 + corners).reshape(-1, 3)
    scale = np.zeros((count, 3, 10))
    scale[..., 0] = 0.05 * vertices  # the first shape is size, the others hardly matter
    scale[..., 1:] = 0.002 * rng.standard_normal((count, 3, 9))
    covariances = np.repeat(0.3 * np.eye(69)[None], 2, 0)
    return {
        "v_template": vertices, "shapedirs": scale, "posedirs": 0.001 * rng.standard_normal((count, 3, 207)), "J_regressor": regressor,
        "weights": np.eye(24)[owner], "kintree_table": np.array([np.maximum(PARENTS, -1), np.arange(24)]), "f": faces,
        "gmm_means": np.zeros((2, 69)), "gmm_covars": covariances, "gmm_weights": np.full(2, 0.5), "mean_pose": np.zeros(72),
        "mean_shape": np.zeros(10), "gender": np.array("neutral"),
    }  # fmt: skip


def write_standin(path: Path, **changes: np.ndarray) -> Path:
    """Save the body, with some arrays replaced."""
    np.savez(path, **{**standin_arrays(), **changes})
    return path
