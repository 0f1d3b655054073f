"""Packets with a person (or several) in them, made without any model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pose_rt.core.skeleton import BLAZEPOSE33, H36M17
from pose_rt.core.types import Forecast, Frame, Keypoints2D, Packet, Pose3D

# A person who stands upright with the arms a little out, metres from the pelvis, camera axes; the left is at larger x.
BODY_M = np.array([
    [0, 0, 0], [-.13, 0, 0], [-.16, .44, 0], [-.18, .86, .02], [.13, 0, 0], [.16, .44, 0], [.18, .86, .02], [0, -.25, 0], [0, -.5, 0],
    [0, -.6, -.1], [0, -.74, 0], [.18, -.46, 0], [.33, -.2, 0], [.45, .05, -.05], [-.18, -.46, 0], [-.33, -.2, 0], [-.45, .05, -.05],
], np.float32)  # fmt: skip


def blazepose_px(width: int, height: int) -> np.ndarray:
    """(33, 2) the same person in a picture, filling most of its height."""
    place = {name: BODY_M[j, :2] for j, name in enumerate(H36M17.joints)}
    points = np.zeros((33, 2), np.float32)
    for joint, name in enumerate(BLAZEPOSE33.joints):
        side = 1 if "left" in name else -1
        if name in place:
            points[joint] = place[name]
        elif any(word in name for word in ("pinky", "index", "thumb")) and "foot" not in name:
            points[joint] = place["left_wrist" if side > 0 else "right_wrist"] + np.array([side * 0.03, 0.05])
        elif any(word in name for word in ("heel", "foot")):
            points[joint] = place["left_ankle" if side > 0 else "right_ankle"] + np.array([side * 0.05, 0.05 if "heel" in name else 0.09])
        else:
            points[joint] = place["nose"] + np.array([side * 0.04, -0.05])
    points[:, 1] -= 0.05
    return points * np.float32(0.45 * height) + np.array([0.6 * width, 0.5 * height], np.float32)


def make_packet(width: int = 320, height: int = 240, people: int = 1, hypotheses: int = 4, futures: int = 3, steps: int = 100) -> Packet:
    """A packet with everything in it; the random parts are the same at each call."""
    rng = np.random.default_rng(7)
    track = np.arange(people, dtype=np.int64)
    bgr = rng.integers(90, 130, (height, width, 3), dtype=np.uint8)
    shift = np.arange(people, dtype=np.float32)[:, None, None] * np.array([0.3 * width, 0.0], np.float32)
    xy = blazepose_px(width, height)[None] - shift
    box = np.concatenate([xy.min(1) - 4, xy.max(1) + 4], 1) if people else np.zeros((0, 4))
    joints = np.repeat(BODY_M[None], people, 0)
    noise = rng.normal(0, 0.03, (people, hypotheses, 17, 3))
    swing = rng.normal(0, 0.15, (people, futures, 1, 17, 3)) * np.linspace(0, 1, steps)[:, None, None]
    return Packet(
        Frame(bgr, 0, 0, 0),
        keypoints=Keypoints2D(
            xy, np.full((people, 33), 0.9, np.float32), np.full((people, 33), 1.5, np.float32), box.astype(np.float32), track, BLAZEPOSE33
        ),
        pose=Pose3D(
            joints,
            (joints[:, None] + noise).astype(np.float32),
            np.full((people, 17), 0.05, np.float32),
            np.array([[1.2 * p, 0.1, 4.0 + p] for p in range(people)], np.float32).reshape(-1, 3),
            np.zeros((people, 17), np.uint8),
            track,
            H36M17,
        ),
        forecast=Forecast((joints[:, None, None] + swing).astype(np.float32), 20_000_000, track, H36M17),
    )


def lost_leg_packet(index: int, fps: float = 25.0) -> Packet:
    """A packet at its time in a clip, the left leg of its person unseen: the hip with a low score, knee and ankle below the picture."""
    packet = make_packet()
    assert packet.keypoints is not None
    xy, score = packet.keypoints.xy_px.copy(), packet.keypoints.score.copy()
    names = BLAZEPOSE33.joints
    score[:, names.index("left_hip")] = 0.1
    for name in ("left_knee", "left_ankle"):
        xy[:, names.index(name), 1] = 2.0 * packet.frame.height
    frame = replace(packet.frame, index=index, media_ns=round(index * 1e9 / fps))
    return replace(packet, frame=frame, keypoints=replace(packet.keypoints, xy_px=xy, score=score))
