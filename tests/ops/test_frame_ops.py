"""crop_warp, refine_heatmaps, decode_detections, one_euro: kernels against their definition and against first principles."""

from types import ModuleType

import cv2
import numpy as np
import pytest

from pose_rt.ops import reference


def picture(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


ROIS = np.array(
    [[30, 20, 25, 0.3], [0, 0, 40, -1.0], [63, 47, 10, 3.0], [-200, 500, 30, 0], [32, 24, 500, 0.1], [1e30, -1e30, 5, 0], [20, 20, 0, 1]],
    np.float32,
)


@pytest.mark.parametrize("size", [1, 7, 16, 33, 300])
@pytest.mark.parametrize("border", ["replicate", "zero"])
@pytest.mark.parametrize("rounding", [{"quantise": "none"}, {"quantise": "u8"}, {"fixed_point": True}])
def test_crop_is_the_definition_bit_for_bit(native: ModuleType, size: int, border: str, rounding: dict) -> None:
    image = picture(48, 64)
    options = {"border": border, "scale": np.array([0.5, 2, 1 / 255], np.float32), "bias": -1.0, **rounding}
    rois = ROIS if size < 300 else ROIS[:1]
    np.testing.assert_array_equal(native.crop_warp(image, rois, size, **options), reference.crop_warp(image, rois, size, **options))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 200)])
@pytest.mark.parametrize("border", ["replicate", "zero"])
def test_crop_of_tiny_pictures(native: ModuleType, shape: tuple[int, int], border: str) -> None:
    image = picture(*shape)
    rois = np.array([[0, 0, 4, 0.5], [shape[1] / 2, shape[0] / 2, max(shape), 0]], np.float32)
    got = native.crop_warp(image, rois, 20, border=border, swap_rgb=False)
    np.testing.assert_array_equal(got, reference.crop_warp(image, rois, 20, border=border, swap_rgb=False))


def test_upright_crop_at_whole_pixels_is_a_slice(native: ModuleType) -> None:
    image = picture(40, 50)
    got = native.crop_warp(image, np.array([[20, 16, 16, 0]], np.float32), 16, scale=1.0)
    np.testing.assert_array_equal(got[0], image[8:24, 12:28, ::-1].transpose(2, 0, 1))


def test_no_people_and_out(native: ModuleType) -> None:
    image = picture(40, 50)
    assert native.crop_warp(image, np.zeros((0, 4), np.float32), 8).shape == (0, 3, 8, 8)
    out = np.empty((2, 3, 8, 8), np.float32)
    assert native.crop_warp(image, ROIS[:2].copy(), 8, out=out) is out


@pytest.mark.parametrize("border", ["replicate", "zero"])
def test_crop_agrees_with_opencv(native: ModuleType, border: str) -> None:
    image = cv2.GaussianBlur(picture(120, 160), (0, 0), 2)
    cx, cy, side, angle = 80.0, 60.0, 100.0, 0.4
    got = native.crop_warp(image, np.array([[cx, cy, side, angle]], np.float32), 64, border=border, scale=1.0)[0]
    cos, sin = np.cos(angle) * side / 64, np.sin(angle) * side / 64
    matrix = np.array([[cos, -sin, cx - 32 * cos + 32 * sin], [sin, cos, cy - 32 * sin - 32 * cos]])
    mode = cv2.BORDER_REPLICATE if border == "replicate" else cv2.BORDER_CONSTANT
    expected = cv2.warpAffine(image, matrix, (64, 64), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=mode)
    difference = np.abs(got - expected[..., ::-1].transpose(2, 0, 1))
    # OpenCV 4 rounds coordinates to 1/32 px, OpenCV 5 does not: a blurred picture changes by less than 3 in either.
    assert difference.max() < 3 and difference.mean() < 0.3


def heatmaps(people: int, joints: int, h: int, w: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    logits = rng.normal(-6, 1, (people, joints, h, w))
    for p, j in np.ndindex(people, joints):
        for _ in range(2):
            cx, cy = rng.uniform(0, w), rng.uniform(0, h)
            y, x = np.mgrid[:h, :w]
            logits[p, j] += 9 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8)
    return logits.astype(np.float32)


@pytest.mark.parametrize(
    "shape", [(0, 3, 8, 8), (1, 0, 8, 8), (2, 13, 64, 64), (1, 4, 15, 17), (1, 5, 9, 40), (1, 3, 1, 1), (1, 3, 40, 16)]
)
@pytest.mark.parametrize("mode", ["sampling_argmax", "mediapipe"])
@pytest.mark.parametrize("window", [1, 9, 15, 33])
def test_refinement(native: ModuleType, shape: tuple[int, ...], mode: str, window: int) -> None:
    logits = heatmaps(*shape)
    peak = logits.reshape(*shape[:2], -1).argmax(-1) if logits.size else np.zeros(shape[:2], int)
    points = np.stack([peak % shape[3] / shape[3], peak // shape[3] / shape[2]], -1).astype(np.float32)
    points += np.random.default_rng(1).normal(0, 0.03, points.shape).astype(np.float32)
    if points.size > 4:
        points[0, 0], points[0, 1] = np.nan, (1.2, 0.5)
    got = native.refine_heatmaps(logits, points, mode=mode, window=window, kernel=window)
    expected = reference.refine_heatmaps(logits, points, mode=mode, window=window, kernel=window)
    np.testing.assert_allclose(got[0], expected[0], rtol=0, atol=1e-6)  # float32 sums about the window's middle
    np.testing.assert_allclose(got[1], expected[1], rtol=0, atol=3e-5)  # root of a variance
    np.testing.assert_allclose(got[2], expected[2], rtol=0, atol=1e-6)


def test_refinement_keeps_what_the_heatmap_says_nothing_about(native: ModuleType) -> None:
    logits = np.full((1, 3, 64, 64), -9, np.float32)
    points = np.array([[[0.5, 0.5], [1.0, 0.2], [np.nan, 0.1]]], np.float32)
    refined, spread, second = native.refine_heatmaps(logits, points)
    np.testing.assert_array_equal(refined, points)
    assert np.isnan(spread).all() and np.isnan(second).all()


def test_refinement_finds_the_second_peak(native: ModuleType) -> None:
    logits = np.full((1, 1, 64, 64), -9, np.float32)
    logits[0, 0, 20:23, 10:13] = 4
    logits[0, 0, 50, 40] = 2
    logits[0, 0, 5, 60] = 3
    refined, spread, second = native.refine_heatmaps(logits, np.full((1, 1, 2), 0.2, np.float32) + np.array([0, 0.13], np.float32))
    np.testing.assert_allclose(refined[0, 0], [11 / 64, 21 / 64], atol=1e-5)  # sigmoid(-9)^2 of the other cells
    np.testing.assert_allclose(spread[0, 0], np.sqrt(2 / 3) / 64, atol=1e-4)
    np.testing.assert_allclose(second[0, 0], [60 / 64, 5 / 64], atol=1e-5)


def detections(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    boxes = rng.normal(0, 20, (n, 12)).astype(np.float32)
    boxes[:, 2:4] = np.abs(boxes[:, 2:4]) + 20
    return boxes, rng.normal(0, 2, n).astype(np.float32), rng.uniform(0, 1, (n, 2)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 7, 300])
@pytest.mark.parametrize("iou", [0.0, 0.3, 1.0])
def test_detections(native: ModuleType, n: int, iou: float) -> None:
    boxes, scores, anchors = detections(n)
    got = native.decode_detections(boxes, scores, anchors=anchors, iou=iou)
    expected = reference.decode_detections(boxes, scores, anchors=anchors, iou=iou)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)  # float64 means, rounded to float32


def test_detections_of_the_real_anchor_grid(native: ModuleType) -> None:
    boxes, scores, _ = detections(2254)
    anchors = native.blazepose_anchors()
    assert anchors.shape == (2254, 2)
    np.testing.assert_allclose(
        anchors[[0, 1, 2, 1567, 1568, 2253]] * 28, [[0.5, 0.5], [0.5, 0.5], [1.5, 0.5], [27.5, 27.5], [1, 1], [26, 26]], atol=1e-4
    )
    for a, b in zip(native.decode_detections(boxes, scores), reference.decode_detections(boxes, scores), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_overlapping_detections_become_their_weighted_mean(native: ModuleType) -> None:
    anchors = np.array([[0.5, 0.5], [0.5, 0.5], [0.1, 0.1]], np.float32)
    boxes = np.zeros((3, 12), np.float32)
    boxes[:, 2:4] = 56
    boxes[1, :2] = 4
    scores = np.array([0.0, np.log(3), 5.0], np.float32)  # probabilities 1/2, 3/4, ~1
    found, keypoints, score = native.decode_detections(boxes, scores, anchors=anchors, threshold=0.5)
    shift = 0.75 / 1.25 * 4 / 224
    np.testing.assert_allclose(found[1], np.array([0.375, 0.375, 0.625, 0.625]) + shift, atol=1e-6)
    np.testing.assert_allclose(score, [1 / (1 + np.exp(-5)), 0.75], atol=1e-6)
    np.testing.assert_allclose(keypoints[0], 0.1, atol=1e-6)
    assert len(native.decode_detections(boxes, scores, anchors=anchors, threshold=0.9)[2]) == 1


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (1, 117), (3, 5)])
def test_filter_is_the_definition(native: ModuleType, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    a, b = native.OneEuroState.empty(*shape), native.OneEuroState.empty(*shape)
    options = {"min_cutoff": 0.05, "beta": 80.0, "d_cutoff": 1.0}
    scale = rng.uniform(0.001, 0.1, shape[0])
    for t in [0.0, 0.03, 0.07, 0.07, 0.05, 0.1, 0.5]:
        x = rng.normal(100, 5, shape).astype(np.float32)
        if x.size > 3 and t == 0.07:
            x[0, 1] = np.nan
        got = native.one_euro(x, a, t, value_scale=scale, **options)
        expected = reference.one_euro(x, b, np.full(shape[0], t), value_scale=scale, **options)
        np.testing.assert_allclose(got, expected, rtol=1e-6)  # a float64 sum in another order, rounded to float32
        np.testing.assert_allclose(a.filtered, b.filtered, rtol=1e-12)


def test_filter_by_hand(native: ModuleType) -> None:
    state = native.OneEuroState.empty(1, 1)
    step = {"min_cutoff": 1.0, "beta": 2.0, "d_cutoff": 1.0}

    def feed(x: float, t: float) -> float:
        return float(native.one_euro(np.array([[x]], np.float32), state, t, **step)[0, 0])

    assert feed(10, 0.0) == 10
    alpha = 1 / (1 + 10 / (2 * np.pi))
    slope = alpha * (11 - 10) / 0.1
    cutoff = 1 + 2 * slope
    smoothing = 1 / (1 + 10 / (2 * np.pi * cutoff))
    assert feed(11, 0.1) == pytest.approx(10 + smoothing, rel=1e-6)
    assert feed(50, 0.1) == 50  # time did not move: raw, and nothing is remembered
    assert state.previous[0, 0] == 11
    assert np.isnan(feed(np.nan, 0.2))
    assert feed(7, 0.3) == 7  # forgotten
    state.reset()
    assert feed(3, 0.0) == 3  # time may start again
