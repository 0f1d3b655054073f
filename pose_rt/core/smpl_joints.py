"""The 22 joints that SMPL shares with HumanML, made of the joints of other skeletons, and the direction a motion faces."""

from __future__ import annotations

import numpy as np

from .motion_sets import GYMNASTICS18, HUMANML22, NBA16
from .rotation import quaternion_rotate
from .rotations import between
from .skeleton import COCO17, H36M17, Skeleton

SOURCES = {s.name: s for s in (NBA16, GYMNASTICS18, H36M17, COCO17)}
"""Skeletons that can be turned into SMPL's."""

_SPINE = {"spine1": 0.25, "spine2": 0.5, "spine3": 0.75}
_SAME = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")


def to_smpl22(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Joints of a skeleton (..., J, 3) -> (..., 22, 3); joints that SMPL has no name for (a ball) follow it, (..., 23, 3).

    By name where there is one; feet are the ankles, a missing pelvis or neck lies between the hips or shoulders, the spine on the
    line from pelvis to neck, collars a quarter of the way from neck to shoulder.

    Raises:
        ValueError: a skeleton that there is no map for.
    """
    if skeleton.name not in SOURCES:
        raise ValueError(f"skeleton: got {skeleton.name}, wanted one of {', '.join(SOURCES)}")
    values = np.asarray(joints, np.float64)
    at = {name: values[..., i, :] for i, name in enumerate(skeleton.joints)}
    found: dict[str, np.ndarray] = {}
    for side in ("left", "right"):
        found |= {f"{side}_{part}": at[f"{side}_{part}"] for part in _SAME}
        found[f"{side}_foot"] = at[f"{side}_ankle"]
    middle = {name: (found["left_" + name] + found["right_" + name]) / 2 for name in ("hip", "shoulder")}
    found["pelvis"] = next((at[n] for n in ("pelvis", "hip") if n in at), middle["hip"])
    found["neck"] = next((at[n] for n in ("neck", "thorax") if n in at), middle["shoulder"])
    found["head"] = at.get("head", at.get("nose", found["neck"]))
    found |= {name: found["pelvis"] + share * (found["neck"] - found["pelvis"]) for name, share in _SPINE.items()}
    for side in ("left", "right"):
        found[f"{side}_collar"] = found["neck"] + 0.25 * (found[f"{side}_shoulder"] - found["neck"])
    rows = [found[name] for name in HUMANML22.joints]
    return np.stack([*rows, at["ball"]] if "ball" in at else rows, -2)


_LEFT_SHOULDER, _RIGHT_SHOULDER = (HUMANML22.joints.index(side + "_shoulder") for side in ("left", "right"))


def face_forward(joints: np.ndarray) -> np.ndarray:
    """Turn a motion (T, 22, 3) about the vertical so that its first frame faces +z, then mirror z.

    The mirror undoes the generated motions' z, which points away from the camera: x right, y up, z towards the viewer.
    """
    across = joints[0, _RIGHT_SHOULDER] - joints[0, _LEFT_SHOULDER]
    facing = np.cross(np.array([0.0, 1.0, 0.0]), across)
    turned = quaternion_rotate(between(facing / np.linalg.norm(facing), np.array([0.0, 0.0, 1.0])), joints)
    return turned * np.array([1.0, 1.0, -1.0])
