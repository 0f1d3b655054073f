"""The checked public face of the ops: NumPy arrays go to the C++ kernels, CUDA arrays to the CUDA kernels.

Without the compiled module the definitions in `reference` run (`backend()` says so). Every function checks dtype, shape, contiguity
and values and raises ValueError with the cure. `stream` is a CUDA stream handle as an integer; it has no meaning on the host.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_rt.core import rng
from pose_rt.ops import checks, reference
from pose_rt.ops.native import backend, core, cuda_status, isa
from pose_rt.ops.reference import BASES, OneEuroState, blazepose_anchors

__all__ = [
    "BASES", "OneEuroState", "aggregate", "backend", "blazepose_anchors", "blend_bases", "crop_warp", "cuda_status",
    "ddim_step", "decode_detections", "gumbel_softmax", "gumbel_weights", "isa", "one_euro", "project", "refine_heatmaps",
    "sample_coordinates", "to_device",
]  # fmt: skip

Array = Any
"""A NumPy array, or an array on a CUDA device (CUDA array interface or DLPack)."""


def to_device(array: np.ndarray, *, stream: int = 0) -> Array:
    """A copy of a host array on the current CUDA device, as the ops take it; its `to_host(stream)` brings it back."""
    native = core()
    if native is None or not hasattr(native, "to_device"):
        raise ValueError(f"to_device: {cuda_status()[1]}")
    return native.to_device(array, stream)


def gumbel_softmax(
    logits: Array,
    samples: int,
    *,
    temperature: float,
    noise_scale: float = 1.0,
    hard: bool = False,
    seed: int = 0,
    frame: int = 0,
    track: int = 0,
    rng_stream: int = rng.STREAM_GUMBEL,
    gumbel: Array | None = None,
    out: Array | None = None,
    stream: int = 0,
) -> Array:
    """softmax((logits + noise_scale * g) / temperature); (R, N) -> (R, samples, N). See `reference.gumbel_softmax`."""
    native = core()
    if native is not None:
        return native.gumbel_softmax(logits, samples, temperature, noise_scale, hard, seed, frame, track, rng_stream, gumbel, out, stream)
    sizes: dict[str, int] = {}
    checks.array("logits", logits, ("R", "N"), sizes=sizes, finite=True)
    checks.count("samples", samples)
    checks.positive("temperature", temperature)
    checks.within("noise_scale", noise_scale, 0, 1e6)
    checks.address(seed, frame, track, rng_stream)
    checks.draws(logits.size * samples)
    if gumbel is not None:
        checks.noise("gumbel", gumbel, ("R", samples, "N"))
        checks.array("gumbel", gumbel, (logits.shape[0], samples, logits.shape[1]))
    result = reference.gumbel_softmax(
        logits, samples, temperature=temperature, noise_scale=noise_scale, hard=hard, seed=seed, frame=frame, track=track,
        stream=rng_stream, gumbel=gumbel,
    )  # fmt: skip
    return checks.into(out, result)


def sample_coordinates(
    heatmap: Array,
    samples: int,
    *,
    basis: str = "triangular",
    temperature: float = 1.0,
    noise_scale: float = 1.0,
    seed: int = 0,
    frame: int = 0,
    track: int = 0,
    window: tuple[Array, int] | None = None,
    noise: tuple[Array, Array] | None = None,
    out: tuple[Array, Array, Array, Array] | None = None,
    stream: int = 0,
) -> tuple[Array, Array, Array, Array]:
    """Relaxed draws, mean, covariance and second-mode flag of (J, H, W) heatmaps, in cells. See `reference.sample_coordinates`."""
    native = core()
    if native is not None:
        return native.sample_coordinates(
            heatmap, samples, basis, temperature, noise_scale, seed, frame, track, window, noise, out, stream
        )  # fmt: skip
    checks.array("heatmap", heatmap, ("J", None, None), finite=True)
    joints, h, w = heatmap.shape
    checks.count("heatmap height", h, 1)
    checks.count("heatmap width", w, 1)
    checks.count("samples", samples)
    checks.choice("basis", basis, tuple(BASES))
    checks.positive("temperature", temperature)
    checks.within("noise_scale", noise_scale, 0, 1e6)
    checks.address(seed, frame, track)
    if window is not None:
        checks.array("window centres", window[0], (joints, 2), finite=True)
        checks.odd("window size", window[1])
        h = w = window[1]
    checks.draws(joints * samples * h * w)
    if noise is not None:
        checks.noise("noise gumbel", noise[0], (joints, samples, h * w))
        checks.array("noise kernel", noise[1], (joints, samples, w + h), finite=True)
    results = reference.sample_coordinates(
        heatmap, samples, basis=basis, temperature=temperature, noise_scale=noise_scale, seed=seed, frame=frame, track=track,
        window=window, noise=noise,
    )  # fmt: skip
    points, mean, covariance, second = checks.into_all(out, results, "samples, mean, covariance, second")
    return points, mean, covariance, second


def refine_heatmaps(
    logits: Array,
    points: Array,
    *,
    window: int = 15,
    mode: str = "sampling_argmax",
    kernel: int = 9,
    threshold: float | None = None,
    out: tuple[Array, Array, Array] | None = None,
    stream: int = 0,
) -> tuple[Array, Array, Array]:
    """Regressed points moved to the expectation of their heatmaps: points (P, J, 2), spread (P, J), second (P, J, 2), all in [0, 1]
    of the crop. See `reference.refine_heatmaps`."""
    native = core()
    if native is not None:
        return native.refine_heatmaps(logits, points, window, mode, kernel, threshold, out, stream)
    sizes: dict[str, int] = {}
    checks.array("logits", logits, ("P", "J", None, None), sizes=sizes, finite=True)
    checks.count("logits height", logits.shape[2], 1)
    checks.count("logits width", logits.shape[3], 1)
    checks.array("points", points, ("P", "J", 2), sizes=sizes)
    checks.choice("mode", mode, checks.REFINE_MODES)
    checks.odd("window", window)
    checks.odd("kernel", kernel)
    if threshold is not None:
        checks.within("threshold", threshold, 0, 1)
    results = reference.refine_heatmaps(logits, points, window=window, mode=mode, kernel=kernel, threshold=threshold)
    refined, spread, second = checks.into_all(out, results, "points, spread, second")
    return refined, spread, second


def gumbel_weights(n: int, draws: int, m: int, *, temperature: float, seed: int = 0, frame: int = 0, track: int = 0) -> np.ndarray:
    """DHMP's coefficients softmax(g / temperature), (n, draws, m), from the forecast stream of the address."""
    checks.count("n", n)
    checks.count("m", m)
    return gumbel_softmax(
        np.zeros((n, m), np.float32), draws, temperature=temperature, seed=seed, frame=frame, track=track,
        rng_stream=rng.STREAM_FORECAST_GUMBEL,
    )  # fmt: skip


def blend_bases(
    bases: Array,
    weights: Array | None = None,
    *,
    draws: int = 0,
    temperature: float = 0.85,
    seed: int = 0,
    frame: int = 0,
    track: int = 0,
    out: Array | None = None,
    stream: int = 0,
) -> Array:
    """weights (N, K, M) times bases (N, M, D), or `draws` rows of the address's `gumbel_weights` drawn on the way; (N, K, D)."""
    native = core()
    if native is not None:
        return native.blend_bases(bases, weights, draws, temperature, seed, frame, track, out, stream)
    sizes: dict[str, int] = {}
    checks.array("bases", bases, ("N", "M", "D"), sizes=sizes, finite=True)
    checks.count("draws", draws)
    checks.positive("temperature", temperature)
    checks.address(seed, frame, track)
    if weights is not None:
        checks.array("weights", weights, ("N", "K", "M"), sizes=sizes, finite=True)
    else:
        checks.count("M (axis 1 of bases)", bases.shape[1], 1)
        checks.draws(bases.shape[0] * draws * bases.shape[1])
    result = reference.blend_bases(bases, weights, draws=draws, temperature=temperature, seed=seed, frame=frame, track=track)
    return checks.into(out, result)


def project(
    points: Array, camera: Array, *, distortion: bool | None = None, clamp: bool = True, out: Array | None = None, stream: int = 0
) -> Array:
    """Camera space (..., 3) to the image (..., 2); camera (4,) or (9,), always on the host. See `reference.project`."""
    native = core()
    if native is not None:
        return native.project(points, camera, distortion, clamp, out, stream)
    checks.camera(camera, distortion)
    if not isinstance(points, np.ndarray) or points.ndim == 0:
        checks.array("points", points, ("...", 3))
    checks.array("points", points, (*(None for _ in points.shape[:-1]), 3))
    return checks.into(out, reference.project(points, camera, distortion=distortion, clamp=clamp))


def aggregate(
    hypotheses: Array,
    *,
    mode: str = "mean",
    target_xy: Array | None = None,
    root: Array | None = None,
    camera: Array | None = None,
    weights: Array | None = None,
    distortion: bool | None = None,
    clamp: bool = True,
    out: tuple[Array, Array, Array] | None = None,
    stream: int = 0,
) -> tuple[Array, Array, Array]:
    """Hypotheses (P, H, F, J, 3) to joints (P, F, J, 3), sigma (P, F, J) and chosen (P, F, J) int32, -1 where a mean was taken;
    `mode` is mean (P-Agg), jpma (J-Agg: needs target_xy, root, camera) or weighted (needs weights). See `reference.aggregate`."""
    native = core()
    if native is not None:
        return native.aggregate(hypotheses, mode, target_xy, root, camera, weights, distortion, clamp, out, stream)
    sizes: dict[str, int] = {}
    checks.array("hypotheses", hypotheses, ("P", "H", "F", "J", 3), sizes=sizes)
    checks.count("H (axis 1 of hypotheses)", hypotheses.shape[1], 1)
    checks.choice("mode", mode, checks.MODES)
    wanted = {"mean": (), "jpma": ("target_xy", "root", "camera"), "weighted": ("weights",)}[mode]
    for name, value in (("target_xy", target_xy), ("root", root), ("camera", camera), ("weights", weights)):
        if (value is not None) != (name in wanted):
            came = "None" if value is None else "a value"
            raise ValueError(f"{name}: got {came} with mode {mode!r}, which takes {', '.join(wanted) or 'none of these'}")
    if mode == "jpma":
        checks.array("target_xy", target_xy, ("P", "F", "J", 2), sizes=sizes)
        checks.array("root", root, ("P", "F", 3), sizes=sizes)
        checks.camera(camera, distortion)
    if weights is not None:
        checks.array("weights", weights, ("P", "H"), sizes=sizes, finite=True)
        if (weights < 0).any() or (weights.sum(1) <= 0).any():
            raise ValueError("weights: got a negative weight or a row of zeros, wanted weights >= 0 with a positive sum in each row")
    results = reference.aggregate(
        hypotheses, mode=mode, target_xy=target_xy, root=root, camera=camera, weights=weights, distortion=distortion, clamp=clamp
    )
    joints, sigma, chosen = checks.into_all(out, results, "joints, sigma, chosen")
    return joints, sigma, chosen


def ddim_step(
    noisy: Array, prediction: Array, noise: Array | None, coefficients: tuple[float, float, float, float], *, scale: float = 1.0,
    mirror: np.ndarray | None = None, out: tuple[Array, Array] | None = None, stream: int = 0,
) -> tuple[Array, Array]:  # fmt: skip
    """y' and the network's next input from y, the prediction and noise (N, F, J, 3); `coefficients` are alpha, alpha', sigma and c.
    `mirror` (J,) int32 is always on the host. See `reference.ddim_step`."""
    native = core()
    if native is not None:
        return native.ddim_step(noisy, prediction, noise, *coefficients, scale, mirror, out, stream)
    checks.ddim_step(noisy, prediction, noise, coefficients, scale, mirror)
    alpha, alpha_next, sigma, c = coefficients
    results = reference.ddim_step(
        noisy, prediction, noise, alpha=alpha, alpha_next=alpha_next, sigma=sigma, c=c, scale=scale, mirror=mirror
    )  # fmt: skip
    following, network = checks.into_all(out, results, "next, network")
    return following, network


def crop_warp(
    image: Array,
    roi: Array,
    size: int,
    *,
    border: str = "replicate",
    scale: float | np.ndarray = 1 / 255,
    bias: float | np.ndarray = 0.0,
    swap_rgb: bool = True,
    quantise: str = "u8",
    fixed_point: bool = False,
    out: Array | None = None,
    stream: int = 0,
) -> Array:
    """Rotated square crops (P, 4) of an (h, w, 3) uint8 picture as float (P, 3, size, size), value * scale + bias. See
    `reference.crop_warp`."""
    factors, offsets = checks.channels("scale", scale), checks.channels("bias", bias)
    native = core()
    if native is not None:
        return native.crop_warp(image, roi, size, border, factors, offsets, swap_rgb, quantise, fixed_point, out, stream)
    checks.array("image", image, ("h", "w", 3), np.uint8)
    checks.within("image height", image.shape[0], 1, 32767)
    checks.within("image width", image.shape[1], 1, 32767)
    checks.array("roi", roi, ("P", 4), finite=True)
    checks.within("size", size, 1, 16384)
    checks.choice("border", border, checks.BORDERS)
    checks.choice("quantise", quantise, checks.QUANTISE)
    if out is not None:
        checks.output("out", out, (len(roi), 3, size, size))
    return reference.crop_warp(
        image, roi, size, border=border, scale=factors, bias=offsets, swap_rgb=swap_rgb,
        quantise=quantise, fixed_point=fixed_point, out=out,
    )  # fmt: skip


def decode_detections(
    boxes: Array, scores: Array, *, threshold: float = 0.5, iou: float = 0.3, anchors: Array | None = None, input_size: int = 224,
    out: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Raw detector output (N, 12), (N,) to boxes (n, 4) left, top, right, bottom, keypoints (n, 4, 2), score (n,), in [0, 1] of the
    network's input, best first. Host only. See `reference.decode_detections`.

    `out` is room for the C best: (C, 4), (C, 4, 2), (C,); what returns are views of its first n rows.
    """
    if anchors is None:
        anchors = blazepose_anchors()
    native = core()
    if native is not None:
        return native.decode_detections(boxes, scores, threshold, iou, anchors, input_size, out)
    sizes: dict[str, int] = {}
    checks.array("boxes", boxes, ("N", 12), sizes=sizes, finite=True)
    checks.array("scores", scores, ("N",), sizes=sizes, finite=True)
    checks.array("anchors", anchors, ("N", 2), sizes=sizes, finite=True)
    checks.within("threshold", threshold, 0, 1)
    checks.within("iou", iou, 0, 1)
    checks.count("input_size", input_size, 1)
    results = reference.decode_detections(boxes, scores, threshold=threshold, iou=iou, anchors=anchors, input_size=input_size)
    if out is None:
        return results
    checks.detections(out)
    n = min(len(out[2]), len(results[2]))
    corners, keypoints, score = checks.into_all(tuple(a[:n] for a in out), tuple(a[:n] for a in results), "boxes, keypoints, score")
    return corners, keypoints, score


def one_euro(
    x: Array,
    state: OneEuroState,
    t: float | np.ndarray,
    *,
    min_cutoff: float,
    beta: float,
    d_cutoff: float = 1.0,
    value_scale: float | np.ndarray = 1.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """One One-Euro step on (P, N) values at `t` seconds (one number or (P,)); `state` changes in place, NaN in gives NaN out and
    forgets that element. `out` may be `x`. Host only. See `reference.one_euro`."""
    native = core()
    if native is not None:
        return native.one_euro(
            x, state.previous, state.filtered, state.derivative, state.seconds, t, min_cutoff, beta, d_cutoff, value_scale, out
        )  # fmt: skip
    sizes: dict[str, int] = {}
    checks.array("x", x, ("P", "N"), sizes=sizes)
    for name in ("previous", "filtered", "derivative"):
        checks.array(f"state.{name}", getattr(state, name), ("P", "N"), np.float64, sizes)
    checks.array("state.seconds", state.seconds, ("P",), np.float64, sizes)
    times = np.full(len(x), float(t)) if isinstance(t, (int, float)) else t
    scales = np.full(len(x), float(value_scale)) if isinstance(value_scale, (int, float)) else value_scale
    checks.array("t", times, ("P",), np.float64, sizes, finite=True)
    checks.array("value_scale", scales, ("P",), np.float64, sizes, finite=True)
    checks.positive("min_cutoff", min_cutoff)
    checks.positive("d_cutoff", d_cutoff)
    checks.within("beta", beta, 0, 1e9)
    if out is not None:
        checks.output("out", out, x.shape)  # before the state moves on
    return checks.into(out, reference.one_euro(x, state, times, min_cutoff=min_cutoff, beta=beta, d_cutoff=d_cutoff, value_scale=scales))
