"""Heatmaps -> keypoints: sampling-argmax refinement, with the spread of each point and a second mode where there is one."""

from __future__ import annotations

import time

import numpy as np

from .. import ops
from ..core.skeleton import BLAZEPOSE33
from ..core.types import Frame, Heatmaps, Keypoints2D, Packet
from ..errors import UsageError
from .base import finish
from .crop import bounding_boxes, to_image

MODES = ("sampling-argmax", "mediapipe", "none")
WINDOW = 11
"""Cells of the 64 x 64 map, each way, that take part in the expectation. Of 9, 11, 15 and 19 the steadier half on still joints (all are
within 3 %), wide enough for the spread of a vague joint."""
_HARD = 0.05
"""Temperature at which a relaxed draw is all but a single cell, so that draws spread as the density does."""
_JOINTS = BLAZEPOSE33.num_joints
_TRIANGULAR_VARIANCE = 1 / 6
_APART = 5
"""Cells between two modes of a map, at least (`ops.sample_coordinates` uses the same)."""


class Refine:
    """Packets with `heatmaps` in, packets with `keypoints` (BlazePose-33) out.

    sampling-argmax: the expectation under sigmoid(logit)^2 in a window round the regression; spread = root of its mean variance.
    mediapipe: MediaPipe's own refinement (sigmoid weights, 9 x 9 cells). none: the regression alone, without a spread.
    Where a map says nothing, the regression stays, as uncertain as a uniform window.

    Models that give heatmaps alone (`Heatmaps.basis`) have no regression: sampling-argmax is the mean of softmax(logits), the spread that
    of its mixture density times the factor that was measured for the model; none is the highest cell; mediapipe is not possible.

    Args:
        mode: one of MODES.
        samples: take the spread from this many relaxed Gumbel draws of the same density instead of its second moment; the draws
            are addressed by (seed, frame, track).
        seed: of those draws.
    """

    name = "refine"

    def __init__(self, mode: str = "sampling-argmax", samples: int = 0, seed: int = 0) -> None:
        if mode not in MODES:
            raise ValueError(f"mode: got {mode!r}, wanted one of {', '.join(MODES)}")
        if samples and (samples < 2 or mode != "sampling-argmax"):
            raise ValueError(f"samples: got {samples} with mode {mode!r}, wanted 0, or at least 2 with sampling-argmax")
        self.mode, self.samples, self.seed = mode, samples, seed

    def reset(self) -> None:
        """Nothing is remembered from frame to frame."""

    def close(self) -> None:
        """Nothing is held."""

    def __call__(self, packet: Packet) -> Packet:
        start, heatmaps, frame = time.monotonic_ns(), packet.heatmaps, packet.frame
        if heatmaps is None:
            raise ValueError("refine: the packet has no heatmaps; run the pose2d stage first")
        if heatmaps.basis is not None:
            return finish(packet, self.name, start, keypoints=self._from_density(heatmaps, frame))
        side = heatmaps.roi[:, 2:3]
        spread_px = second_px = None
        points = np.ascontiguousarray(heatmaps.points[:, :_JOINTS])
        if self.mode != "none":
            regression = points
            logits = np.ascontiguousarray(heatmaps.logits[:, :_JOINTS])
            points, spread, second = ops.refine_heatmaps(logits, regression, mode=self.mode.replace("-", "_"), window=WINDOW)
            if self.samples:
                spread = np.where(np.isnan(spread), spread, self._sampled_spread(heatmaps, logits, regression, frame.index))
            vague = WINDOW / heatmaps.logits.shape[-1] / np.sqrt(12)
            spread_px = (np.where(np.isnan(spread), vague, spread) * side).astype(np.float32)
            second_px = to_image(second, heatmaps.roi)
        xy_px = to_image(points, heatmaps.roi)
        keypoints = Keypoints2D(
            xy_px=xy_px,
            score=np.ascontiguousarray(heatmaps.score[:, :_JOINTS]),
            spread_px=spread_px,
            box_px=bounding_boxes(xy_px, frame.width, frame.height),
            track=heatmaps.track,
            skeleton=BLAZEPOSE33,
            second_px=second_px,
        )
        return finish(packet, self.name, start, keypoints=keypoints)

    def _from_density(self, heatmaps: Heatmaps, frame: Frame) -> Keypoints2D:
        """Keypoints of a model without a regression."""
        if self.mode == "mediapipe":
            raise UsageError("--refine mediapipe is for BlazePose's models", "leave it out, or give --refine none for the highest cell")
        people, joints, height, width = heatmaps.logits.shape
        points, spread_px, second_px = heatmaps.points, None, None
        if self.mode != "none":
            place, size = np.array(heatmaps.extent[:2]), np.array(heatmaps.extent[2:])
            maps = np.ascontiguousarray(heatmaps.logits.reshape(people * joints, height, width))
            basis = "triangular" if heatmaps.basis == "none" else str(heatmaps.basis)
            _, mean, covariance, other = ops.sample_coordinates(maps, 0, basis=basis)
            cell = size / (width, height)
            points = (mean.reshape(people, joints, 2) * cell + place).astype(np.float32)
            variance = np.stack([covariance[:, 0, 0], covariance[:, 1, 1]], -1).reshape(people, joints, 2)
            if heatmaps.basis == "none":
                variance = np.maximum(variance - _TRIANGULAR_VARIANCE, 0)
            side = heatmaps.roi[:, 2:3]
            spread_px = (np.sqrt((variance * cell**2).mean(-1)) * side * heatmaps.spread_factor).astype(np.float32)
            second = np.where(other.reshape(people, joints, 1), _second_mode(heatmaps.logits) * cell + place, np.nan)
            second_px = to_image(second, heatmaps.roi)
        xy_px = to_image(points, heatmaps.roi)
        return Keypoints2D(
            xy_px, heatmaps.score, spread_px, bounding_boxes(xy_px, frame.width, frame.height), heatmaps.track, heatmaps.skeleton, second_px
        )

    def _sampled_spread(self, heatmaps: Heatmaps, logits: np.ndarray, points: np.ndarray, frame: int) -> np.ndarray:
        """(P, J) spread in [0, 1] of the crop from draws; softmax of 2 log sigmoid(l) is the density of the expectation."""
        size = logits.shape[-1]
        spread = np.empty(points.shape[:2], np.float32)
        for person, track in enumerate(heatmaps.track.tolist()):
            density = -2.0 * np.logaddexp(np.float32(0.0), -logits[person])
            drawn, _, _, _ = ops.sample_coordinates(
                np.ascontiguousarray(density, np.float32), self.samples, temperature=_HARD, seed=self.seed, frame=frame, track=track,
                window=(points[person] * np.float32(size), WINDOW),
            )  # fmt: skip
            spread[person] = np.sqrt(drawn.var(1, ddof=1).mean(-1)) / size
        return spread


def _second_mode(logits: np.ndarray) -> np.ndarray:
    """(P, J, 2) highest cells, x and y, more than `_APART` cells away from the highest of all."""
    people, joints, height, width = logits.shape
    if people == 0:
        return np.zeros((0, joints, 2))
    y, x = np.divmod(logits.reshape(people, joints, -1).argmax(-1), width)
    far = (np.abs(np.arange(height) - y[..., None]) > _APART)[..., None] | (np.abs(np.arange(width) - x[..., None]) > _APART)[..., None, :]
    y, x = np.divmod(np.where(far, logits, -np.inf).reshape(people, joints, -1).argmax(-1), width)
    return np.stack([x, y], -1)
