"""How pixels become numbers: ImageNet's means and deviations, and the published ones for comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pose_rt.models.sampling_argmax.checkpoint import PUBLISHED_DEVIATION_3D, PUBLISHED_MEAN


@dataclass(frozen=True)
class Preprocess:
    """(RGB / 255 - mean) / deviation.

    Attributes:
        mean, deviation: a channel, R, G, B.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """(..., 3, H, W) uint8 -> float32."""
        scale = (1 / (255 * np.array(self.deviation))).astype(np.float32)
        bias = (-np.array(self.mean) / np.array(self.deviation)).astype(np.float32)
        return rgb.astype(np.float32) * scale[:, None, None] + bias[:, None, None]

    def to_dict(self) -> dict[str, Any]:
        """Lists, for checkpoints and for the metadata of an exported model."""
        return {"mean": list(self.mean), "deviation": list(self.deviation)}


IMAGENET = Preprocess((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PUBLISHED_2D = Preprocess(PUBLISHED_MEAN)
"""Of the published 2D pose and face models: the means in the order B, G, R, one misspelt, taken from R, G, B; no deviation."""
PUBLISHED_3D = Preprocess(PUBLISHED_MEAN, PUBLISHED_DEVIATION_3D)
"""Of the published 3D model."""


def preprocess_of(task: str, reference: bool) -> Preprocess:
    """ImageNet's, or with `reference` that of the published code."""
    if not reference:
        return IMAGENET
    return PUBLISHED_3D if task == "h36m" else PUBLISHED_2D
