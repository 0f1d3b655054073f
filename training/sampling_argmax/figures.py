"""Drawn people with exact keypoints: bodies of random shape and dress in poses of a motion source, before random backgrounds.

They are the material of the synthetic benchmark, and a data set to try the commands on:
``python -m training.sampling_argmax.figures --out drawn --count 2000 [--motion DIR_OF_CMU17]``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from pose_rt.core.skeleton import COCO17
from pose_rt.errors import PoseRtError
from training.data.bodies import apply, facing, from_bones, length_factors, rot_x, rot_z, trunk_frame
from training.data.motion import Clips, Mixture, load_clips, motion_windows
from training.data.procedural import procedural_bones

from .folder import CocoFolder

LEVEL = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
"""World (x right, y forward, z up) -> a level camera that looks along +y (x right, y down, z forward)."""
_SHIFT = 4
_UNIT = 1 << _SHIFT
# COCO-17's joints that H36M-17 has: (COCO, H36M).
_SAME = np.array([(0, 9), (5, 11), (6, 14), (7, 12), (8, 15), (9, 13), (10, 16), (11, 4), (12, 1), (13, 5), (14, 2), (15, 6), (16, 3)])
# Eyes and ears in the frame of the head (right, forward, up), metres from the nose.
_FACE = {1: (-0.032, -0.015, 0.035), 2: (0.032, -0.015, 0.035), 3: (-0.075, -0.10, 0.015), 4: (0.075, -0.10, 0.015)}
# Limbs as (from, to, radius at either end in metres, part of the dress); COCO-17 order.
_LIMBS = (
    (5, 7, 0.052, 0.042, "shirt"), (7, 9, 0.042, 0.030, "sleeve"), (6, 8, 0.052, 0.042, "shirt"), (8, 10, 0.042, 0.030, "sleeve"),
    (11, 13, 0.085, 0.058, "trousers"), (13, 15, 0.058, 0.040, "leg"), (12, 14, 0.085, 0.058, "trousers"), (14, 16, 0.058, 0.040, "leg"),
)  # fmt: skip
_HAND, _FOOT = 0.045, 0.05


def coco_joints(h36m: np.ndarray) -> np.ndarray:
    """H36M-17 joints (..., 17, 3) in world axes -> COCO-17 joints (..., 17, 3): eyes and ears are placed on the head."""
    out = np.zeros_like(h36m)
    out[..., _SAME[:, 0], :] = h36m[..., _SAME[:, 1], :]
    right, _, _ = np.moveaxis(trunk_frame(h36m), -2, 0)
    up = h36m[..., 10, :] - h36m[..., 8, :]
    up = up / np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-6)
    right = right - (right * up).sum(-1, keepdims=True) * up
    right = right / np.maximum(np.linalg.norm(right, axis=-1, keepdims=True), 1e-6)
    forward = np.cross(up, right)
    for joint, (x, y, z) in _FACE.items():
        out[..., joint, :] = h36m[..., 9, :] + x * right + y * forward + z * up
    return out


def draw_poses(rng: np.random.Generator, count: int, clips: Clips | None = None, *, away: float | None = None) -> np.ndarray:
    """(count, 17, 3) COCO-17 joints in world metres; without `clips` from the procedural generator alone.

    People face anywhere, or with `away` the camera, turned away from it by up to that many radians.
    """
    if clips is not None:
        joints = motion_windows(rng, clips, count, 1, 25.0, Mixture(tilted=0.02))[:, 0]
    else:
        bones = procedural_bones(rng, count, 1)[:, 0] * length_factors(rng, count)[..., None]
        joints = apply(rot_z(rng.uniform(-np.pi, np.pi, count)), from_bones(bones))
    if away is not None:
        joints = apply(rot_z(np.pi + rng.uniform(-away, away, count) - facing(joints)), joints)  # the camera looks along +y
    return coco_joints(joints)


class Camera(NamedTuple):
    """A pinhole that looks at a person `distance` metres away; `pitch` looks down, angles in radians, `focal` in px."""

    pitch: float
    roll: float
    distance: float
    focal: float
    centre: np.ndarray

    def project(self, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(J, 3) world metres round the origin -> (J, 2) px and (J,) depth in metres."""
        rotation = rot_z(np.array(self.roll)) @ rot_x(np.array(self.pitch)) @ LEVEL
        camera = world @ rotation.T + np.array([0, 0, self.distance], np.float32)
        return self.focal * camera[:, :2] / camera[:, 2:] + self.centre, camera[:, 2]


def camera_for(rng: np.random.Generator, joints: np.ndarray, width: int, height: int, share: tuple[float, float]) -> Camera:
    """A camera that shows the person with a box between `share` of the smaller side of the picture, somewhere in it."""
    pitch, roll = np.deg2rad(rng.normal(8, 10)), np.deg2rad(rng.normal(0, 8))
    unit = Camera(float(pitch), float(roll), float(rng.uniform(2.5, 7.0)), 1.0, np.zeros(2))
    xy, _ = unit.project(joints)
    low, high = xy.min(0), xy.max(0)
    focal = float(rng.uniform(*share) * min(width, height) / (high - low).max())
    spare = np.maximum(np.array([width, height]) - focal * (high - low), 0.0)
    corner = rng.uniform(0.15, 0.85, 2) * spare
    return unit._replace(focal=focal, centre=corner - focal * low)


@dataclass(frozen=True)
class Look:
    """Colours (BGR) of a person by part, and how stout the limbs are."""

    colours: dict[str, tuple[int, int, int]]
    stout: float


def draw_look(rng: np.random.Generator) -> Look:
    def colour() -> tuple[int, int, int]:
        b, g, r = (rng.integers(15, 245, 3) * rng.uniform(0.5, 1.0)).astype(int).tolist()
        return b, g, r

    tone = rng.uniform(0.35, 1.0)
    skin = tuple(int(v * tone) for v in rng.normal((140, 175, 225), 10).clip(0, 255))
    parts: dict[str, tuple[int, int, int]] = {"skin": (skin[0], skin[1], skin[2]), "shirt": colour(), "trousers": colour()}
    dark = (rng.integers(10, 90, 3)).tolist()
    parts["hair"], parts["shoe"] = (dark[0], dark[1], dark[2]), colour()
    parts["sleeve"] = parts["shirt"] if rng.random() < 0.5 else parts["skin"]
    parts["leg"] = parts["trousers"] if rng.random() < 0.75 else parts["skin"]
    return Look(parts, float(rng.uniform(0.8, 1.35)))


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * _UNIT).astype(np.int32)


def _blob(image: np.ndarray, points: np.ndarray, radii: np.ndarray, colour: tuple[int, int, int]) -> None:
    """The convex hull of circles at (n, 2) px."""
    angle = np.linspace(0, 2 * np.pi, 13)[:-1]
    ring = np.stack([np.cos(angle), np.sin(angle)], -1)
    cloud = (points[:, None] + radii[:, None, None] * ring).reshape(-1, 2).astype(np.float32)
    cv2.fillConvexPoly(image, _fixed(cv2.convexHull(cloud)[:, 0]), colour, cv2.LINE_AA, _SHIFT)


def _lighter(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    b, g, r = (int(min(255, v * factor)) for v in colour)
    return b, g, r


def paint_person(image: np.ndarray, xy: np.ndarray, depth: np.ndarray, focal: float, look: Look) -> None:
    """Draw one person, far parts first. `xy` (17, 2) px and `depth` (17,) m of COCO-17 joints."""
    scale = focal / depth  # px a metre at each joint
    order: list[tuple[float, int]] = [(float(depth[[a, b]].mean()), i) for i, (a, b, *_rest) in enumerate(_LIMBS)]
    order += [(float(depth[[5, 6, 11, 12]].mean()), -1), (float(depth[[0, 3, 4]].mean()), -2)]
    for _, part in sorted(order, reverse=True):
        if part == -1:
            trunk = [5, 6, 12, 11]
            _blob(image, xy[trunk], np.array([0.07, 0.07, 0.085, 0.085]) * look.stout * scale[trunk], look.colours["shirt"])
            hips = [11, 12]
            _blob(image, xy[hips], np.full(2, 0.09) * look.stout * scale[hips], look.colours["trousers"])
        elif part == -2:
            _paint_head(image, xy, depth, scale, look)
        else:
            a, b, first, second, dress = _LIMBS[part]
            radii = np.array([first, second]) * look.stout * scale[[a, b]]
            colour = look.colours[dress]
            _blob(image, xy[[a, b]], radii, _lighter(colour, 0.8))
            _blob(image, xy[[a, b]], radii * 0.6, colour)
            tip = {9: "skin", 10: "skin", 15: "shoe", 16: "shoe"}.get(b)
            if tip is not None:
                _blob(image, xy[[b]], np.array([(_HAND if tip == "skin" else _FOOT) * scale[b]]), look.colours[tip])


def _paint_head(image: np.ndarray, xy: np.ndarray, depth: np.ndarray, scale: np.ndarray, look: Look) -> None:
    size, ears = float(scale[0]), xy[3:5].mean(0)
    shoulders = xy[5:7].mean(0)
    _blob(image, np.stack([shoulders, ears]), np.array([0.05, 0.05]) * size, _lighter(look.colours["skin"], 0.8))
    up = ears - shoulders
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    _blob(image, np.stack([ears + 0.05 * size * up, ears - 0.02 * size * up]), np.array([0.1, 0.085]) * size, look.colours["hair"])
    if depth[0] < depth[3:5].mean() + 0.02:  # the face looks at the camera
        _blob(image, np.stack([xy[0] + 0.02 * size * up, xy[1:3].mean(0)]), np.array([0.07, 0.065]) * size, look.colours["skin"])
        for eye in (1, 2):
            _blob(image, xy[[eye]], np.array([max(0.011 * size, 0.6)]), (30, 30, 30))
        _blob(image, xy[[0]], np.array([max(0.013 * size, 0.6)]), _lighter(look.colours["skin"], 0.7))
    for ear in (3, 4):
        if depth[ear] < depth[3:5].mean() + 0.03:
            _blob(image, xy[[ear]], np.array([0.022 * size]), _lighter(look.colours["skin"], 0.9))


def paint_background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A wall and mostly a floor, each a colour that changes softly, with grain; then some shapes, from pale to gaudy."""
    image = _surface(rng, width, height)
    if rng.random() < 0.7:
        below = int(rng.uniform(0.45, 0.95) * height)
        image[below:] = _surface(rng, width, height)[below:]
    grain = rng.normal(0, rng.uniform(2, 20), (max(height // 4, 1), max(width // 4, 1), 3)).astype(np.float32)
    image = np.ascontiguousarray(np.clip(image + cv2.resize(grain, (width, height)), 0, 255).astype(np.uint8))
    for _ in range(rng.integers(0, 8)):
        _paint_shape(rng, image, rng.uniform(0, 1, 2) * (width, height), rng.uniform(0.05, 0.5, 2) * min(width, height))
    return image


def _surface(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(h, w, 3) float32 BGR: one colour, varied by coarse noise of its own strength and saturation."""
    grey, colour = rng.uniform(0, 255, (4, 5, 1)), rng.uniform(0, 255, (4, 5, 3))
    coarse = grey + rng.uniform(0, 1) ** 2 * (colour - grey)
    base = rng.uniform(20, 235) + rng.normal(0, 25, 3)
    blend = base + rng.uniform(0.05, 0.9) * (coarse - base)
    return np.asarray(cv2.resize(blend.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC))


def _paint_shape(rng: np.random.Generator, image: np.ndarray, centre: np.ndarray, size: np.ndarray) -> np.ndarray:
    """A turned box or an ellipse; returns its outline (n, 2) px."""
    hue = rng.integers(0, 256, 3)
    colour = (hue.mean() + rng.uniform(0, 1) * (hue - hue.mean())).tolist()
    if rng.random() < 0.6:
        outline = cv2.boxPoints(((float(centre[0]), float(centre[1])), (float(size[0]), float(size[1])), float(rng.uniform(0, 180))))
    else:
        angle = np.linspace(0, 2 * np.pi, 24)
        outline = (centre + 0.5 * np.stack([np.cos(angle), np.sin(angle)], -1) * size).astype(np.float32)
    cv2.fillConvexPoly(image, _fixed(outline), colour, cv2.LINE_AA, _SHIFT)
    return np.asarray(outline)


class Drawn(NamedTuple):
    """A picture (h, w, 3) uint8 BGR, its keypoints (17, 2) px, and their flags (17,): 0 outside, 1 hidden by something, 2 free."""

    image: np.ndarray
    xy: np.ndarray
    visible: np.ndarray


def draw_picture(
    rng: np.random.Generator,
    joints: np.ndarray,
    width: int,
    height: int,
    *,
    share: tuple[float, float] = (0.55, 0.85),
    occlusion: float = 0.4,
) -> Drawn:
    """One person before a random background; with probability `occlusion` something stands before a part of them; blur and noise."""
    image = paint_background(rng, width, height)
    camera = camera_for(rng, joints, width, height, share)
    xy, depth = camera.project(joints)
    paint_person(image, xy, depth, camera.focal, draw_look(rng))
    visible = np.where(((xy >= 0) & (xy <= (width - 1, height - 1))).all(-1), 2, 0)
    extent = float((xy.max(0) - xy.min(0)).max())
    if rng.random() < occlusion:
        joint = int(rng.integers(0, COCO17.num_joints))
        outline = _paint_shape(rng, image, xy[joint] + rng.normal(0, 0.03, 2) * extent, rng.uniform(0.12, 0.35, 2) * extent)
        inside = [cv2.pointPolygonTest(outline.astype(np.float32), (float(x), float(y)), False) >= 0 for x, y in xy]
        visible = np.where((visible == 2) & np.array(inside), 1, visible)
    sigma = rng.uniform(0, 0.012) * extent
    if sigma > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    noise = rng.normal(0, rng.uniform(0, 8), image.shape)
    return Drawn(np.clip(image + noise, 0, 255).astype(np.uint8), xy.astype(np.float32), visible)


def write_folder(
    folder: Path, counts: dict[str, int], *, seed: int = 0, clips: Clips | None = None, size: tuple[int, int] = (320, 320)
) -> None:
    """A plain folder in COCO's form: images/, and SPLIT.json for each split of `counts`."""
    written = CocoFolder(folder, COCO17)
    for number, (split, count) in enumerate(counts.items()):
        rng = np.random.default_rng((seed, number))
        for i, pose in enumerate(track(draw_poses(rng, count, clips), f"drawing {split}", console=Console(stderr=True))):
            drawn = draw_picture(rng, pose, *size, share=(0.4, 0.9))
            written.add(f"{split}_{i:05d}.jpg", drawn.image, [(drawn.xy, drawn.visible)])
        written.save(split)


def write_clip(
    folder: Path, *, frames: int = 100, seed: int = 0, clips: Clips | None = None, size: tuple[int, int] = (480, 480)
) -> np.ndarray:
    """Pictures 00000.jpg... of one drawn person who moves, 25 a second, for ``pose-rt video FOLDER --fps 25``.

    Returns:
        The keypoints (F, 17, 2) px.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    if clips is not None:
        joints = motion_windows(rng, clips, 1, frames, 25.0, Mixture(0, 0, 0, 0))[0]
    else:
        joints = apply(rot_z(np.full(1, 2.6)), from_bones(procedural_bones(rng, 1, frames)))[0]
    joints = coco_joints(joints)
    width, height = size
    background, look = cv2.GaussianBlur(paint_background(rng, width, height), (0, 0), 12), draw_look(rng)
    joints = joints - joints.reshape(-1, 3).mean(0)
    camera = camera_for(rng, joints.reshape(-1, 3), width, height, (0.7, 0.8))
    every = []
    for i, pose in enumerate(joints):
        image = background.copy()
        xy, depth = camera.project(pose)
        paint_person(image, xy, depth, camera.focal, look)
        cv2.imwrite(str(folder / f"{i:05d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        every.append(xy)
    return np.array(every)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.sampling_argmax.figures", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write images/, train.json and val.json (or the clip) to")
    parser.add_argument("--count", type=int, default=2000, help="training pictures; a tenth as many for validation")
    parser.add_argument("--clip", type=int, metavar="FRAMES", help="write the pictures of a clip of this many frames instead")
    parser.add_argument("--motion", type=Path, help="folder of cmu17; default: poses of the procedural generator")
    parser.add_argument("--size", type=int, default=320, help="side of the pictures, px")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        clips = None if options.motion is None else load_clips(options.motion, "train")
        size = options.size, options.size
        if options.clip:
            write_clip(options.out, frames=options.clip, seed=options.seed, clips=clips, size=size)
        else:
            counts = {"train": options.count, "val": max(options.count // 10, 1)}
            write_folder(options.out, counts, seed=options.seed, clips=clips, size=size)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
