"""Inference: soft-argmax, the flip test, the argmax alternative, and the way back to the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_STRIDE = 4
"""Pixels of the network's input a heatmap cell; published models have no other."""


class Decoded(NamedTuple):
    """Joint positions in evaluation.

    Attributes:
        pred_jts: (B, K, 2 or 3), cell / length - 0.5 on x, y, z.
        maxvals: (B, K, 1) probability of the likeliest cell, the joint's score.
        marginals: probabilities of the cells of x, y, z, (B, K, length) each.
    """

    pred_jts: Tensor
    maxvals: Tensor
    marginals: tuple[Tensor, ...]


def axis_marginals(p: Tensor, dims: int) -> tuple[Tensor, ...]:
    """Sums of (..., [D,] H, W) over all axes but one, in the order x, y, z."""
    axes = range(-dims, 0)
    return tuple(p.sum([other for other in axes if other != axis]) for axis in reversed(axes))


def normalise(cells: Tensor, grid: Sequence[int]) -> Tensor:
    """cell / length - 0.5 for (..., 2 or 3) cells in the order x, y, z. No half-cell offset: published weights have none."""
    return cells / torch.tensor(list(grid)[::-1], dtype=cells.dtype, device=cells.device) - 0.5


def decode(heatmaps: Tensor) -> Decoded:
    """Soft-argmax: the mean of softmax(logits) over the cells.

    Args:
        heatmaps: (B, K, H, W) or (B, K, D, H, W) logits.

    Raises:
        ValueError: for another number of axes.
    """
    if heatmaps.ndim not in (4, 5):
        raise ValueError(f"heatmaps: got {tuple(heatmaps.shape)}, wanted (B, K, H, W) or (B, K, D, H, W)")
    grid = heatmaps.shape[2:]
    flat = torch.softmax(heatmaps.flatten(2), -1)
    marginals = axis_marginals(flat.unflatten(-1, grid), len(grid))
    cells = [(p * torch.arange(p.shape[-1], dtype=p.dtype, device=p.device)).sum(-1) for p in marginals]
    return Decoded(normalise(torch.stack(cells, -1), grid), flat.amax(-1, keepdim=True), marginals)


def merge_flipped(
    pred_jts: Tensor,
    maxvals: Tensor,
    flipped_jts: Tensor,
    flipped_maxvals: Tensor,
    *,
    mirror: Sequence[int],
    width: int,
    shift: bool = True,
) -> tuple[Tensor, Tensor]:
    """The flip test: average a decode with that of the mirrored image.

    x of the mirrored image becomes -x - 1 / (4 W) with the shift (as all published evaluations) and -x - 1 / W without; y and z stay.

    Args:
        pred_jts, flipped_jts: (B, K, 2 or 3).
        maxvals, flipped_maxvals: (B, K, 1).
        mirror: (K,) index that exchanges left and right joints.
        width: W, cells of the heatmap on x.

    Raises:
        ValueError: when the shapes differ or `mirror` is not a permutation that undoes itself.
    """
    joints = pred_jts.shape[1]
    if pred_jts.shape != flipped_jts.shape or maxvals.shape != flipped_maxvals.shape:
        raise ValueError(f"flip test: got {tuple(pred_jts.shape)} and {tuple(flipped_jts.shape)}, wanted two decodes of one shape")
    if len(mirror) != joints or any(not 0 <= m < joints or mirror[m] != k for k, m in enumerate(mirror)):
        raise ValueError(f"mirror: got {list(mirror)}, wanted {joints} indices that exchange pairs")
    x = -flipped_jts[..., :1] - 1.0 / (_STRIDE * width if shift else width)
    index = torch.as_tensor(list(mirror), device=pred_jts.device)
    unflipped = torch.cat([x, flipped_jts[..., 1:]], -1)[:, index]
    return (pred_jts + unflipped) / 2, (maxvals + flipped_maxvals[:, index]) / 2


def _to_box(pixels: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """Points on a (width, height) raster back to the image; the box's width sets the scale of both axes."""
    if tuple(box.shape) != (len(pixels), 4):
        raise ValueError(f"box: got {tuple(box.shape)}, wanted ({len(pixels)}, 4)")
    box = box.to(pixels)
    scale = (box[:, 2] - box[:, 0])[:, None, None] / size[0]
    centre = (box[:, :2] + box[:, 2:])[:, None] / 2
    return (pixels - torch.tensor(size, dtype=pixels.dtype, device=pixels.device) / 2) * scale + centre


def to_image(pred_jts: Tensor, box: Tensor, grid: Sequence[int]) -> Tensor:
    """Normalised positions to image pixels, through the crop of 4 W x 4 H pixels; z stays as it is.

    Args:
        pred_jts: (B, K, 2 or 3).
        box: (B, 4) left, top, right, bottom of the crop in the image, of the crop's aspect ratio.
        grid: cells, (H, W) or (D, H, W).

    Returns:
        (B, K, 2 or 3) float64.

    Raises:
        ValueError: when there is not one box an element of the batch.
    """
    width, height = grid[-1] * _STRIDE, grid[-2] * _STRIDE
    points = pred_jts.double()
    pixels = (points[..., :2] + 0.5) * torch.tensor([width, height], dtype=torch.float64, device=points.device)
    return torch.cat([_to_box(pixels, box, (width, height)), points[..., 2:]], -1)


def argmax_decode(heatmaps: Tensor, box: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The alternative without an expectation: the highest cell, moved a quarter cell towards its higher neighbour on x and on y.

    Cells are moved where 1 < cell < length - 1 on both axes. A map without a positive value gives cell (0, 0).

    Args:
        heatmaps: (B, K, H, W).
        box: as in `to_image`.

    Returns:
        points (B, K, 2) in image pixels, maxima (B, K, 1), and the highest cells (B, K, 2) as x, y.

    Raises:
        ValueError: for heatmaps of another number of axes, or not one box an element of the batch.
    """
    if heatmaps.ndim != 4:
        raise ValueError(f"heatmaps: got {tuple(heatmaps.shape)}, wanted (B, K, H, W)")
    height, width = heatmaps.shape[2:]
    flat = heatmaps.flatten(2)
    best, index = flat.max(-1, keepdim=True)
    index = torch.where(best > 0, index, 0)
    x, y = index % width, index // width
    inside = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)

    def step(stride: int) -> Tensor:
        last = flat.shape[-1] - 1
        rise = flat.gather(-1, (index + stride).clamp(0, last)) - flat.gather(-1, (index - stride).clamp(0, last))
        return torch.where(inside, 0.25 * rise.sign(), 0.0)

    cells = torch.cat([x, y], -1).to(heatmaps.dtype)
    return _to_box(cells + torch.cat([step(1), step(width)], -1), box, (width, height)), best, cells


def decode_peaks(heatmaps: Tensor) -> Decoded:
    """`argmax_decode` in the form of `decode`, for maps (B, K, H, W) that were trained on Gaussian targets.

    Marginals are those of the positive part of a map, divided by its sum (uniform where there is none); the score is the maximum.
    """
    height, width = heatmaps.shape[2:]
    frame = torch.tensor([[0.0, 0.0, float(width), float(height)]], device=heatmaps.device).expand(len(heatmaps), 4)
    cells, maxima, _ = argmax_decode(heatmaps, frame)
    positive = heatmaps.clamp_min(0)
    total = positive.sum((2, 3), keepdim=True)
    p = torch.where(total > 0, positive / total.clamp_min(1e-12), 1.0 / (height * width))
    return Decoded(normalise(cells, (height, width)), maxima, axis_marginals(p, 2))
