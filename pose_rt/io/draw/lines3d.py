"""Skeletons as thin lines, many in one call."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pose_rt.core.skeleton import Skeleton

from .room3d import pool_colour
from .strokes import polylines
from .style import Style, anatomy
from .view import View


@lru_cache(maxsize=8)
def chains(skeleton: Skeleton) -> tuple[tuple[int, np.ndarray], ...]:
    """Bones strung into paths of one side: (side, (C, L) joints of C paths of L joints), so that a skeleton is a few calls."""
    body = anatomy(skeleton)
    paths: list[tuple[int, list[int]]] = []
    for (start, end), side in zip(body.edges.tolist(), body.edge_side.tolist(), strict=True):
        for path_side, path in paths:
            if path_side == side and path[-1] == start:
                path.append(end)
                break
        else:
            paths.append((side, [start, end]))
    kinds = sorted({(side, len(path)) for side, path in paths})
    return tuple((kind[0], np.array([path for side, path in paths if (side, len(path)) == kind], np.intp)) for kind in kinds)


def draw_thin_skeletons(image: np.ndarray, xy: np.ndarray, skeleton: Skeleton, opacity: float, thickness: int, style: Style) -> None:
    """Draw (..., J, 2) px skeletons as thin lines, in a few calls for all of them."""
    for side, paths in chains(skeleton):
        polylines(image, xy[..., paths, :].reshape(-1, paths.shape[1], 2), pool_colour(style, opacity, style.side_colour(side)), thickness)


def thin_line(view: View) -> int:
    """Thickness of a thin line, px: one up to a picture of some 1000 px, as OpenCV draws thicker lines many times slower."""
    return max(1, int(0.006 * view.pixels_per_m))


@lru_cache(maxsize=8)
def head_bone(skeleton: Skeleton) -> int | None:
    """Index in `anatomy(skeleton).edges` of the bone from the nose to the top of the head, None where a skeleton has no such bone."""
    if "nose" not in skeleton.joints or "head" not in skeleton.joints:
        return None
    bone = [skeleton.joints.index("nose"), skeleton.joints.index("head")]
    edges = anatomy(skeleton).edges.tolist()
    return edges.index(bone) if bone in edges else None
