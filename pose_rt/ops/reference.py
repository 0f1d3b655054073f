"""The definition of every op in plain NumPy; C++ and CUDA are tested against it.

Inputs are taken as checked (`pose_rt.ops` does that). Arithmetic that a kernel may do in another order is done in float64 here, so
that a difference seen in a test is the kernel's own; results are float32. Here: sampling and heatmaps; the ops of `reference_pose`
(projection, aggregation, DDIM) and `reference_frame` (crop, detections, filter) are re-exported.
"""

from __future__ import annotations

import numpy as np

from pose_rt.core import rng
from pose_rt.ops.reference_frame import OneEuroState, blazepose_anchors, crop_warp, decode_detections, one_euro
from pose_rt.ops.reference_pose import aggregate, ddim_step, project

__all__ = [
    "BASES", "OneEuroState", "aggregate", "axis_positions", "blazepose_anchors", "blend_bases", "crop_warp", "ddim_step",
    "decode_detections",
    "gumbel_softmax", "gumbel_weights", "one_euro", "project", "refine_heatmaps", "sample_coordinates",
]  # fmt: skip

BASES = {"uniform": 1 / 12, "triangular": 1 / 6, "gaussian": 1 / 5}
"""Variance of each basis in squared cells; the gaussian is N(0, 1) reweighted by exp(-2 e^2), a bell of variance 1/5."""

SECOND_RADIUS = 5
"""A second mode lies further than this from the first in x or y, in cells (`sample_coordinates`)."""
SECOND_RATIO = 0.5
"""A second mode has at least this share of the first mode's height."""
SECOND_WINDOW = 3
"""`refine_heatmaps` places a second mode by the expectation over this many cells to each side of it."""


def _draw_gumbel(shape: tuple[int, ...], seed: int, frame: int, track: int, stream: int) -> np.ndarray:
    """float64 Gumbel values of the addressed float32 uniforms."""
    u = rng.uniform(shape, seed=seed, frame=frame, track=track, stream=stream)
    return -np.log(-np.log(u.astype(np.float64)))


def _softmax(z: np.ndarray) -> np.ndarray:
    e: np.ndarray = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gumbel_softmax(
    logits: np.ndarray,
    samples: int,
    *,
    temperature: float,
    noise_scale: float = 1.0,
    hard: bool = False,
    seed: int = 0,
    frame: int = 0,
    track: int = 0,
    stream: int = rng.STREAM_GUMBEL,
    gumbel: np.ndarray | None = None,
) -> np.ndarray:
    """softmax((logits + noise_scale * g) / temperature) for `samples` draws of g a row.

    Sampling-argmax uses softmax(l + g / tau): temperature 1, noise_scale 1 / tau. DHMP uses softmax((l + g) / tau): noise_scale 1.

    Args:
        logits: (R, N) float32.
        hard: give the one-hot argmax (lowest index on ties) instead of the soft weights.
        gumbel: (R, samples, N) float32 recorded g, -inf allowed, instead of the draws addressed by seed, frame, track, stream.

    Returns:
        (R, samples, N) float32.
    """
    shape = (logits.shape[0], samples, logits.shape[1])
    if 0 in shape:
        return np.zeros(shape, np.float32)
    z = np.broadcast_to(logits[:, None].astype(np.float64), shape)
    if noise_scale != 0:
        g = _draw_gumbel(shape, seed, frame, track, stream) if gumbel is None else gumbel.astype(np.float64)
        z = z + noise_scale * g
    if hard:
        out = np.zeros(shape, np.float32)
        np.put_along_axis(out, z.argmax(-1)[..., None], 1.0, -1)
        return out
    return _softmax(z / temperature).astype(np.float32)


def axis_positions(marginal: np.ndarray, draw: np.ndarray, basis: str) -> np.ndarray:
    """One relaxed position on an axis: the expectation of the cells' kernel draws under the marginal weights.

    uniform: w_i = i + v - 1/2, weight p_i. triangular: w_i = i + e with e triangular on (-1, 1), weight p interpolated at w_i.
    gaussian: w_i = i + e with e ~ N(0, 1), weight p_i exp(-2 e^2). The weights of the last two are renormalised.

    Args:
        marginal: (..., L) weights of the cells.
        draw: (..., L) uniforms (uniform, triangular) or standard normals (gaussian).

    Returns:
        (...) float64, in cells.
    """
    p, v = marginal.astype(np.float64), draw.astype(np.float64)
    cells = np.arange(p.shape[-1])
    if basis == "uniform":
        return ((cells + v - 0.5) * p).sum(-1)
    if basis == "gaussian":
        position, weight = v + cells, p * np.exp(-2.0 * v * v)
    else:
        e = np.where(v < 0.5, np.sqrt(2.0 * v) - 1.0, 1.0 - np.sqrt(np.maximum(2.0 - 2.0 * v, 0.0)))
        position = e + cells
        padded = np.concatenate([np.zeros((*p.shape[:-1], 1)), p, np.zeros((*p.shape[:-1], 1))], -1)
        low = np.take_along_axis(padded, np.where(e < 0, cells, cells + 1), -1)
        high = np.take_along_axis(padded, np.where(e < 0, cells + 1, cells + 2), -1)
        weight = low + np.where(e < 0, e + 1.0, e) * (high - low)
    return (position * weight).sum(-1) / weight.sum(-1)


def _local_maxima(maps: np.ndarray) -> np.ndarray:
    """Cells above their earlier neighbours (row-major) and not below their later ones: one cell a plateau; (..., H, W) bool."""
    h, w = maps.shape[-2:]
    padded = np.pad(maps, [(0, 0)] * (maps.ndim - 2) + [(1, 1), (1, 1)], constant_values=-np.inf)
    keep = np.ones(maps.shape, bool)
    for dy in range(3):
        for dx in range(3):
            near = padded[..., dy : dy + h, dx : dx + w]
            if (dy, dx) < (1, 1):
                keep &= maps > near
            elif (dy, dx) > (1, 1):
                keep &= maps >= near
    return keep


def _cut_windows(maps: np.ndarray, centres: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(J, size, size) windows, -inf outside the map, round the nearest cell of the map, and their origins (J, 2) x, y."""
    j, h, w = maps.shape
    cells = np.clip(np.floor(centres.astype(np.float64) + 0.5), 0, [w - 1, h - 1]).astype(np.int64)
    half = size // 2
    padded = np.pad(maps, ((0, 0), (half, half), (half, half)), constant_values=-np.inf)
    out = np.stack([padded[k, y : y + size, x : x + size] for k, (x, y) in enumerate(cells)]) if j else np.zeros((0, size, size))
    return out.astype(np.float32), cells - half


def sample_coordinates(
    heatmap: np.ndarray,
    samples: int,
    *,
    basis: str = "triangular",
    temperature: float = 1.0,
    noise_scale: float = 1.0,
    seed: int = 0,
    frame: int = 0,
    track: int = 0,
    window: tuple[np.ndarray, int] | None = None,
    noise: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Relaxed draws from the continuous density of a heatmap (sampling-argmax), and the density's own mean and covariance.

    A draw weighs the cells by softmax((l + noise_scale * g) / temperature), sums to marginals and takes `axis_positions` on x and
    on y. Mean and covariance belong to softmax(l / temperature) with the basis on every cell: no draw is involved. The second
    mode is a local maximum more than SECOND_RADIUS cells away from the first with at least SECOND_RATIO of its probability.

    Args:
        heatmap: (J, H, W) float32 logits.
        window: centres (J, 2) float32 in cells and an odd size: only the size x size cells round the nearest cell take part.
        noise: recorded g (J, samples, cells) and kernel draws (J, samples, W + H), x first, instead of the addressed draws.

    Returns:
        samples (J, samples, 2), mean (J, 2), covariance (J, 2, 2), all in cells (x, y), and second_mode (J,) bool.
    """
    joints = len(heatmap)
    origin = np.zeros((joints, 2))
    if window is not None:
        heatmap, origin = _cut_windows(heatmap, *window)
    h, w = heatmap.shape[1:]
    if noise is None:
        kernel = rng.normal if basis == "gaussian" else rng.uniform
        draw = kernel((joints, samples, w + h), seed=seed, frame=frame, track=track, stream=rng.STREAM_KERNEL)
        g = _draw_gumbel((joints, samples, h * w), seed, frame, track, rng.STREAM_GUMBEL) if noise_scale != 0 else 0.0
    else:
        g, draw = noise[0].astype(np.float64), noise[1]
    flat = heatmap.reshape(joints, h * w).astype(np.float64)
    if joints == 0:
        return np.zeros((0, samples, 2), np.float32), np.zeros((0, 2), np.float32), np.zeros((0, 2, 2), np.float32), np.zeros(0, bool)
    drawn = flat[:, None] + noise_scale * g if noise_scale != 0 else np.broadcast_to(flat[:, None], (joints, samples, h * w))
    relaxed = _softmax(drawn / temperature).reshape(joints, samples, h, w)
    x = axis_positions(relaxed.sum(-2), draw[..., :w], basis)
    y = axis_positions(relaxed.sum(-1), draw[..., w:], basis)
    points = np.stack([x, y], -1) + origin[:, None]

    p = _softmax(flat / temperature).reshape(joints, h, w)
    grid = np.stack(np.broadcast_arrays(np.arange(w)[None, :], np.arange(h)[:, None]), -1)
    mean = np.einsum("jyx,yxc->jc", p, grid)
    offset = grid - mean[:, None, None]
    covariance = np.einsum("jyx,jyxc,jyxd->jcd", p, offset, offset) + BASES[basis] * np.eye(2)

    peak_y, peak_x = np.unravel_index(flat.argmax(-1), (h, w))
    far = np.maximum(abs(grid[..., 0] - peak_x[:, None, None]), abs(grid[..., 1] - peak_y[:, None, None])) > SECOND_RADIUS
    high = heatmap >= (flat.max(-1) + temperature * np.log(SECOND_RATIO)).astype(np.float32)[:, None, None]
    second = (far & high & _local_maxima(heatmap)).any((-2, -1))
    return points.astype(np.float32), (mean + origin).astype(np.float32), covariance.astype(np.float32), second


def refine_heatmaps(
    logits: np.ndarray,
    points: np.ndarray,
    *,
    window: int = 15,
    mode: str = "sampling_argmax",
    kernel: int = 9,
    threshold: float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move regressed points to the expectation of their heatmap in a window; the spread and a second mode come along.

    sampling_argmax: weights sigmoid(l)^2 in `window` x `window` cells round the nearest cell (threshold 0.2). mediapipe: weights
    sigmoid(l) in `kernel` x `kernel` cells round the truncated cell (threshold 0.5). Cell i stands for position i / size. A point
    outside the map, or whose window stays below the threshold, keeps its regression, with NaN spread.

    Args:
        logits: (P, J, H, W) float32.
        points: (P, J, 2) float32, x and y in [0, 1] of the crop; NaN stays NaN.

    Returns:
        points (P, J, 2); spread (P, J), root of the mean of the x and y variance; second (P, J, 2), the highest other local maximum
        outside the window with sigmoid >= max(threshold, half the window's maximum), placed by the same weights within
        SECOND_WINDOW cells, NaN where there is none. All float32 in [0, 1] of the crop.
    """
    people, joints, h, w = logits.shape
    media = mode == "mediapipe"
    half = (kernel if media else window) // 2
    least = (0.5 if media else 0.2) if threshold is None else threshold
    out, spread, second = points.copy(), np.full((people, joints), np.nan, np.float32), np.full_like(points, np.nan)
    size = np.array([w, h], np.float64)

    def moments(sigma: np.ndarray, x: int, y: int, radius: int) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
        box = slice(max(0, y - radius), min(h, y + radius + 1)), slice(max(0, x - radius), min(w, x + radius + 1))
        weight = sigma[box] if media else sigma[box] ** 2
        weight = weight / weight.sum()
        cells_y, cells_x = np.arange(h)[box[0]], np.arange(w)[box[1]]
        px, py = weight.sum(0), weight.sum(1)
        mean = np.array([px @ cells_x, py @ cells_y])
        return mean / size, np.array([px @ (cells_x - mean[0]) ** 2, py @ (cells_y - mean[1]) ** 2]) / size**2, box

    for p, j in np.ndindex(people, joints):
        scaled = points[p, j] * size.astype(np.float32) + np.float32(0.0 if media else 0.5)
        if not np.isfinite(scaled).all() or (scaled < 0).any() or (scaled >= size).any():
            continue
        x, y = int(scaled[0]), int(scaled[1])
        sigma = 1.0 / (1.0 + np.exp(-logits[p, j].astype(np.float64)))
        top = sigma[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1].max()
        if top < least:
            continue
        mean, variance, box = moments(sigma, x, y, half)
        out[p, j], spread[p, j] = mean, np.sqrt(variance.mean())
        others = _local_maxima(logits[p, j])
        others[box] = False
        others &= sigma >= max(least, SECOND_RATIO * top)
        if others.any():
            y, x = divmod(int(np.where(others, logits[p, j], -np.inf).argmax()), w)
            second[p, j] = moments(sigma, x, y, SECOND_WINDOW)[0]
    return out, spread, second


def gumbel_weights(n: int, draws: int, m: int, *, temperature: float, seed: int = 0, frame: int = 0, track: int = 0) -> np.ndarray:
    """DHMP's coefficients softmax(g / temperature), (n, draws, m) float32, from the forecast stream of the address."""
    logits = np.zeros((n, m), np.float32)
    return gumbel_softmax(logits, draws, temperature=temperature, seed=seed, frame=frame, track=track, stream=rng.STREAM_FORECAST_GUMBEL)


def blend_bases(
    bases: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    draws: int = 0,
    temperature: float = 0.85,
    seed: int = 0,
    frame: int = 0,
    track: int = 0,
) -> np.ndarray:
    """Points spanned by basis points: ``weights @ bases``; without weights, `draws` rows of `gumbel_weights` of the address.

    Args:
        bases: (N, M, D) float32.
        weights: (N, K, M) float32 or None.

    Returns:
        (N, K, D) float32.
    """
    n, m, _ = bases.shape
    if weights is None:
        weights = gumbel_weights(n, draws, m, temperature=temperature, seed=seed, frame=frame, track=track)
    return (weights.astype(np.float64) @ bases.astype(np.float64)).astype(np.float32)
