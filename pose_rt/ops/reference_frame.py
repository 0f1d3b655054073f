"""The definition of the frame ops in plain NumPy: image crops, detections and the One-Euro filter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np


def crop_warp(
    image: np.ndarray,
    roi: np.ndarray,
    size: int,
    *,
    border: str = "replicate",
    scale: float | np.ndarray = 1 / 255,
    bias: float | np.ndarray = 0.0,
    swap_rgb: bool = True,
    quantise: str = "u8",
    fixed_point: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Rotated square crops of a picture, bilinear, as normalised float NCHW.

    Output pixel (i, j) samples centre + R(angle) ((i / S - 1/2) side, (j / S - 1/2) side), pixel centres at whole coordinates in
    both pictures; value * scale + bias.

    Args:
        image: (h, w, 3) uint8.
        roi: (P, 4) float32: centre x, centre y, side in px, angle in rad.
        border: "replicate" the edge, or "zero" for every tap outside.
        scale, bias: one number or (3,) for the output's channels.
        swap_rgb: give the channels in reverse order (BGR -> RGB).
        quantise: "u8" rounds the interpolated value to whole numbers before scaling (half to even), "none" does not.
        fixed_point: round the source coordinates to 1/32 px and interpolate in whole numbers, as OpenCV 4 does; implies "u8".
        out: (P, 3, S, S) float32 to write into.

    Returns:
        (P, 3, S, S) float32.
    """
    height, width = image.shape[:2]
    centre, side, angle = roi[:, :2].astype(np.float64), roi[:, 2].astype(np.float64), roi[:, 3].astype(np.float64)
    u = (np.arange(size) / size - 0.5) * side[:, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    # Beyond one pixel outside nothing changes any more: the clamp keeps far coordinates within integers.
    x = np.clip((u[:, None, :] * cos - u[:, :, None] * sin) + centre[:, 0, None, None], -1.0, width)
    y = np.clip((u[:, None, :] * sin + u[:, :, None] * cos) + centre[:, 1, None, None], -1.0, height)
    if fixed_point:
        x, y = np.rint(x * 32) / 32, np.rint(y * 32) / 32
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = (x - x0).astype(np.float32)[..., None], (y - y0).astype(np.float32)[..., None]

    def tap(ty: np.ndarray, tx: np.ndarray) -> np.ndarray:
        value = image[np.clip(ty, 0, height - 1), np.clip(tx, 0, width - 1)].astype(np.float32)
        if border == "zero":
            value *= ((ty >= 0) & (ty < height) & (tx >= 0) & (tx < width))[..., None]
        return value

    a, b, c, d = tap(y0, x0), tap(y0, x0 + 1), tap(y0 + 1, x0), tap(y0 + 1, x0 + 1)
    top = a + fx * (b - a)
    value = top + fy * ((c + fx * (d - c)) - top)
    if fixed_point:
        # With fractions of 1/32 the value is a whole number of 1/1024, exact in float32; OpenCV rounds halves up.
        value = np.floor(value + np.float32(0.5))
    elif quantise == "u8":
        value = np.rint(value)
    if swap_rgb:
        value = value[..., ::-1]
    result = value * np.asarray(scale, np.float32) + np.asarray(bias, np.float32)
    result = np.ascontiguousarray(result.transpose(0, 3, 1, 2), dtype=np.float32)
    if out is None:
        return result
    out[...] = result
    return out


@cache
def blazepose_anchors() -> np.ndarray:
    """(2254, 2) float32 anchor centres of the person detector: 28x28x2, 14x14x2, 7x7x6 in order map, row, column, anchor."""
    rows = []
    for n, repeat in ((28, 2), (14, 2), (7, 6)):
        y, x = np.divmod(np.arange(n * n).repeat(repeat), n)
        rows.append(np.stack([(x + 0.5) / n, (y + 0.5) / n], -1))
    anchors = np.concatenate(rows).astype(np.float32)
    anchors.setflags(write=False)
    return anchors


def decode_detections(
    boxes: np.ndarray,
    scores: np.ndarray,
    *,
    threshold: float = 0.5,
    iou: float = 0.3,
    anchors: np.ndarray | None = None,
    input_size: int = 224,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Person detections from the raw network output: anchors, sigmoid, weighted non-maximum suppression.

    The best remaining detection and all that overlap it by more than `iou` (itself included) become one: score-weighted mean
    of corners and keypoints, score of the best. Order: score, best first (lowest index on ties).

    Args:
        boxes: (N, 12) float32: cx, cy, w, h and four keypoints, in input pixels relative to the anchor.
        scores: (N,) float32 logits.
        anchors: (N, 2) float32 centres in [0, 1]; None = `blazepose_anchors`.

    Returns:
        boxes (n, 4) left, top, right, bottom; keypoints (n, 4, 2); score (n,); float32, in [0, 1] of the network's input.
    """
    centres = (blazepose_anchors() if anchors is None else anchors).astype(np.float64)
    probability = (1.0 / (1.0 + np.exp(-np.clip(scores.astype(np.float64), -100, 100)))).astype(np.float32)
    kept = np.flatnonzero(probability >= np.float32(threshold))
    kept = kept[np.argsort(-probability[kept], kind="stable")]
    raw, centre, score = boxes[kept].astype(np.float64) / input_size, centres[kept], probability[kept]
    middle, half = raw[:, :2] + centre, raw[:, 2:4] / 2
    values = np.concatenate([middle - half, middle + half, (raw[:, 4:].reshape(-1, 4, 2) + centre[:, None]).reshape(-1, 8)], 1)
    area = np.maximum(values[:, 2] - values[:, 0], 0) * np.maximum(values[:, 3] - values[:, 1], 0)
    alive = np.ones(len(kept), bool)
    found: list[np.ndarray] = []
    found_score: list[np.float32] = []
    for i in range(len(kept)):
        if not alive[i]:
            continue
        extent = np.minimum(values[:, 2:4], values[i, 2:4]) - np.maximum(values[:, :2], values[i, :2])
        overlap = np.maximum(extent[:, 0], 0) * np.maximum(extent[:, 1], 0)
        union = area + area[i] - overlap
        cluster = alive & (overlap > iou * union)
        cluster[i] = True
        weight = score[cluster].astype(np.float64)
        found.append((values[cluster] * weight[:, None]).sum(0) / weight.sum())
        found_score.append(score[i])
        alive &= ~cluster
    result = np.array(found, np.float32).reshape(-1, 12)
    return result[:, :4].copy(), result[:, 4:].reshape(-1, 4, 2).copy(), np.array(found_score, np.float32)


@dataclass(frozen=True)
class OneEuroState:
    """What a One-Euro filter remembers of (P, N) elements; owned by the caller, changed in place by `one_euro`.

    Attributes:
        previous, filtered, derivative: (P, N) float64; previous NaN = empty, the next value passes unchanged.
        seconds: (P,) float64, time of the last step.
    """

    previous: np.ndarray
    filtered: np.ndarray
    derivative: np.ndarray
    seconds: np.ndarray

    @classmethod
    def empty(cls, people: int, n: int) -> OneEuroState:
        return cls(np.full((people, n), np.nan), np.zeros((people, n)), np.zeros((people, n)), np.full(people, -np.inf))

    def reset(self, rows: np.ndarray | slice | int = slice(None)) -> None:
        """Forget the given rows (all by default)."""
        self.previous[rows], self.seconds[rows] = np.nan, -np.inf


def one_euro(
    x: np.ndarray,
    state: OneEuroState,
    t: np.ndarray,
    *,
    min_cutoff: float,
    beta: float,
    d_cutoff: float,
    value_scale: np.ndarray,
) -> np.ndarray:
    """One step of the One-Euro filter on every element; `state` is updated in place.

    Casiez, Roussel, Vogel, "1 euro filter" (CHI 2012): the derivative is low-passed at d_cutoff and opens the cutoff of the value,
    cutoff = min_cutoff + beta |derivative|. alpha(c) = 1 / (1 + rate / (2 pi c)).

    Args:
        x: (P, N) float32; NaN gives NaN and empties that element.
        t: (P,) float64 seconds; a row whose time does not move on passes unchanged and keeps its state.
        value_scale: (P,) float64, factor on the derivative (one over the object's size).

    Returns:
        (P, N) float32.
    """
    out = x.copy()
    for row in range(len(x)):
        if t[row] <= state.seconds[row]:
            continue
        rate = 1.0 / (t[row] - state.seconds[row])
        state.seconds[row] = t[row]
        value, previous = x[row].astype(np.float64), state.previous[row].copy()
        first, gone = np.isnan(previous), np.isnan(value)
        slope = np.where(first, 0.0, (value - previous) * value_scale[row] * rate)
        alpha = 1.0 / (1.0 + rate / (2.0 * np.pi * d_cutoff))
        slope = np.where(first, 0.0, alpha * slope + (1.0 - alpha) * state.derivative[row])
        alpha = 1.0 / (1.0 + rate / (2.0 * np.pi * (min_cutoff + beta * np.abs(slope))))
        smooth = np.where(first, value, alpha * value + (1.0 - alpha) * state.filtered[row])
        state.previous[row], state.filtered[row], state.derivative[row] = value, smooth, np.where(gone, 0.0, slope)
        out[row] = smooth
    return out
