"""Laws of the schedule and of the DDIM sampler."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pose_rt.diffusion.ddim import clean_sample, ddim_coefficients, ddim_sample, ddim_step, ddim_times, flip_average, network_input
from pose_rt.diffusion.schedule import cosine_schedule

SCHEDULE = cosine_schedule(1000)


def test_schedule_falls_from_one_to_almost_nothing() -> None:
    bar = SCHEDULE.alphas_cumprod
    assert np.all(np.diff(bar) < 0)
    assert bar[0] > 0.999
    assert 0 < bar[-1] < 1e-8
    assert SCHEDULE.betas.max() <= 0.999


def test_schedule_cannot_be_changed_by_a_caller() -> None:
    with pytest.raises(ValueError, match="read-only"):
        SCHEDULE.betas[0] = 0.5


@pytest.mark.parametrize(
    ("steps", "want"), [(1, [999, -1]), (2, [999, 499, -1]), (3, [999, 665, 332, -1]), (5, [999, 799, 599, 399, 199, -1])]
)
def test_times_of_the_paper(steps: int, want: list[int]) -> None:
    assert ddim_times(1000, steps) == want


@pytest.mark.parametrize("timesteps", [10, 37, 1000])
def test_times_fall_strictly_from_the_last_step_to_minus_one(timesteps: int) -> None:
    for steps in range(1, timesteps + 1, 7):
        times = ddim_times(timesteps, steps)
        assert (times[0], times[-1], len(times)) == (timesteps - 1, -1, steps + 1)
        assert all(a > b for a, b in pairwise(times))


@pytest.mark.parametrize("steps", [0, 1001])
def test_times_refuse_impossible_numbers_of_steps(steps: int) -> None:
    with pytest.raises(ValueError, match="steps: got"):
        ddim_times(1000, steps)


def test_a_step_lands_on_the_marginal_of_its_next_time() -> None:
    """From y = sqrt(a) x0 + sqrt(1 - a) e and a true x0, one step gives mean sqrt(a') x0 and variance 1 - a'."""
    rng = np.random.default_rng(0)
    x0 = np.full(200_000, 0.7, np.float32)
    step, following = 700, 300
    a, b = SCHEDULE.alphas_cumprod[step], SCHEDULE.alphas_cumprod[following]
    y = (np.sqrt(a) * x0 + np.sqrt(1 - a) * rng.standard_normal(x0.shape)).astype(np.float32)
    y = ddim_step(y, x0, rng.standard_normal(x0.shape, dtype=np.float32), SCHEDULE, step, following)
    # five standard errors of a mean and of a variance over 200 000 draws
    assert abs(y.mean() - np.sqrt(b) * 0.7) < 5 * np.sqrt((1 - b) / len(x0))
    assert abs(y.var() - (1 - b)) < 5 * (1 - b) * np.sqrt(2 / len(x0))


def test_coefficients_keep_the_total_variance() -> None:
    for step, following in [(999, 499), (799, 599), (40, 0)]:
        k = ddim_coefficients(SCHEDULE, step, following)
        assert k.c**2 + k.sigma**2 == pytest.approx(1 - k.alpha_next, abs=1e-12)  # float64 rounding


def test_a_sure_network_is_believed_at_every_step() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(-1, 1, (2, 3, 4)).astype(np.float32)
    noise = [rng.standard_normal((2, 3, 4), dtype=np.float32) for _ in range(4)]
    seen: list[int] = []

    def predict(noisy: np.ndarray, step: int) -> np.ndarray:
        seen.append(step)
        assert noisy.dtype == np.float32
        assert np.abs(noisy).max() <= np.float32(1.1)
        return truth

    cleans = ddim_sample(predict, noise[0], noise[1:], SCHEDULE, 4)
    assert seen == ddim_times(1000, 4)[:-1]
    for clean in cleans:
        np.testing.assert_array_equal(clean, truth)


def test_predictions_and_inputs_are_clamped_at_eleven_tenths_of_the_scale() -> None:
    wild = np.array([-9.0, 0.5, 9.0], np.float32)
    np.testing.assert_allclose(network_input(wild, 2.0), [-1.1, 0.25, 1.1], rtol=1e-6)  # float32 rounding
    np.testing.assert_allclose(clean_sample(wild, 2.0), [-2.2, 1.0, 2.2], rtol=1e-6)


def test_numpy_and_torch_agree() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    noise = [rng.standard_normal((3, 9, 17, 3), dtype=np.float32) for _ in range(3)]

    def predict(noisy, step):  # type: ignore[no-untyped-def]
        return noisy * (0.5 + step / 4000) - 0.1

    ours = ddim_sample(predict, noise[0], noise[1:], SCHEDULE, 3)
    theirs = ddim_sample(predict, torch.from_numpy(noise[0]), [torch.from_numpy(n) for n in noise[1:]], SCHEDULE, 3)
    for a, b in zip(ours, theirs, strict=True):
        assert b.dtype == torch.float32
        np.testing.assert_allclose(a, b.numpy(), atol=1e-6)  # the order of float32 roundings may differ


def test_flip_average_is_a_fixed_point_of_mirroring() -> None:
    """With mirrored noise and mirrored input the averaged prediction is the mirrored prediction."""

    def mirror(x: np.ndarray) -> np.ndarray:
        return x[::-1] * -1

    weights = np.array([1.0, 2.0, 4.0])
    plain, mirrored = (lambda x, step: x * weights + step), (lambda x, step: x * weights - step)
    one = flip_average(plain, mirrored, mirror)
    other = flip_average(mirrored, plain, mirror)
    x = np.array([0.3, -1.0, 2.0])
    np.testing.assert_array_equal(mirror(one(x, 5)), other(mirror(x), 5))


def test_a_wrong_number_of_noise_arrays_is_an_error() -> None:
    with pytest.raises(ValueError, match="wanted 2 for 3 steps"):
        ddim_sample(lambda x, step: x, np.zeros(3, np.float32), [np.zeros(3, np.float32)], SCHEDULE, 3)
