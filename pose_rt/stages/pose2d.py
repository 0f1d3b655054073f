"""Regions of interest -> heatmaps and regressed landmarks: the BlazePose landmark network on a batch of crops."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from .. import ops
from ..backends import Backend
from ..core.types import Frame, Heatmaps, Packet
from .base import finish
from .heatmap_model import KIND, HeatmapPose2D

SIZE = 256
AUXILIARY = slice(33, 35)
"""Centre and scale point of the body among the 39 points; 0..32 are the landmarks, 35..38 palm points."""


class Landmarks(NamedTuple):
    """What the network says of P crops.

    Attributes:
        points: (P, 39, 2) in [0, 1] of the crop.
        z: (P, 39) depth on the scale of x, in sides of the crop, origin at the hips.
        visibility, score: (P, 39) probabilities: not hidden; present and not hidden.
        presence: (P,) probability that there is a person.
        heatmap: (P, 39, 64, 64) logits.
        world: (P, 39, 3) metres, origin mid-hip, axes turned with the crop.
    """

    points: np.ndarray
    z: np.ndarray
    visibility: np.ndarray
    score: np.ndarray
    presence: np.ndarray
    heatmap: np.ndarray
    world: np.ndarray


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.float32(1.0) / (np.float32(1.0) + np.exp(-np.clip(x, -80, 80)))


def estimate(backend: Backend, frame: Frame, roi: np.ndarray, out: np.ndarray | None = None) -> Landmarks:
    """Cut the ROIs (P, 4) out of a picture and run the landmark network on them.

    The picture is sampled in steps of 1/32 px, as MediaPipe does: the network is sensitive enough for the steps to show.

    Args:
        out: (P, 3, 256, 256) float32 to cut into.
    """
    crops = ops.crop_warp(frame.bgr, roi, SIZE, fixed_point=True, out=out)
    raw = backend.run({"image": crops})
    values = raw["landmarks"]
    probability = _sigmoid(values[..., 3:5])
    return Landmarks(
        points=values[..., :2] / np.float32(SIZE),
        z=values[..., 2] / np.float32(SIZE),
        visibility=probability[..., 0],
        score=probability[..., 0] * probability[..., 1],
        presence=raw["presence"][:, 0],
        heatmap=raw["heatmap"],
        world=raw["world"],
    )


def open_pose2d(backend: Backend) -> Pose2D | HeatmapPose2D:
    """The stage for a landmark model, by what its metadata says it is."""
    return HeatmapPose2D(backend) if backend.metadata.get("kind") == KIND else Pose2D(backend)


class Pose2D:
    """Packets with `rois` in, packets with `heatmaps` out. A landmark's score is visibility times presence.

    Args:
        backend: a landmark network (lite, full or heavy).
    """

    name = "pose2d"

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._crops = np.empty((0, 3, SIZE, SIZE), np.float32)

    def reset(self) -> None:
        """Nothing is remembered from frame to frame."""

    def close(self) -> None:
        self.backend.close()

    def __call__(self, packet: Packet) -> Packet:
        start, rois = time.monotonic_ns(), packet.rois
        if rois is None:
            raise ValueError("pose2d: the packet has no rois; run the detect stage first")
        people = len(rois.track)
        if len(self._crops) != people:
            self._crops = np.empty((people, 3, SIZE, SIZE), np.float32)
        found = estimate(self.backend, packet.frame, rois.roi, out=self._crops)
        heatmaps = Heatmaps(found.heatmap, found.points, rois.roi, found.score, np.ascontiguousarray(found.presence), rois.track)
        return finish(packet, self.name, start, heatmaps=heatmaps)
