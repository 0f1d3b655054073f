"""The CUDA kernels against the definition, through the same face and on the same problems as the C++ kernels."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pose_rt.ops import reference

pytestmark = pytest.mark.gpu

Send = Callable[[np.ndarray], Any]
CAMERA = np.array([2.29, 2.28, 0.02, 0.03, -0.2, 0.25, -0.001, -0.0009, -0.0014], np.float32)
# exp, log, sin and cos of the CUDA library are a few units in the last place off; a weight is a power of up to 3 of them.
WEIGHT_RTOL = 1e-5
CELLS_ATOL = 1e-4


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


@pytest.mark.parametrize(("rows", "n"), [(0, 3), (3, 5), (2, 17), (1, 700)])
@pytest.mark.parametrize("noise", [1.0, 2.4, 0.0])
def test_soft_weights(device: ModuleType, on_device: Send, rows: int, n: int, noise: float) -> None:
    logits = random(rows, n, scale=3)
    options = {"temperature": 0.8, "noise_scale": noise, "seed": 5, "frame": 3, "track": 9}
    got = device.gumbel_softmax(on_device(logits), 3, **options).to_host()
    np.testing.assert_allclose(got, reference.gumbel_softmax(logits, 3, **options), rtol=WEIGHT_RTOL, atol=1e-9)


def test_hard_choice_is_exact_on_whole_numbers(device: ModuleType, on_device: Send) -> None:
    rng = np.random.default_rng(0)
    logits = rng.integers(-3, 3, (4, 300)).astype(np.float32)
    noise = rng.integers(-3, 3, (4, 3, 300)).astype(np.float32)
    got = device.gumbel_softmax(on_device(logits), 3, temperature=0.3, hard=True, gumbel=on_device(noise)).to_host()
    np.testing.assert_array_equal(got, reference.gumbel_softmax(logits, 3, temperature=0.3, hard=True, gumbel=noise))


@pytest.mark.parametrize("basis", ["uniform", "triangular", "gaussian"])
@pytest.mark.parametrize(
    ("shape", "window"), [((2, 5, 7), None), ((1, 1, 1), None), ((1, 90, 83), None), ((3, 20, 24), 9), ((2, 6, 5), 11)]
)
@pytest.mark.parametrize("noise", [2.0, 0.0])
def test_coordinates(device: ModuleType, on_device: Send, basis: str, shape: tuple[int, ...], window: int | None, noise: float) -> None:
    heatmap = random(*shape, scale=2)
    centres = np.random.default_rng(1).uniform(-3, 30, (shape[0], 2)).astype(np.float32)
    options = {"basis": basis, "noise_scale": noise, "seed": 3, "track": 4}
    got = device.sample_coordinates(on_device(heatmap), 3, window=None if window is None else (on_device(centres), window), **options)
    expected = reference.sample_coordinates(heatmap, 3, window=None if window is None else (centres, window), **options)
    for a, b, tolerance in zip(got, expected, (CELLS_ATOL, CELLS_ATOL, 2e-3, 0), strict=True):  # covariance: squared cells up to 90^2
        np.testing.assert_allclose(a.to_host().astype(np.float32), b.astype(np.float32), rtol=0, atol=tolerance)


@pytest.mark.parametrize("mode", ["sampling_argmax", "mediapipe"])
@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 5, 24, 20), (1, 3, 1, 1)])
def test_refinement(device: ModuleType, on_device: Send, mode: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(-6, 1, shape).astype(np.float32)
    points = rng.uniform(0.2, 0.8, (*shape[:2], 2)).astype(np.float32)
    for p, j in np.ndindex(*shape[:2]):
        x, y = int(points[p, j, 0] * shape[3]), int(points[p, j, 1] * shape[2])
        logits[p, j, y, x] = 4
        logits[p, j, (y + shape[2] // 2) % shape[2], (x + 9) % shape[3]] = 3.5
    if points.size > 4:
        points[0, 0], points[0, 1] = np.nan, (1.2, 0.5)
    got = device.refine_heatmaps(on_device(logits), on_device(points), mode=mode, window=9)
    expected = reference.refine_heatmaps(logits, points, mode=mode, window=9)
    for a, b, tolerance in zip(got, expected, (1e-6, 3e-5, 1e-6), strict=True):
        np.testing.assert_allclose(a.to_host(), b, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("n", "k", "m", "d"), [(0, 3, 4, 5), (1, 6, 40, 150), (2, 3, 5, 1)])
def test_blend(device: ModuleType, on_device: Send, n: int, k: int, m: int, d: int) -> None:
    bases, weights = random(n, m, d), random(n, k, m, seed=1)
    got = device.blend_bases(on_device(bases), on_device(weights)).to_host()
    np.testing.assert_allclose(got, reference.blend_bases(bases, weights), rtol=0, atol=2e-5)
    options = {"draws": k, "temperature": 0.85, "seed": 8, "frame": 2}
    drawn = device.blend_bases(on_device(bases), **options).to_host()
    np.testing.assert_allclose(drawn, reference.blend_bases(bases, **options), rtol=0, atol=2e-5)


@pytest.mark.parametrize("clamp", [True, False])
@pytest.mark.parametrize("numbers", [4, 9])
def test_projection_is_the_definition_bit_for_bit(device: ModuleType, on_device: Send, clamp: bool, numbers: int) -> None:
    points = random(4, 5, 33, 3)
    got = device.project(on_device(points), CAMERA[:numbers].copy(), clamp=clamp).to_host()
    np.testing.assert_array_equal(got, reference.project(points, CAMERA[:numbers], clamp=clamp))


@pytest.mark.parametrize("shape", [(0, 3, 2, 17), (1, 1, 1, 17), (2, 5, 9, 17)])
@pytest.mark.parametrize("mode", ["mean", "jpma", "weighted"])
def test_aggregate(device: ModuleType, on_device: Send, shape: tuple[int, int, int, int], mode: str) -> None:
    people, count, frames, joints = shape
    hypotheses = random(*shape, 3, scale=0.3)
    arrays: dict[str, np.ndarray] = {}
    if mode == "jpma":
        arrays["target_xy"] = random(people, frames, joints, 2, seed=2, scale=0.2)
        arrays["root"] = random(people, frames, 3, seed=1, scale=0.1) + np.array([0, 0, 4], np.float32)
        if people:
            arrays["target_xy"][0, 0, 3] = np.nan
    if mode == "weighted":
        arrays["weights"] = np.abs(random(people, count, seed=4)) + np.float32(0.01)
    camera = {"camera": CAMERA} if mode == "jpma" else {}
    got = device.aggregate(on_device(hypotheses), mode=mode, **{k: on_device(v) for k, v in arrays.items()}, **camera)
    expected = reference.aggregate(hypotheses, mode=mode, **arrays, **camera)
    np.testing.assert_array_equal(got[2].to_host(), expected[2])
    np.testing.assert_allclose(got[0].to_host(), expected[0], rtol=0, atol=5e-7)
    np.testing.assert_allclose(got[1].to_host(), expected[1], rtol=0, atol=2e-6)


@pytest.mark.parametrize("border", ["replicate", "zero"])
@pytest.mark.parametrize("rounding", [{"quantise": "none"}, {"quantise": "u8"}, {"fixed_point": True}])
def test_crop(device: ModuleType, on_device: Send, border: str, rounding: dict, emulated: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    rois = np.array([[30, 20, 25, 0.3], [0, 0, 40, -1.0], [-200, 500, 30, 0], [32, 24, 500, 0.1]], np.float32)
    got = device.crop_warp(on_device(image), on_device(rois), 33, border=border, scale=1.0, **rounding).to_host()
    expected = reference.crop_warp(image, rois, 33, border=border, scale=1.0, **rounding)
    if emulated:
        np.testing.assert_array_equal(got, expected)
    else:  # sin and cos of the device's library may move a coordinate by 1e-13 px and with it a rounding
        assert np.abs(got - expected).max() <= 1 and (got != expected).mean() < 1e-4


def test_out_on_the_device_is_written(device: ModuleType, on_device: Send) -> None:
    points = random(5, 3)
    out = on_device(np.zeros((5, 2), np.float32))
    device.project(on_device(points), CAMERA, out=out)
    np.testing.assert_array_equal(out.to_host(), reference.project(points, CAMERA))


def test_bad_device_input_is_refused(device: ModuleType, on_device: Send) -> None:
    with pytest.raises(ValueError, match=r"logits.*float64.*float32"):
        device.gumbel_softmax(on_device(np.zeros((2, 3))), 1, temperature=1.0)
    with pytest.raises(ValueError, match=r"points.*host|host.*points"):
        device.refine_heatmaps(on_device(np.zeros((1, 2, 8, 8), np.float32)), np.zeros((1, 2, 2), np.float32))
    with pytest.raises(ValueError, match=r"x.*host"):
        state = device.OneEuroState.empty(1, 2)
        device.one_euro(on_device(np.zeros((1, 2), np.float32)), state, np.zeros(1), value_scale=np.ones(1), min_cutoff=1.0, beta=0.0)
    with pytest.raises(ValueError, match="1024"):
        device.sample_coordinates(on_device(np.zeros((1, 2, 2000), np.float32)), 1)
    with pytest.raises(ValueError, match="out"):
        device.project(on_device(np.zeros((5, 3), np.float32)), CAMERA, out=np.zeros((5, 2), np.float32))


class Strided:
    """Another library's device array, with gaps."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.__cuda_array_interface__ = array.__cuda_array_interface__ | {"shape": (2, 2), "strides": (16, 8)}


def test_gaps_on_the_device_are_refused(device: ModuleType, on_device: Send) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        device.gumbel_softmax(Strided(on_device(np.zeros((2, 4), np.float32))), 1, temperature=1.0)


class Dlpack:
    """A device array that speaks DLPack only; under emulation host memory plays the device's."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, *, stream: int) -> Any:
        assert stream == 1  # the default stream in DLPack's counting
        return self.array.__dlpack__()


def test_dlpack_is_read(device: ModuleType, emulated: bool) -> None:
    if not emulated:
        pytest.skip("needs host memory that plays the device's")
    points = random(7, 3)
    np.testing.assert_array_equal(device.project(Dlpack(points), CAMERA).to_host(), reference.project(points, CAMERA))
    with pytest.raises(ValueError, match=r"points.*int32.*float32"):
        device.project(Dlpack(np.zeros((4, 3), np.int32)), CAMERA)
    with pytest.raises(ValueError, match=r"points.*contiguous"):
        device.project(Dlpack(np.zeros((4, 6), np.float32)[:, ::2]), CAMERA)
