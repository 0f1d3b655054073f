"""A 2D model that gives heatmaps alone, in the stages that run it: a small ONNX graph that sees seventeen colours, and drawn dots."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from pose_rt.backends.onnxruntime import OnnxRuntimeBackend  # noqa: E402
from pose_rt.core.skeleton import COCO17  # noqa: E402
from pose_rt.core.types import Frame, Packet, Rois  # noqa: E402
from pose_rt.errors import ModelError, UsageError  # noqa: E402
from pose_rt.stages.heatmap_model import HeatmapModel, HeatmapPose2D, highest  # noqa: E402
from pose_rt.stages.identity import Tracker  # noqa: E402
from pose_rt.stages.refine import Refine  # noqa: E402
from pose_rt.stages.track import Track  # noqa: E402

HEIGHT, WIDTH = 128, 96
COLOURS = np.array([(r, g, b) for r in (0, 128, 255) for g in (0, 128, 255) for b in (0, 255)], np.float32)[:17]
GREY = (70, 190, 70)  # R, G, B of the background: none of the colours
METADATA: dict[str, Any] = {
    "kind": "sampling_argmax", "task": "images", "dims": 2, "image": [HEIGHT, WIDTH], "grid": [HEIGHT // 4, WIDTH // 4],
    "mean": [0.5, 0.4, 0.3], "deviation": [0.5, 0.25, 0.2], "enlarge": 1.25, "basis": "triangular",
    "skeleton": {"name": "coco17", "joints": list(COCO17.joints), "edges": [], "pairs": []},
}  # fmt: skip


def write_model(path: Path, metadata: dict[str, Any] = METADATA) -> Path:
    """heatmaps = log of the mean round pixel (4 i, 4 j) of max(0, 1 - 25 |RGB - colour|^2): a joint is where its colour is."""
    mean, deviation = np.array(metadata["mean"]), np.array(metadata["deviation"])
    # |d x + m - c|^2 = d^2 x^2 + 2 d (m - c) x + (m - c)^2 over the channels, with x the normalised pixel.
    away = mean - COLOURS / 255
    weight = np.concatenate([2 * deviation * away, np.broadcast_to(deviation**2, away.shape)], 1)
    h, o = onnx.helper, onnx.TensorProto.FLOAT
    constants = [
        onnx.numpy_helper.from_array((-25 * weight[:, :, None, None]).astype(np.float32), "w"),
        onnx.numpy_helper.from_array((1 - 25 * (away**2).sum(1)).astype(np.float32), "b"),
        onnx.numpy_helper.from_array(np.array(1e-6, np.float32), "tiny"),
    ]
    nodes = [
        h.make_node("Mul", ["image", "image"], ["squares"]), h.make_node("Concat", ["image", "squares"], ["both"], axis=1),
        h.make_node("Conv", ["both", "w", "b"], ["fine"], kernel_shape=[1, 1]),
        h.make_node("Relu", ["fine"], ["there"]),
        h.make_node("AveragePool", ["there"], ["share"], kernel_shape=[9, 9], strides=[4, 4], pads=[4, 4, 3, 3]),
        h.make_node("Add", ["share", "tiny"], ["positive"]), h.make_node("Log", ["positive"], ["heatmaps"]),
    ]  # fmt: skip
    image = h.make_tensor_value_info("image", o, ["N", 3, HEIGHT, WIDTH])
    heatmaps = h.make_tensor_value_info("heatmaps", o, ["N", 17, HEIGHT // 4, WIDTH // 4])
    model = h.make_model(h.make_graph(nodes, "dots", [image], [heatmaps], constants), opset_imports=[h.make_opsetid("", 17)])
    model.ir_version = 8
    entry = model.metadata_props.add()
    entry.key, entry.value = "pose_rt", json.dumps(metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def dots(shift: float, frame: int = 0) -> tuple[Packet, np.ndarray]:
    """A picture with a dot for each joint of a standing figure, and where they are (17, 2) px."""
    figure = [(0, 10), (15, -16), (-15, -16), (44, -8), (-44, -8)]
    for x, y in ((34, 40), (54, 84), (48, 130), (24, 140), (26, 200), (24, 260)):
        figure += [(x, y), (-x, y)]
    xy = np.array(figure, np.float64) + np.array([320 + shift, 120])
    bgr = np.full((480, 640, 3), GREY[::-1], np.uint8)
    for (x, y), colour in zip(xy, COLOURS, strict=True):
        cv2.circle(bgr, (round(16 * x), round(16 * y)), 16 * 12, colour[::-1].tolist(), -1, cv2.LINE_AA, 4)
    bgr.flags.writeable = False
    return Packet(Frame(bgr, frame, frame * 40_000_000, 0)), xy


@pytest.fixture
def backend(tmp_path: Path) -> OnnxRuntimeBackend:
    return OnnxRuntimeBackend(write_model(tmp_path / "dots.onnx"))


def _rois(packet: Packet, *rois: tuple[float, float, float, float]) -> Packet:
    ids = np.arange(len(rois), dtype=np.int64)
    return replace(packet, rois=Rois(np.array(rois, np.float32).reshape(-1, 4), ids))


@pytest.mark.parametrize("roi", [(320, 240, 380, 0.0), (300, 250, 420, 0.0), (330, 240, 400, 0.3)])
def test_points_come_back_to_the_picture(backend: OnnxRuntimeBackend, roi: tuple[float, float, float, float]) -> None:
    packet, xy = dots(0)
    pose2d = HeatmapPose2D(backend)
    packet = Refine()(pose2d(_rois(packet, roi)))
    assert packet.keypoints is not None and packet.keypoints.skeleton is COCO17
    error = np.linalg.norm(packet.keypoints.xy_px[0] - xy, axis=-1)
    cell = roi[2] / 32  # px of the picture
    # The mean over the few cells that a dot covers: well within one cell.
    assert error.max() < 0.35 * cell, error / cell
    assert packet.keypoints.spread_px is not None
    assert (packet.keypoints.spread_px > 0.3 * cell).all() and (packet.keypoints.spread_px < 2 * cell).all()


def test_the_highest_cell_is_coarser_than_the_mean(backend: OnnxRuntimeBackend) -> None:
    errors = {}
    for mode in ("sampling-argmax", "none"):
        found = []
        for shift in np.linspace(0, 12, 7):
            packet, xy = dots(float(shift))
            keypoints = Refine(mode)(HeatmapPose2D(backend)(_rois(packet, (320, 240, 400, 0)))).keypoints
            assert keypoints is not None
            found.append(np.linalg.norm(keypoints.xy_px[0] - xy, axis=-1))
        errors[mode] = float(np.mean(found))
    assert errors["sampling-argmax"] < 0.6 * errors["none"]
    with pytest.raises(UsageError, match="--refine none"):
        Refine("mediapipe")(HeatmapPose2D(backend)(_rois(dots(0)[0], (320, 240, 400, 0))))


def test_a_measured_factor_scales_the_spread(backend: OnnxRuntimeBackend, tmp_path: Path) -> None:
    packet = _rois(dots(0)[0], (320, 240, 400, 0))
    scaled = OnnxRuntimeBackend(write_model(tmp_path / "measured.onnx", {**METADATA, "spread_factor": 2.5}))
    plain, wide = (Refine()(HeatmapPose2D(b)(packet)).keypoints for b in (backend, scaled))
    assert plain is not None and wide is not None and plain.spread_px is not None and wide.spread_px is not None
    np.testing.assert_allclose(wide.spread_px, 2.5 * plain.spread_px, rtol=1e-6)  # float32
    np.testing.assert_array_equal(wide.xy_px, plain.xy_px)


def test_people_are_independent_and_nobody_is_fine(backend: OnnxRuntimeBackend) -> None:
    pose2d, packet = HeatmapPose2D(backend), dots(0)[0]
    one = pose2d(_rois(packet, (320, 240, 380, 0))).heatmaps
    two = pose2d(_rois(packet, (200, 200, 300, 0), (320, 240, 380, 0))).heatmaps
    nobody = Refine()(pose2d(_rois(packet)))
    assert one is not None and two is not None and nobody.keypoints is not None
    np.testing.assert_allclose(two.logits[1], one.logits[0], rtol=0, atol=1e-3)  # float32 sums of terms of some hundred
    assert nobody.keypoints.xy_px.shape == (0, 17, 2)


def test_a_moving_person_is_followed(backend: OnnxRuntimeBackend) -> None:
    """The next region comes from the keypoints themselves; after some steps across the picture they are still found."""
    tracker = Tracker(max_people=1)
    pose2d, refine, follow = HeatmapPose2D(backend), Refine(), Track(tracker, min_presence=0.1, smooth=False)
    packet, _ = dots(-150)
    rois = _rois(packet, (170, 240, 420, 0)).rois
    for frame in range(20):
        packet, xy = dots(-150 + 12 * frame, frame)
        assert rois is not None
        packet = follow(refine(pose2d(replace(packet, rois=rois))))
        assert packet.keypoints is not None and len(packet.keypoints.track) == 1, frame
        assert np.linalg.norm(packet.keypoints.xy_px[0] - xy, axis=-1).max() < 8
        rois = tracker.live()


def test_score_is_the_probability_round_the_highest_cell() -> None:
    logits = np.full((1, 2, 9, 9), -40.0, np.float32)
    logits[0, 0, 4, 6] = 0
    logits[0, 1, 1, 1] = logits[0, 1, 8, 8] = 0  # two places, equally probable
    points, score = highest(logits)
    np.testing.assert_allclose(points[0], [(6 / 9, 4 / 9), (1 / 9, 1 / 9)], rtol=0, atol=1e-7)
    np.testing.assert_allclose(score[0], [1, 0.5], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"task": "mtfl"}, "task mtfl"), ({"dims": 3, "task": "h36m"}, "task h36m"), ({"image": None}, "python -m exporters"),
     ({"skeleton": {}}, "python -m exporters")],
)  # fmt: skip
def test_models_that_cannot_serve_are_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        HeatmapModel.from_metadata({**METADATA, **change}, "mine.onnx")
    assert sentence in f"{caught.value} {caught.value.cure}" and "mine.onnx" in str(caught.value)
