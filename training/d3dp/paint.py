"""Pictures of a scene: the keypoints, and the poses in camera and world axes: hypotheses thin, mean, J-Agg and truth in colour."""

from __future__ import annotations

import cv2
import numpy as np

from pose_rt.core.skeleton import Skeleton
from pose_rt.metrics.pose3d import mpjpe

from .scene import Scene

Colour = tuple[int, int, int]
HYPOTHESIS, MEAN, JAGG, TRUTH, LEFT, RIGHT = (150, 150, 150), (230, 140, 40), (30, 120, 240), (70, 160, 60), (60, 60, 210), (210, 120, 40)
"""BGR."""
_BACK, _INK = 250, (60, 60, 60)
_SHIFT = 4
_VIEW_M = 1.1
_YAW = np.deg2rad(25.0)


def picture(scene: Scene, frame: int, side: int = 480) -> np.ndarray:
    """Frame t as (side, 3 side, 3) uint8 BGR: keypoints, camera axes, world axes."""
    panels = [_keypoints(scene, frame, side), _poses(scene, frame, side, world=False), _poses(scene, frame, side, world=True)]
    return np.concatenate(panels, 1)


def _blank(side: int, title: str) -> np.ndarray:
    image = np.full((side, side, 3), _BACK, np.uint8)
    _text(image, title, 0)
    return image


def _text(image: np.ndarray, text: str, line: int, colour: Colour = _INK) -> None:
    scale = image.shape[0] / 480
    place = (round(12 * scale), round((24 + 22 * line) * scale))
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * scale, colour, max(round(scale), 1), cv2.LINE_AA)


def _keypoints(scene: Scene, frame: int, side: int) -> np.ndarray:
    image = _blank(side, f"{scene.name}  frame {frame}")
    width, height = scene.size
    scale = side / max(width, height)
    xy = scene.xy_px[frame] * scale + np.array([side - width * scale, side - height * scale]) / 2
    _skeleton(image, xy, scene.skeleton_in, None, 2)
    return image


def _poses(scene: Scene, frame: int, side: int, *, world: bool) -> np.ndarray:
    image = _blank(side, "world" if world else "camera")
    layers: list[tuple[str, np.ndarray, Colour, int]] = [("ground truth", scene.truth[frame], TRUTH, 3)]
    layers += [("", h, HYPOTHESIS, 1) for h in scene.hypotheses[frame]]
    layers.append(("mean (P-Agg)", scene.mean[frame], MEAN, 2))
    if scene.jagg is not None:
        layers.append(("J-Agg", scene.jagg[frame], JAGG, 2))
    line = 1
    for name, pose, colour, thickness in layers:
        _skeleton(image, _flat(scene, pose, frame, world) * side / (2 * _VIEW_M) + side / 2, scene.skeleton_out, colour, thickness)
        if name:
            error = "" if colour is TRUTH else f"  {1000 * float(mpjpe(pose, scene.truth[frame])):.0f} mm"
            _text(image, name + error, line, colour)
            line += 1
    return image


def _flat(scene: Scene, pose: np.ndarray, frame: int, world: bool) -> np.ndarray:
    """(J, 3) -> (J, 2) metres in the picture, y down, the root in the middle, seen from a little to the side."""
    if world:
        root = scene.place[frame]
        turned = scene.to_world(pose + root) - scene.to_world(root)
        right, up = np.array([np.cos(_YAW), np.sin(_YAW), 0.0]), np.array([0.0, 0.0, 1.0])
        return np.stack([turned @ right, -(turned @ up)], -1)
    return np.stack([pose @ np.array([np.cos(_YAW), 0.0, np.sin(_YAW)]), pose[:, 1]], -1)


def _skeleton(image: np.ndarray, xy: np.ndarray, skeleton: Skeleton, colour: Colour | None, thickness: int) -> None:
    sides = ((set(skeleton.left), LEFT), (set(skeleton.right), RIGHT))
    for start, end in skeleton.edges:
        if np.isfinite(xy[[start, end]]).all():
            ink = colour if colour is not None else next((c for side, c in sides if start in side or end in side), _INK)
            a, b = (tuple(np.rint(point * (1 << _SHIFT)).astype(int).tolist()) for point in xy[[start, end]].clip(-4000, 8000))
            cv2.line(image, a, b, ink, thickness, cv2.LINE_AA, _SHIFT)
