"""The 2D part of the picture: keypoints, how sure they are, and who is who, drawn over the frame."""

from __future__ import annotations

import numpy as np

from pose_rt.core.types import Keypoints2D

from .strokes import (
    blend,
    capsules,
    discs,
    drawable,
    fill_polygons,
    polylines,
    put_text,
    ring,
    soft_disc,
    text_size,
    window,
)
from .style import CENTRE, Bgr, Style, anatomy, mix, picture_unit

_INK: Bgr = (22, 18, 16)
_WHITE: Bgr = (255, 255, 255)
_FADED = 0.38
_LIMB_SHARE = 0.0085
_JOINT = 1.75
_HALO_OPACITY = 0.3


def draw_people(image: np.ndarray, keypoints: Keypoints2D, style: Style) -> None:
    """Draw every person in place: translucent discs of two standard deviations, bones, joints, box corners and id.

    Args:
        image: (h, w, 3) uint8, changed.
        keypoints: joints in px of this image; NaN joints are left out and those under `style.kpt_thr` are faded.
        style: colours, threshold and what to show.
    """
    for person in range(keypoints.people):
        _draw_person(image, keypoints, person, style)


def _draw_person(image: np.ndarray, keypoints: Keypoints2D, person: int, style: Style) -> None:
    xy = keypoints.xy_px[person]
    seen = drawable(xy)
    body = _box(xy[seen])
    box = keypoints.box_px[person] if drawable(keypoints.box_px[person]) else body
    if box is None:
        return
    unit = picture_unit(image.shape[1], image.shape[0])
    size = float(max(body[2] - body[0], body[3] - body[1])) if body is not None else 0.0
    limb = float(np.clip(_LIMB_SHARE * size, 0.9 * unit, 3.4 * unit)) * style.line_scale
    if style.boxes:
        _draw_corners(image, box, style.accent(int(keypoints.track[person])), unit * style.line_scale)
    if body is not None:
        if style.spread and keypoints.spread_px is not None:
            _draw_spread(image, keypoints, person, seen, limb, size, style)
        confident = seen & (keypoints.score[person] >= style.kpt_thr)
        margin = 6.0 * limb + 2.0
        patch = window(image, body[0] - margin, body[1] - margin, body[2] + margin, body[3] + margin)
        if patch.size:
            local = xy - np.maximum(np.floor(body[:2] - margin), 0.0)
            if (seen & ~confident).any():
                faint = patch.copy()
                _draw_bones(faint, local, seen, ~confident, keypoints, limb, style)
                blend(patch, faint, _FADED)
            _draw_bones(patch, local, confident, confident, keypoints, limb, style)
    if style.boxes:
        _draw_tag(image, box, int(keypoints.track[person]), style, unit)


def _box(points: np.ndarray) -> np.ndarray | None:
    """Left, top, right, bottom of (N, 2) points, or None where there are none."""
    return None if len(points) == 0 else np.concatenate([points.min(0), points.max(0)])


def _draw_bones(
    image: np.ndarray, xy: np.ndarray, seen: np.ndarray, wanted: np.ndarray, keypoints: Keypoints2D, limb: float, style: Style
) -> None:
    """Draw the bones between `seen` joints that touch a `wanted` one, and the wanted joints; dark casing first, then colour."""
    body = anatomy(keypoints.skeleton)
    show = seen[body.edges].all(1) & wanted[body.edges].any(1)
    edges, side, fine = body.edges[show], body.edge_side[show], body.fine_edge[show]
    order = np.argsort(~fine, kind="stable")
    edges, side, fine = edges[order], side[order], fine[order]
    start, end = xy[edges[:, 0]], xy[edges[:, 1]]
    radius = np.where(fine, 0.32, 1.0) * limb
    taper = np.where(side == CENTRE, 1.0, 0.8)
    casing = np.where(fine, 0.28, 0.5) * max(limb, 1.4)
    fill_polygons(image, capsules(start, end, radius + casing, taper * radius + casing), [_INK] * len(edges))
    fill_polygons(image, capsules(start, end, radius, taper * radius), [style.side_colour(s) for s in side])
    if limb < 1.2:
        return
    joints = np.flatnonzero(seen & wanted & ~body.fine_joint)
    at, colours = xy[joints], [style.side_colour(side) for side in body.joint_side[joints].tolist()]
    discs(image, at, _JOINT * limb + 0.3 * limb, [_INK] * len(joints))
    discs(image, at, _JOINT * limb, colours)
    discs(image, at, 0.85 * limb, [mix(colour, _WHITE, 0.85) for colour in colours])


def _draw_spread(image: np.ndarray, keypoints: Keypoints2D, person: int, seen: np.ndarray, limb: float, size: float, style: Style) -> None:
    """Draw a translucent disc of two standard deviations at each main joint, and a ring at the second mode of its heatmap if it has one."""
    assert keypoints.spread_px is not None
    body, xy, spread = anatomy(keypoints.skeleton), keypoints.xy_px[person], keypoints.spread_px[person]
    for joint in np.flatnonzero(seen & ~body.fine_joint & np.isfinite(spread)):
        radius = min(2.0 * float(spread[joint]), 0.25 * size)
        if radius > _JOINT * limb:
            soft_disc(image, xy[joint], radius, style.side_colour(int(body.joint_side[joint])), _HALO_OPACITY)
    if keypoints.second_px is None:
        return
    second = keypoints.second_px[person]
    for joint in np.flatnonzero(seen & ~body.fine_joint & drawable(second)):
        ring(image, second[joint], 1.8 * limb, style.side_colour(int(body.joint_side[joint])), max(1, round(0.5 * limb)))


def _draw_corners(image: np.ndarray, box: np.ndarray, colour: Bgr, unit: float) -> None:
    """Draw the four corners of a person's box."""
    left, top, right, bottom = (float(v) for v in box)
    arm = min(0.12 * min(right - left, bottom - top), 22.0 * unit)
    if arm < 2.0:
        return
    lines = np.array([
        [(x + dx * arm, y), (x, y), (x, y + dy * arm)]
        for x, dx in ((left, 1.0), (right, -1.0))
        for y, dy in ((top, 1.0), (bottom, -1.0))
    ])  # fmt: skip
    thickness = max(1, round(2.0 * unit))
    polylines(image, lines, _INK, thickness + max(1, round(1.2 * unit)))
    polylines(image, lines, colour, thickness)


def _draw_tag(image: np.ndarray, box: np.ndarray, track: int, style: Style, unit: float) -> None:
    """Write a person's id on a small chip that stands on the upper left corner of the box, inside the picture."""
    height = 8.5 * unit
    if height < 4.5:
        return
    text = str(track)
    width, _ = text_size(text, height)
    pad = 0.6 * height
    chip_w, chip_h = width + 2.0 * pad, height + 2.0 * pad
    x = float(np.clip(box[0], 0.0, max(image.shape[1] - chip_w, 0.0)))
    y = float(np.clip(box[1] - chip_h - 2.0 * unit, 0.0, max(image.shape[0] - chip_h, 0.0)))
    radius = 0.5 * chip_h
    middle = np.array([(x + radius, y + radius), (x + max(chip_w - radius, radius), y + radius)])
    polylines(image, middle[None], style.accent(track), round(chip_h))
    put_text(image, text, x + pad + 0.5 * (max(chip_w, chip_h) - chip_w), y + pad + height, height, _INK)
