"""The living part of the 3D picture: shadows, futures, hypotheses, uncertainty and skeletons, drawn from far to near."""

from __future__ import annotations

import cv2
import numpy as np

from pose_rt.core.types import COMPLETED, Keypoints2D, Packet, Pose3D

from .futures3d import draw_futures, draw_moment
from .lines3d import draw_thin_skeletons, head_bone, thin_line
from .room3d import pool_colour, text_height
from .strokes import SHIFT, blend, capsules, dashes, disc, discs, drawable, fill_polygons, polylines, put_text, window
from .style import Bgr, Style, anatomy, mix
from .view import View, places_on_floor

_BLACK: Bgr = (0, 0, 0)
_WHITE: Bgr = (255, 255, 255)
_BONE_M = 0.021
_HEAD_M = 0.095
_JOINT_IN_FRONT_M = 0.06
_DOT = np.array([1.2, 0.5])
_TURN = np.linspace(0.0, 2.0 * np.pi, 49)
_RING_M = 0.42 * np.stack([np.cos(_TURN), np.zeros_like(_TURN), np.sin(_TURN)], 1)
_FLAT = np.array([1.0, 0.0, 1.0])
_SHADOW_M = 0.085
_SHADOW_DEPTH = 44
_SIGMA_OPACITY = 0.26


def draw_scene(image: np.ndarray, packet: Packet, places: np.ndarray, view: View, style: Style) -> None:
    """Draw the people of a packet over an empty scene, in place.

    Args:
        image: (h, w, 3) uint8 of the view's size, holding the backdrop.
        packet: its pose and forecast are drawn; without a pose nothing is.
        places: (P, 3) m, `people_places` of the packet.
        view: the viewpoint.
        style: colours and what to show.
    """
    pose = packet.pose
    if pose is None or len(pose.track) == 0:
        return
    joints, depth = view.project(pose.joints_m + places[:, None])
    _draw_shadows(image, pose, places, view)
    _draw_rings(image, pose, places, view, style)
    if packet.forecast is not None and style.futures > 0:
        draw_futures(image, packet.forecast, pose, places, view, style)
    if style.hypotheses > 0:
        _draw_hypotheses(image, pose, places, view, style)
    if style.spread:
        _draw_sigma(image, pose, joints, depth, view, style)
    _draw_skeletons(image, pose, joints, depth, view, style)


def _draw_shadows(image: np.ndarray, pose: Pose3D, places: np.ndarray, view: View) -> None:
    """Darken the floor under every bone, softly; made small and blurred, as a shadow has no detail."""
    flat = pose.joints_m + places[:, None]
    flat[..., 1] = 0.0
    xy, _ = view.project(flat)
    bones = xy[:, anatomy(pose.skeleton).edges].reshape(-1, 2, 2)
    bones = bones[drawable(bones).all(-1)]
    if len(bones) == 0:
        return
    thick = _SHADOW_M * view.pixels_per_m
    margin = 2.5 * thick + 2.0
    low, high = bones.min((0, 1)) - margin, bones.max((0, 1)) + margin
    patch = window(image, low[0], low[1], high[0], high[1])
    height, width = patch.shape[:2]
    if not patch.size:
        return
    shrink = max(1.0, thick / 3.0)
    small = np.zeros((max(1, round(height / shrink)), max(1, round(width / shrink))), np.uint8)
    local = (bones - np.maximum(np.floor(low), 0.0)) * (small.shape[1] / width, small.shape[0] / height)
    cv2.polylines(
        small, list(np.rint(local * (1 << SHIFT)).astype(np.int32)), False, _SHADOW_DEPTH, max(1, round(thick / shrink)), cv2.LINE_AA, SHIFT
    )
    soft = cv2.GaussianBlur(small, (0, 0), max(0.7 * thick / shrink, 0.5))
    soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    cv2.subtract(patch, cv2.merge([soft, soft, soft]), dst=patch)


def _draw_rings(image: np.ndarray, pose: Pose3D, places: np.ndarray, view: View, style: Style) -> None:
    """Draw a circle on the floor around each person in the person's colour, with the id where there are several."""
    thickness = max(1, round(0.008 * view.pixels_per_m))
    for person in range(len(pose.track)):
        if not drawable(pose.joints_m[person]).any():
            continue
        track = int(pose.track[person])
        xy, _ = view.project(_RING_M + places[person] * _FLAT)
        polylines(image, xy[None], pool_colour(style, 0.75, style.accent(track)), thickness)
        height = text_height(view)
        if len(pose.track) > 1 and height >= 4.5 and drawable(xy).all():
            put_text(image, str(track), float(xy[:, 0].max()) + 0.4 * height, float(xy[:, 1].mean()), height, style.accent(track))


def _draw_hypotheses(image: np.ndarray, pose: Pose3D, places: np.ndarray, view: View, style: Style) -> None:
    """Draw each hypothesis as a thin faint skeleton."""
    hypotheses = pose.hypotheses_m[:, : style.hypotheses]
    if hypotheses.shape[1] < 2:
        return
    xy, _ = view.project(hypotheses + places[:, None, None])
    opacity = float(np.clip(0.9 / np.sqrt(hypotheses.shape[1]), 0.22, 0.5))
    draw_thin_skeletons(image, xy, pose.skeleton, opacity, thin_line(view), style)


def _draw_sigma(image: np.ndarray, pose: Pose3D, joints: np.ndarray, depth: np.ndarray, view: View, style: Style) -> None:
    """Draw a translucent disc of one standard deviation around each joint."""
    scale = view.pixels_per_m * view.distance_m / np.maximum(depth, 1e-3)
    radius = np.clip(pose.sigma_m, 0.0, 0.5) * scale
    show = drawable(joints) & np.isfinite(radius) & (radius > 1.0)
    if not show.any():
        return
    reach = float(radius[show].max()) + 3.0
    low, high = joints[show].min(0) - reach, joints[show].max(0) + reach
    patch = window(image, low[0], low[1], high[0], high[1])
    if not patch.size:
        return
    above, origin = patch.copy(), np.maximum(np.floor(low), 0.0)
    sides = anatomy(pose.skeleton).joint_side
    colours = [style.side_colour(side) for side in np.tile(sides, (len(joints), 1))[show].tolist()]
    discs(above, joints[show] - origin, radius[show], colours)
    blend(patch, above, _SIGMA_OPACITY)


def _draw_skeletons(image: np.ndarray, pose: Pose3D, joints: np.ndarray, depth: np.ndarray, view: View, style: Style) -> None:
    """Draw bones, joints and heads of all people together from far to near; what leads to a completed joint is dashed."""
    body, head = anatomy(pose.skeleton), head_bone(pose.skeleton)
    finite = np.isfinite(depth)
    middle = float(np.median(depth[finite])) if finite.any() else 0.0
    ends, far = joints[:, body.edges], depth[:, body.edges].mean(-1) - middle
    radius = _BONE_M * view.pixels_per_m * style.line_scale * np.clip(1.0 - 0.18 * far, 0.6, 1.4)
    radius = np.maximum(np.where(np.isfinite(radius), radius, 0.7), 0.7)
    rim = np.maximum(0.3 * radius, 0.6)
    completed = np.equal(pose.provenance, COMPLETED)
    dashed = completed[:, body.edges[:, 0]] | completed[:, body.edges[:, 1]]
    shown = drawable(ends[:, :, 0]) & drawable(ends[:, :, 1])
    solid = np.where(shown[..., None, None], ends, 0.0).reshape(-1, 2, 2)
    outer = capsules(solid[:, 0], solid[:, 1], (radius + rim).reshape(-1), (0.85 * radius + rim).reshape(-1)).reshape(*far.shape, -1, 2)
    inner = capsules(solid[:, 0], solid[:, 1], radius.reshape(-1), 0.85 * radius.reshape(-1)).reshape(*far.shape, -1, 2)
    ink = mix(style.panel, _BLACK, 0.55)
    joint_radius = _BONE_M * view.pixels_per_m * style.line_scale
    ball = joints.copy()
    if head is not None:
        ball[:, body.edges[head]] = np.nan
    items = [(-float(far[p, b]), p, b, True) for p, b in np.argwhere(shown).tolist()]
    items += [(_JOINT_IN_FRONT_M + middle - float(depth[p, j]), p, j, False) for p, j in np.argwhere(drawable(ball)).tolist()]
    for near, person, index, is_bone in sorted(items):
        if not is_bone:
            colour = _shaded(style.side_colour(int(body.joint_side[index])), -near, style)
            discs(image, joints[person, [index, index]], _DOT * joint_radius, (colour, mix(colour, _WHITE, 0.8)))
            continue
        colour = _shaded(style.side_colour(int(body.edge_side[index])), -near, style)
        if index == head:
            _draw_head(image, ends[person, index], _HEAD_M * view.pixels_per_m, float(rim[person, index]), colour, ink)
        elif dashed[person, index]:
            starts, stops = dashes(ends[person, index, 0], ends[person, index, 1], 5.0 * float(radius[person, index]))
            fill_polygons(image, capsules(starts, stops, 0.7 * radius[person, index], 0.7 * radius[person, index]), [colour] * len(starts))
        else:
            fill_polygons(image, (outer[person, index], inner[person, index]), (ink, colour))


def _shaded(colour: Bgr, behind_m: float, style: Style) -> Bgr:
    """A colour sunk into the room with the distance behind the middle of the scene, or lit in front of it."""
    if behind_m > 0.0:
        return mix(colour, style.panel, min(0.5 * behind_m, 0.4))
    return mix(colour, _WHITE, min(-0.4 * behind_m, 0.2))


def _draw_head(image: np.ndarray, nose_and_top: np.ndarray, radius: float, rim: float, colour: Bgr, ink: Bgr) -> None:
    """Draw the head as a ball between nose and crown, with the nose on it to show where it looks."""
    middle = nose_and_top.mean(0)
    disc(image, middle, radius + rim, ink)
    disc(image, middle, radius, colour)
    disc(image, nose_and_top[0], 0.3 * radius, mix(colour, ink, 0.3))


def draw_future_scene(image: np.ndarray, packet: Packet, places: np.ndarray, step: int, view: View, style: Style) -> None:
    """Draw where the people of a packet may be at one frame of its forecast, over an empty scene, in place."""
    pose, forecast = packet.pose, packet.forecast
    if pose is None or forecast is None or len(pose.track) == 0:
        return
    _draw_rings(image, pose, places, view, style)
    draw_moment(image, forecast, pose, places, step, view, style)


def people_places(packet: Packet) -> np.ndarray:
    """(P, 3) m, where the people of a packet stand in the scene; none without a pose."""
    keypoints: Keypoints2D | None = packet.keypoints
    return np.zeros((0, 3)) if packet.pose is None else places_on_floor(packet.pose, keypoints)
