"""2D models that give heatmaps alone, such as those of `training.sampling_argmax`: crops in, `Heatmaps` with their density out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import ops
from ..backends import Backend
from ..core.skeleton import SKELETONS, Skeleton
from ..core.types import Heatmaps, Packet
from ..errors import ModelError
from .base import finish

KIND = "sampling_argmax"
"""`kind` in the metadata of such a model."""
_REACH = 2
"""Cells each way round the highest that count as the joint's own place."""


@dataclass(frozen=True)
class HeatmapModel:
    """What the metadata says.

    Attributes:
        height, width: of the input, px.
        skeleton: of the joints.
        scale, bias: (3,) R, G, B: pixel * scale + bias is the input.
        basis: kernel on every cell; None where the network was trained without one.
        enlarge: of a person's box in training.
        spread_factor: measured error over the deviation of the density; 1 where nobody has measured.
    """

    height: int
    width: int
    skeleton: Skeleton
    scale: np.ndarray
    bias: np.ndarray
    basis: str | None
    enlarge: float
    spread_factor: float

    @property
    def side(self) -> int:
        """Of the square crop that holds the input in its middle, px."""
        return max(self.height, self.width)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the heatmaps in [0, 1] of the square crop."""
        width, height = self.width / self.side, self.height / self.side
        return (1 - width) / 2, (1 - height) / 2, width, height

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any], name: str) -> HeatmapModel:
        """Read the `pose_rt` metadata.

        Raises:
            ModelError: something is missing, or the model is not one of people in the plane.
        """
        try:
            if metadata["dims"] != 2 or metadata["task"] == "mtfl":
                raise ModelError(f"{name} is a model of the task {metadata['task']}, wanted one of people in 2D (coco, images)")
            height, width = (int(v) for v in metadata["image"])
            deviation = np.array(metadata["deviation"], np.float32)
            bias = -np.array(metadata["mean"], np.float32) / deviation
            return cls(
                height, width, skeleton_of(metadata["skeleton"]), 1 / (255 * deviation), bias,
                metadata["basis"], float(metadata["enlarge"]), float(metadata.get("spread_factor", 1.0)),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{name}: its metadata has no usable {error}", "export it with python -m exporters sampling_argmax") from error


def skeleton_of(value: dict[str, Any]) -> Skeleton:
    """A known skeleton by its name, or a new one from names, edges and mirrored pairs."""
    if value["name"] in SKELETONS:
        return SKELETONS[value["name"]]
    pairs = value["pairs"]
    edges = tuple((int(a), int(b)) for a, b in value["edges"])
    return Skeleton(value["name"], tuple(value["joints"]), edges, tuple(int(a) for a, _ in pairs), tuple(int(b) for _, b in pairs))


class HeatmapPose2D:
    """Packets with `rois` in, packets with `heatmaps` out. A joint's score is the probability of the cells round its highest one.

    Args:
        backend: a model of this kind; its metadata says the rest.
    """

    name = "pose2d"

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.model = HeatmapModel.from_metadata(backend.metadata, backend.name)

    def reset(self) -> None:
        """Nothing is remembered from frame to frame."""

    def close(self) -> None:
        self.backend.close()

    def crops(self, bgr: np.ndarray, roi: np.ndarray) -> np.ndarray:
        """(P, 3, H, W) float32: the middle of the square crops, black outside of the picture as in training."""
        model = self.model
        square = ops.crop_warp(bgr, roi, model.side, border="zero", scale=model.scale, bias=model.bias)
        top, left = (model.side - model.height) // 2, (model.side - model.width) // 2
        return np.ascontiguousarray(square[:, :, top : top + model.height, left : left + model.width])

    def __call__(self, packet: Packet) -> Packet:
        start, rois = time.monotonic_ns(), packet.rois
        if rois is None:
            raise ValueError("pose2d: the packet has no rois; run the detect stage first")
        logits = self.backend.run({"image": self.crops(packet.frame.bgr, rois.roi)})["heatmaps"]
        points, score = highest(logits)
        left, top, width, height = self.model.extent
        points = points * np.array([width, height], np.float32) + np.array([left, top], np.float32)
        presence = score.mean(-1) if len(score) else np.zeros(0, np.float32)
        heatmaps = Heatmaps(
            logits, points, rois.roi, score, presence.astype(np.float32), rois.track, skeleton=self.model.skeleton,
            extent=self.model.extent, basis=self.model.basis or "none", enlarge=self.model.enlarge,
            spread_factor=self.model.spread_factor,
        )  # fmt: skip
        return finish(packet, self.name, start, heatmaps=heatmaps)


def highest(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Highest cells (P, J, 2) as cell / length, and the probability (P, J) within `_REACH` cells of each, of (P, J, H, W) logits."""
    people, joints, height, width = logits.shape
    if people == 0:
        return np.zeros((0, joints, 2), np.float32), np.zeros((0, joints), np.float32)
    flat = logits.reshape(people, joints, -1)
    p = np.exp(flat - flat.max(-1, keepdims=True)).reshape(logits.shape)
    y, x = np.divmod(flat.argmax(-1), width)
    near = (np.abs(np.arange(height) - y[..., None]) <= _REACH)[..., None] & (np.abs(np.arange(width) - x[..., None]) <= _REACH)[
        ..., None, :
    ]
    share = (p * near).sum((-2, -1)) / p.sum((-2, -1))
    return np.stack([x / width, y / height], -1).astype(np.float32), share.astype(np.float32)
