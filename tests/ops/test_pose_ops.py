"""project and aggregate: kernels against their definition, ties, missing values, and laws."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pose_rt.ops import reference

CAMERA = np.array([2.29, 2.28, 0.02, 0.03, -0.2, 0.25, -0.001, -0.0009, -0.0014], np.float32)


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (1, 3), (15, 3), (16, 3), (17, 3), (4, 5, 33, 3)])
@pytest.mark.parametrize("clamp", [True, False])
@pytest.mark.parametrize("numbers", [4, 9])
def test_projection_is_the_definition_bit_for_bit(native: ModuleType, shape: tuple[int, ...], clamp: bool, numbers: int) -> None:
    points = random(*shape)
    got = native.project(points, CAMERA[:numbers].copy(), clamp=clamp)
    np.testing.assert_array_equal(got, reference.project(points, CAMERA[:numbers], clamp=clamp))


def test_projection_at_the_camera_plane(native: ModuleType) -> None:
    points = np.array([[1, -1, 0], [0, 0, 0], [np.nan, 1, 1], [1, 1, -2]], np.float32)
    got = native.project(points, CAMERA[:4].copy())
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got, reference.project(points, CAMERA[:4]))
    assert np.isnan(got[1]).all() and np.isnan(got[2, 0]) and np.isfinite(got[[0, 3]]).all()


def test_projection_into_out(native: ModuleType) -> None:
    points, out = random(5, 3), np.empty((5, 2), np.float32)
    assert native.project(points, CAMERA, out=out) is out
    np.testing.assert_array_equal(out, reference.project(points, CAMERA))


def problem(people: int, count: int, frames: int, joints: int, seed: int = 0) -> dict[str, np.ndarray]:
    root = random(people, frames, 3, seed=seed + 1, scale=0.1) + np.array([0, 0, 4], np.float32)
    return {
        "hypotheses": random(people, count, frames, joints, 3, seed=seed, scale=0.3),
        "target_xy": random(people, frames, joints, 2, seed=seed + 2, scale=0.2),
        "root": root,
        "camera": CAMERA,
    }


SHAPES = [
    (0, 3, 2, 17),
    (1, 1, 1, 17),
    (1, 20, 1, 17),
    (2, 5, 9, 17),
    (1, 3, 27, 1),
    (1, 2, 1, 3),
    (3, 4, 7, 5),
    (1, 2, 0, 17),
    (1, 20, 27, 16),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["mean", "jpma", "weighted"])
def test_aggregate(native: ModuleType, shape: tuple[int, int, int, int], mode: str) -> None:
    given_problem = problem(*shape)
    hypotheses = given_problem.pop("hypotheses")
    options = given_problem if mode == "jpma" else {}
    if mode == "weighted":
        options = {"weights": np.abs(random(*shape[:2], seed=4)) + np.float32(0.01)}
    joints, sigma, chosen = native.aggregate(hypotheses, mode=mode, **options)
    expected = reference.aggregate(hypotheses, mode=mode, **options)
    assert chosen.dtype == np.int32
    np.testing.assert_array_equal(chosen, expected[2])
    if mode == "jpma":
        np.testing.assert_array_equal(joints, expected[0])
    np.testing.assert_allclose(joints, expected[0], rtol=0, atol=5e-7)  # float32 sums of 20 values below 2
    np.testing.assert_allclose(sigma, expected[1], rtol=0, atol=2e-6)  # variance by one pass


def test_one_hypothesis_has_no_spread(native: ModuleType) -> None:
    given_problem = problem(2, 1, 3, 17)
    hypotheses = given_problem.pop("hypotheses")
    for mode, options in (("mean", {}), ("jpma", given_problem)):
        joints, sigma, chosen = native.aggregate(hypotheses, mode=mode, **options)
        np.testing.assert_array_equal(joints, hypotheses[:, 0])
        np.testing.assert_array_equal(sigma, 0)
        np.testing.assert_array_equal(chosen, 0 if mode == "jpma" else -1)


def test_equal_hypotheses_resolve_to_the_first(native: ModuleType) -> None:
    given_problem = problem(1, 1, 4, 17)
    hypotheses = given_problem.pop("hypotheses").repeat(6, axis=1)
    joints, sigma, chosen = native.aggregate(hypotheses, mode="jpma", **given_problem)
    np.testing.assert_array_equal(chosen, 0)
    np.testing.assert_array_equal(sigma, 0)
    np.testing.assert_array_equal(joints, hypotheses[:, 0])


def test_a_joint_without_target_takes_the_mean(native: ModuleType) -> None:
    given_problem = problem(1, 5, 3, 17)
    given_problem["target_xy"][0, 1, 4] = np.nan
    given_problem["target_xy"][0, 2, 6, 0] = np.nan
    hypotheses = given_problem.pop("hypotheses")
    joints, _, chosen = native.aggregate(hypotheses, mode="jpma", **given_problem)
    mean, _, _ = native.aggregate(hypotheses)
    assert {tuple(i) for i in np.argwhere(chosen < 0)} == {(0, 1, 4), (0, 2, 6)}
    np.testing.assert_array_equal(joints[chosen < 0], mean[chosen < 0])


def test_a_hypothesis_that_cannot_be_projected_is_never_chosen(native: ModuleType) -> None:
    given_problem = problem(1, 3, 1, 17)
    hypotheses = given_problem.pop("hypotheses")
    hypotheses[0, 0] = -given_problem["root"][0, 0]  # at the camera's centre: 0 / 0
    _, _, chosen = native.aggregate(hypotheses, mode="jpma", **given_problem)
    assert (chosen > 0).all()


def test_out_is_written_and_returned(native: ModuleType) -> None:
    hypotheses = random(1, 4, 2, 17, 3)
    out = (np.empty((1, 2, 17, 3), np.float32), np.empty((1, 2, 17), np.float32), np.empty((1, 2, 17), np.int32))
    result = native.aggregate(hypotheses, out=out)
    assert all(a is b for a, b in zip(result, out, strict=True))
    np.testing.assert_allclose(out[0], hypotheses.mean(1), atol=5e-7)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 8), frames=st.integers(1, 4), joints=st.integers(1, 20), seed=st.integers(0, 1000))
def test_the_chosen_hypothesis_reprojects_best(native: ModuleType, count: int, frames: int, joints: int, seed: int) -> None:
    given_problem = problem(1, count, frames, joints, seed)
    hypotheses = given_problem.pop("hypotheses")
    joints_out, _, chosen = native.aggregate(hypotheses, mode="jpma", **given_problem)
    seen = reference.project(hypotheses + given_problem["root"][:, None, :, None], CAMERA).astype(np.float64)
    error = np.linalg.norm(seen - given_problem["target_xy"][:, None], axis=-1)
    taken = np.take_along_axis(error, chosen[:, None], 1)[:, 0]
    assert (taken <= error.min(1) + 1e-6).all()  # float32 against float64 distances
    np.testing.assert_array_equal(joints_out, np.take_along_axis(hypotheses, chosen[:, None, ..., None], 1)[:, 0])
    # Choosing does not depend on the order of the hypotheses, beyond ties.
    flipped, _, _ = native.aggregate(np.ascontiguousarray(hypotheses[:, ::-1]), mode="jpma", **given_problem)
    np.testing.assert_array_equal(flipped, joints_out)


def test_weights_of_one_hypothesis_give_it_back(native: ModuleType) -> None:
    hypotheses = random(2, 4, 3, 17, 3)
    weights = np.zeros((2, 4), np.float32)
    weights[:, 2] = 5
    joints, sigma, _ = native.aggregate(hypotheses, mode="weighted", weights=weights)
    np.testing.assert_allclose(joints, hypotheses[:, 2], atol=3e-7)  # x0 + (x - x0) is rounded twice
    np.testing.assert_allclose(sigma, 0, atol=1e-3)  # root of a cancelled variance of order 1e-7
