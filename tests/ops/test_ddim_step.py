"""ddim_step: the kernel against its definition bit for bit, and the definition against the sampler of pose_rt.diffusion."""

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest

from pose_rt import ops
from pose_rt.core.skeleton import H36M17, mirror_points
from pose_rt.diffusion.ddim import ddim_coefficients, ddim_sample, ddim_times, flip_average, network_input
from pose_rt.diffusion.schedule import cosine_schedule
from pose_rt.ops import reference

MIRROR = H36M17.mirror.astype(np.int32)
SCHEDULE = cosine_schedule(1000)
STEPS = [(999, 499), (499, 0), (20, 10)]
LAST = (0.3, 1.0, 0.0, 0.0)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def problem(n: int, f: int, mirrored: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return random(n, f, 17, 3), random(n * (1 + mirrored), f, 17, 3, seed=1), random(n, f, 17, 3, seed=2)


def definition(noisy: np.ndarray, prediction: np.ndarray, noise: np.ndarray | None, k: tuple, **options: object) -> tuple:
    return reference.ddim_step(noisy, prediction, noise, alpha=k[0], alpha_next=k[1], sigma=k[2], c=k[3], **options)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.7])
@pytest.mark.parametrize(("n", "f"), [(0, 3), (1, 1), (5, 9)])
def test_the_kernel_is_the_definition_bit_for_bit(native: ModuleType, n: int, f: int, scale: float, mirrored: bool) -> None:
    noisy, prediction, noise = problem(n, f, mirrored)
    mirror = MIRROR if mirrored else None
    for k in [tuple(ddim_coefficients(SCHEDULE, a, b)) for a, b in STEPS] + [LAST]:
        got = native.ddim_step(noisy, prediction, noise, k, scale=scale, mirror=mirror)
        for a, b in zip(got, definition(noisy, prediction, noise, k, scale=scale, mirror=mirror), strict=True):
            np.testing.assert_array_equal(a, b)


def test_into_out_and_in_place(native: ModuleType) -> None:
    noisy, prediction, noise = problem(2, 3, True)
    k = tuple(ddim_coefficients(SCHEDULE, *STEPS[0]))
    expected = definition(noisy, prediction, noise, k, mirror=MIRROR)
    network = np.empty_like(prediction)
    got = native.ddim_step(noisy, prediction, noise, k, mirror=MIRROR, out=(noisy, network))
    assert got[0] is noisy and got[1] is network
    np.testing.assert_array_equal(noisy, expected[0])
    np.testing.assert_array_equal(network, expected[1])


def test_after_the_last_step_is_the_clamped_prediction(native: ModuleType) -> None:
    noisy, prediction, _ = problem(2, 3, False)
    np.testing.assert_array_equal(native.ddim_step(noisy, prediction, None, LAST)[0], np.clip(prediction, -1.1, 1.1).astype(np.float32))


def network(x: np.ndarray, step: int) -> np.ndarray:
    return np.tanh(x * np.float32(1.3) + np.float32(step / 2000) + np.arange(3, dtype=np.float32) / 10)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_chain_of_steps_is_the_sampler(native: ModuleType, flip: bool, scale: float) -> None:
    steps, n = 4, 3
    noise = random(steps, n, 9, 17, 3)
    averaged = flip_average(network, network, lambda p: mirror_points(p, H36M17)) if flip else network
    expected = ddim_sample(averaged, noise[0], list(noise[1:]), SCHEDULE, steps, scale)[-1]
    y, mirror = noise[0], MIRROR if flip else None
    x = network_input(y, scale)
    x = np.concatenate([x, mirror_points(x, H36M17)]) if flip else x
    for i, (step, following) in enumerate(pairwise(ddim_times(1000, steps))):
        last = following < 0
        k = (float(SCHEDULE.alphas_cumprod[step]), 1.0, 0.0, 0.0) if last else tuple(ddim_coefficients(SCHEDULE, step, following))
        y, x = native.ddim_step(y, network(x, step), None if last else noise[i + 1], k, scale=scale, mirror=mirror)
    np.testing.assert_array_equal(y, expected)


def zeros(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


K = (0.2, 0.5, 0.1, 0.3)
Z = zeros(2, 3, 17, 3)
BAD: list[tuple[str, Callable[[ModuleType], object]]] = [
    ("noisy.*float64", lambda o: o.ddim_step(Z.astype(np.float64), Z, Z, K)),
    ("prediction.*\\(2, 3, 16, 3\\)", lambda o: o.ddim_step(Z, zeros(2, 3, 16, 3), Z, K)),
    ("prediction.*\\(2, 3, 17, 3\\).*4", lambda o: o.ddim_step(Z, Z, Z, K, mirror=MIRROR)),
    ("noise.*\\(1, 3, 17, 3\\)", lambda o: o.ddim_step(Z, Z, Z[:1], K)),
    ("noise.*None.*sigma", lambda o: o.ddim_step(Z, Z, None, K)),
    ("alpha", lambda o: o.ddim_step(Z, Z, Z, (1.0, 1.0, 0.0, 0.0))),
    ("alpha_next", lambda o: o.ddim_step(Z, Z, Z, (0.5, 0.2, 0.0, 0.0))),
    ("sigma", lambda o: o.ddim_step(Z, Z, Z, (0.2, 0.5, 2.0, 0.0))),
    ("c: got|c: ", lambda o: o.ddim_step(Z, Z, Z, (0.2, 0.5, 0.0, np.nan))),
    ("scale", lambda o: o.ddim_step(Z, Z, Z, K, scale=0.0)),
    ("mirror.*mutual", lambda o: o.ddim_step(Z, zeros(4, 3, 17, 3), Z, K, mirror=np.roll(np.arange(17, dtype=np.int32), 1))),
    ("mirror.*int64", lambda o: o.ddim_step(Z, zeros(4, 3, 17, 3), Z, K, mirror=np.arange(17))),
    ("out", lambda o: o.ddim_step(Z, Z, Z, K, out=(zeros(1), zeros(1)))),
]


@pytest.mark.parametrize(("message", "call"), BAD, ids=[m for m, _ in BAD])
def test_bad_input_is_refused_by_both_faces(reference_face: ModuleType, message: str, call: Callable[[ModuleType], object]) -> None:
    with pytest.raises(ValueError, match=message):
        call(reference_face)


@pytest.mark.skipif(ops.isa() is None, reason="pose_rt._core is not built")
@pytest.mark.parametrize(("message", "call"), BAD, ids=[m for m, _ in BAD])
def test_bad_input_is_refused_by_the_kernels(message: str, call: Callable[[ModuleType], object]) -> None:
    with pytest.raises(ValueError, match=message):
        call(ops)
