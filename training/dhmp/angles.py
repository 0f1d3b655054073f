"""Cosines of anatomical angles and their limits: the valid-angle check of DHMP. Poses are (N, 3V), root-relative, V nodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

Cosines = dict[str, Tensor]
Limits = Mapping[str, tuple[float, float]]

LIMITS = Path(__file__).with_name("valid_angles_cmu17.json")
"""Limits measured on cmu17/train by `training.dhmp.fit_angles`."""

IGNORED_BEYOND = 0.98
"""A limit this close to -1 or 1 is no limit: it is not checked."""


def _cos(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1) / a.norm(dim=-1) / b.norm(dim=-1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.cross(a, b, dim=-1)


def _spine_planes(p: Callable[[int], Tensor]) -> tuple[Tensor, Tensor]:
    """(direction, cosine), each (2, N), left then right: which entry of Spine2HipPlane1/2 a pose belongs to, and its value."""
    left = _cross(p(4) - p(3), p(3))
    left_side = _cross(p(6), left)
    right = _cross(p(0), p(1) - p(0))
    right_side = _cross(right, p(6))
    direction = torch.stack([_cos(p(3), left_side), _cos(p(0), right_side)])
    return direction, torch.stack([_cos(left, p(6)), _cos(right, p(6))])


def h36m_cosines(pose: Tensor, select: bool = True) -> Cosines:
    """The 13 cosines of the 16-node H36M skeleton.

    Spine2HipPlane1 holds the values whose direction is negative, Spine2HipPlane2 the others.

    Args:
        pose: (N, 48).
        select: True: those two entries are vectors of the selected values, left then right (for the loss); False: (2, N) with
            0.5 in unselected slots.
    """
    p = pose.unflatten(-1, (-1, 3)).unbind(-2).__getitem__

    direction, plane = _spine_planes(p)
    negative = direction < 0
    if select:
        first, second = plane[negative], plane[~negative]
    else:
        half = torch.full_like(plane, 0.5)
        first, second = torch.where(negative, plane, half), torch.where(negative, half, plane)
    hip_plane = _cross(p(7) - p(0), p(7) - p(3))
    face = _cross(_cross(p(9) - p(8), p(8) - p(7)), p(9) - p(7))
    shoulders = _cross(p(13), p(10))
    left_leg = _cross(p(3), p(4) - p(3))
    right_leg = _cross(p(1) - p(0), p(0))
    return {
        "Spine2Hip": torch.stack([_cos(p(3), p(6)), _cos(p(0), p(6))]),
        "Leg2HipPlane": torch.stack([_cos(left_leg, p(5) - p(4)), _cos(right_leg, p(2) - p(1))]),
        "Shoulder2Hip": torch.stack([_cos(p(10) - p(7), p(3)), _cos(p(13) - p(7), p(0))]),
        "Leg2ShoulderPlane": torch.stack([_cos(shoulders, p(4)), _cos(shoulders, p(1))]),
        "Shoulder2Shoulder": _cos(p(13) - p(7), p(10) - p(7)),
        "Neck2Spine": _cos(p(7) - p(6), p(6)),
        "Spine2HipPlane1": first,
        "Spine2HipPlane2": second,
        "ShoulderPlane2HipPlane": _cos(hip_plane, _cross(p(10), p(13))),
        "Head2Neck": _cos(p(7) - p(6), p(8) - p(7)),
        "Head2HeadTop": _cos(p(9) - p(8), p(8) - p(7)),
        "HeadVerticalPlane2HipPlane": _cos(face, hip_plane),
        "Shoulder2Neck": torch.stack([_cos(p(10) - p(7), p(6) - p(7)), _cos(p(13) - p(7), p(6) - p(7))]),
    }


def humaneva_cosines(pose: Tensor, select: bool = True) -> Cosines:
    """The 9 cosines of the 14-node HumanEva skeleton; `pose` is (N, 42). `select` has no effect here."""
    p = pose.unflatten(-1, (-1, 3)).unbind(-2).__getitem__

    hips = _cross(p(7), p(10))
    right_foot, left_foot = _cross(p(7) - p(10), p(11) - p(10)), _cross(p(7) - p(10), p(8) - p(7))
    right_arm, left_arm = _cross(p(4) - p(0), p(5) - p(4)), _cross(p(2) - p(1), p(1) - p(0))
    return {
        "LHip2RHip": _cos(p(7), p(10)),
        "Neck2HipPlane": _cos(hips, p(0)),
        "Head2Neck": _cos(p(13) - p(0), p(0)),
        "Shoulder2Shoulder": _cos(p(1) - p(0), p(4) - p(0)),
        "ShoulderPlane2HipPlane": _cos(_cross(p(7) - p(0), p(10) - p(0)), _cross(p(1), p(4))),
        "Shoulder2Neck": torch.stack([_cos(p(1) - p(0), p(0)), _cos(p(4) - p(0), p(0))]),
        "Leg2HipPlane": torch.stack([_cos(hips, p(8) - p(7)), _cos(hips, p(11) - p(10))]),
        "Foot2LegPlane": torch.stack([_cos(right_foot, p(12) - p(11)), _cos(left_foot, p(9) - p(8))]),
        "ForeArm2ShoulderPlane": torch.stack([_cos(right_arm, p(6) - p(5)), _cos(left_arm, p(3) - p(2))]),
    }


COSINES: dict[int, Callable[..., Cosines]] = {16: h36m_cosines, 14: humaneva_cosines}
"""By number of nodes."""


def valid_angle(pose: Tensor, limits: Limits) -> Tensor:
    """Sum over the limits of the mean squared excess of the *violating* entries of all poses (N, 3V)."""
    cosines = COSINES[pose.shape[-1] // 3](pose)
    total = pose.new_zeros(())
    for name, (low, high) in limits.items():
        value = cosines[name]
        below, above = value < low, value > high
        if low >= -IGNORED_BEYOND and bool(below.any()):
            total = total + (value[below] - low).square().mean()
        if high <= IGNORED_BEYOND and bool(above.any()):
            total = total + (value[above] - high).square().mean()
    return total


def violation_share(pose: Tensor, limits: Limits) -> float:
    """Share of all cosines of all poses (N, 3V) that lie outside their limits."""
    cosines = COSINES[pose.shape[-1] // 3](pose)
    outside = [((cosines[name] < low) | (cosines[name] > high)).flatten() for name, (low, high) in limits.items()]
    return float(torch.cat(outside).double().mean())


def measure_limits(pose: Tensor, percentile: float = 1.0) -> dict[str, tuple[float, float]]:
    """The `percentile` and 100 - `percentile` of every cosine over the poses (N, 3V) of a training set."""
    levels = torch.tensor([percentile / 100, 1 - percentile / 100], dtype=pose.dtype)
    limits = {}
    for name, value in COSINES[pose.shape[-1] // 3](pose).items():
        ordered = value.flatten().sort().values
        low, high = ordered[(levels * (len(ordered) - 1)).round().long()].tolist()
        limits[name] = (round(low, 4), round(high, 4))
    return limits


def load_limits(path: Path) -> dict[str, tuple[float, float]]:
    """Limits from JSON: name -> [low, high] cosine."""
    return {name: (float(low), float(high)) for name, (low, high) in json.loads(path.read_text())["limits"].items()}
