"""Inputs that a model meets in use, and how far its results move, in its own unit: what fp16 and engines are judged by.

The inputs come from `pose_rt/zoo/trials.npz`: pictures of a walking woman with her regions of interest, and 2D and 3D joints of
the whole walk (made by ``python -m exporters trials``). Noise would not do: on a picture without a person a landmark network's
last layers amplify every rounding a hundredfold.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pose_rt import ops
from pose_rt.core.camera import normalise_screen
from pose_rt.core.skeleton import H36M17
from pose_rt.core.viewpoint import normalise_window
from pose_rt.diffusion.schedule import cosine_schedule
from pose_rt.errors import ModelError

RECORDING = Path(__file__).parents[1] / "zoo" / "trials.npz"
GRID_HZ = 50.0
BUDGET = {"px": 0.5, "mm": 1.0}
"""How far a result may move."""
UNITS = {"detector": "px", "pose2d": "px", "sampling_argmax": "px", "d3dp": "mm", "dhmp": "mm"}
"""The unit of each kind of model (`kind` of its metadata)."""
_SEEN_LOGIT = 0.0
_DETECTOR_SIZE, _LANDMARK_SIZE = 224, 256
_BODY, _USED = 33, 35  # BlazePose's body points, and with the two that the next region is made of

Feeds = dict[str, np.ndarray]
Outputs = Mapping[str, np.ndarray]


class Deviation(NamedTuple):
    """How far results lie from the fp32 ones: the largest and the mean distance of a point, in `unit`."""

    max: float
    mean: float
    unit: str

    def within(self, budget: float) -> bool:
        """Whether the largest distance keeps to the budget; never for what is not finite."""
        return bool(np.isfinite(self.max)) and self.max <= budget


@cache
def _recording() -> dict[str, np.ndarray]:
    try:
        with np.load(RECORDING, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the recorded inputs {RECORDING.name} cannot be read ({error})", "pip install --force-reinstall pose-rt"
        ) from error


def unit_of(metadata: Mapping[str, Any]) -> str:
    """The unit of a model.

    Raises:
        ModelError: a kind of model without recorded inputs.
    """
    kind = metadata.get("kind")
    if kind not in UNITS:
        raise ModelError(f"there are no recorded inputs for a model of kind {kind!r}", f"wanted one of {', '.join(UNITS)}")
    return UNITS[kind]


def trial_feeds(metadata: Mapping[str, Any], count: int = 6) -> list[Feeds]:
    """`count` recorded inputs, of one picture, window or history each (join them with `batch`).

    Args:
        metadata: the model's `pose_rt` entry: kind and sizes.
    """
    unit_of(metadata)
    kind = metadata["kind"]
    make = {"detector": _detector, "pose2d": _pose2d, "sampling_argmax": _heatmaps, "d3dp": _d3dp, "dhmp": _dhmp}[kind]
    return [make(metadata, i, count) for i in range(count)]


def batch(feeds: list[Feeds]) -> Feeds:
    """Several inputs as one batch."""
    return {name: np.concatenate([one[name] for one in feeds]) for name in feeds[0]}


def _picture(i: int) -> tuple[np.ndarray, np.ndarray]:
    import cv2

    recording = _recording()
    number = i % len(recording["roi"])
    picture = np.asarray(cv2.imdecode(recording[f"picture_{number}"], cv2.IMREAD_COLOR), np.uint8)
    return picture, recording["roi"][number]


def _detector(_: Mapping[str, Any], i: int, _count: int) -> Feeds:
    bgr, _roi = _picture(i)
    h, w = bgr.shape[:2]
    square = np.array([[w / 2, h / 2, max(h, w), 0]], np.float32)
    return {"image": ops.crop_warp(bgr, square, _DETECTOR_SIZE, border="zero", scale=2 / 255, bias=-1.0, fixed_point=True)}


def _pose2d(_: Mapping[str, Any], i: int, _count: int) -> Feeds:
    bgr, roi = _region(i)
    return {"image": ops.crop_warp(bgr, roi, _LANDMARK_SIZE, fixed_point=True)}


def _heatmaps(metadata: Mapping[str, Any], i: int, _count: int) -> Feeds:
    bgr, roi = _region(i)
    height, width = metadata["image"]
    deviation = np.array(metadata["deviation"], np.float32)
    scale, bias = 1 / (255 * deviation), -np.array(metadata["mean"], np.float32) / deviation
    side = max(height, width)
    square = ops.crop_warp(bgr, roi, side, border="zero", scale=scale, bias=bias)
    top, left = (side - height) // 2, (side - width) // 2
    return {"image": np.ascontiguousarray(square[:, :, top : top + height, left : left + width])}


def _region(i: int) -> tuple[np.ndarray, np.ndarray]:
    bgr, roi = _picture(i)
    # Beyond the recorded pictures: the same person, seen through a region that is a little off, as a tracker's is.
    turn = i // len(_recording()["roi"])
    moved = roi + np.array([0.03 * turn * roi[2], -0.02 * turn * roi[2], 0.05 * turn * roi[2], 0.05 * turn], np.float32)
    return bgr, moved[None].astype(np.float32)


def _rows(length: int, rate_hz: float, i: int, count: int) -> np.ndarray:
    """Rows of the recording for window i of `count`, spread over it, at a fraction of 50 Hz; the walk is run back and forth."""
    total = len(_recording()["joints_m"])
    step = round(GRID_HZ / rate_hz)
    start = round(i * max(total - 1 - (length - 1) * step, 0) / max(count - 1, 1))
    place = (start + step * np.arange(length)) % (2 * total - 2)
    return np.where(place < total, place, 2 * total - 2 - place)


def _d3dp(metadata: Mapping[str, Any], i: int, count: int) -> Feeds:
    recording = _recording()
    rows = _rows(metadata["frames"], metadata["rate_hz"], i, count)
    xy_px, joints = recording["xy_px"][rows].astype(np.float32), recording["joints_m"][rows].astype(np.float32)
    width, height, focal = (float(v) for v in recording["camera"])
    if metadata["input"] == "view":
        xy, rotation = normalise_window(xy_px, focal, np.array([width / 2, height / 2]))
        joints = joints @ rotation.T
    else:
        xy = normalise_screen(xy_px, width, height)
    # The samplers' steps, from pure noise down: the last is where the pose itself goes through the network.
    step = [metadata["timesteps"] - 1, metadata["timesteps"] // 2, 0][i % 3]
    signal = cosine_schedule(metadata["timesteps"]).alphas_cumprod[step]
    clean = joints * (metadata["scale"] / metadata["unit_m"])
    noise = np.random.default_rng(i).standard_normal(clean.shape)
    noisy = np.clip(np.sqrt(signal) * clean + np.sqrt(1 - signal) * noise, -1.1 * metadata["scale"], 1.1 * metadata["scale"])
    return {"xy": xy[None].astype(np.float32), "noisy": noisy[None].astype(np.float32), "step": np.array([step], np.float32)}


def _dhmp(metadata: Mapping[str, Any], i: int, count: int) -> Feeds:
    if metadata["skeleton"] != H36M17.name:
        raise ModelError(f"there are no recorded inputs for the skeleton {metadata['skeleton']}", f"wanted {H36M17.name}")
    rows = _rows(metadata["history"], GRID_HZ, i, count)
    k = 5
    return {
        "history": _recording()["joints_m"][rows].astype(np.float32)[None],
        "weights": ops.gumbel_weights(1, k, metadata["bases"], temperature=metadata["temperature"], seed=i),
        "eps": np.random.default_rng(i).standard_normal((1, k, metadata["z"]), np.float32),
    }


def deviation(metadata: Mapping[str, Any], feeds: Feeds, wanted: Outputs, got: Outputs) -> Deviation:
    """How far `got` lies from `wanted`, the fp32 outputs for the same `feeds`.

    Detector: corners and keypoints of the anchors that see a person, px of its input. Landmarks: the regressed points and those
    decoded from the heatmaps, px of the crop. Lifter and forecaster: joints, mm.
    """
    kind, unit = metadata["kind"], unit_of(metadata)
    if not all(np.isfinite(value).all() for value in got.values()):
        return Deviation(float("inf"), float("inf"), unit)
    if kind == "detector":
        seen = wanted["scores"][..., 0] > _SEEN_LOGIT
        moved = _distance(wanted["boxes"][seen].reshape(-1, 6, 2), got["boxes"][seen].reshape(-1, 6, 2))
    elif kind == "pose2d":
        direct = _distance(wanted["landmarks"][:, :_USED, :2], got["landmarks"][:, :_USED, :2])
        decoded = _distance(_decoded(wanted), _decoded(got)) * _LANDMARK_SIZE
        moved = np.concatenate([direct.ravel(), decoded.ravel()])
    elif kind == "sampling_argmax":
        shape = wanted["heatmaps"].shape
        lengths = [4.0 * n for n in shape[-2:]]  # px of the crop
        moved = _distance(*(_means(outputs["heatmaps"].reshape(-1, *metadata["grid"])) * lengths[::-1] for outputs in (wanted, got)))
    elif kind == "d3dp":
        moved = _distance(wanted["clean"], got["clean"]) * (1000 * metadata["unit_m"] / metadata["scale"])
    else:
        moved = _distance(wanted["futures"], got["futures"]) * 1000
    if not moved.size:
        raise ModelError("the fp32 model finds nobody in the recorded pictures", "check it with `pose-rt doctor`")
    return Deviation(float(moved.max()), float(moved.mean()), unit)


def _means(logits: np.ndarray) -> np.ndarray:
    """(n, [D,] H, W) logits -> (n, 2) means of softmax(logits) on x and y, as shares of the map."""
    flat = logits.reshape(len(logits), -1).astype(np.float64)
    p = np.exp(flat - flat.max(-1, keepdims=True))
    p = (p / p.sum(-1, keepdims=True)).reshape(len(logits), -1, *logits.shape[-2:]).sum(1)
    height, width = logits.shape[-2:]
    return np.stack([(p.sum(1) * np.arange(width)).sum(-1) / width, (p.sum(2) * np.arange(height)).sum(-1) / height], -1)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a.astype(np.float64) - b, axis=-1)


def _decoded(outputs: Outputs) -> np.ndarray:
    """Keypoints as the pipeline reads them off the heatmaps, in [0, 1] of the crop."""
    points = np.ascontiguousarray(outputs["landmarks"][:, :_BODY, :2] / np.float32(_LANDMARK_SIZE))
    refined: np.ndarray = ops.refine_heatmaps(np.ascontiguousarray(outputs["heatmap"][:, :_BODY]), points)[0]
    return refined
