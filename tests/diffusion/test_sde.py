"""Laws of the diffusions and samplers, on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from pose_rt.diffusion.sde import Sde, SubVpSde, VeSde, VpSde, reverse
from pose_rt.diffusion.sde_samplers import Score, flow_solver, flow_velocity, mean_and_std, predictor_corrector, prior

MEAN, STD = 1.5, 0.4
SDES = [VpSde(steps=400), SubVpSde(steps=400), VeSde(steps=400, sigma_max=20.0)]
NAMES = ["vp", "subvp", "ve"]


def gaussian_score(sde: Sde) -> Score:
    """The exact score of data N(MEAN, STD^2): x(t) is N(a MEAN, a^2 STD^2 + s^2)."""

    def score(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        a, s = mean_and_std(sde, float(t[0]))
        return -(x - a * MEAN) / (a * a * STD**2 + s * s)

    return score


@pytest.mark.parametrize("sde", SDES, ids=NAMES)
def test_marginals_are_those_of_the_simulated_process(sde: Sde) -> None:
    rng = np.random.default_rng(0)
    x = np.full((20000, 1), 0.7)
    steps, end = 2000, 0.6
    for i in range(steps):
        t = np.full(len(x), end * i / steps)
        drift, g = sde.forward(x, t)
        x = x + drift * (end / steps) + g[:, None] * np.sqrt(end / steps) * rng.standard_normal(x.shape)
    mean, std = sde.marginal(np.full((1, 1), 0.7), np.full(1, end))
    assert x.mean() == pytest.approx(mean[0, 0], abs=5 * std[0] / np.sqrt(len(x)) + 2e-3)
    assert x.std() == pytest.approx(std[0], rel=0.03)


@pytest.mark.parametrize("sde", SDES, ids=NAMES)
def test_the_exact_flow_takes_a_gaussian_to_the_data(sde: Sde) -> None:
    """The flow of a Gaussian is affine: the state k standard deviations off the mean ends k standard deviations off."""
    from scipy.integrate import solve_ivp

    score = gaussian_score(sde)
    a, s = mean_and_std(sde, sde.horizon)
    k = np.array([[-2.0], [0.0], [1.0]])
    start = a * MEAN + k * np.sqrt(a * a * STD**2 + s * s)
    velocity = flow_velocity(sde, score)
    end = solve_ivp(lambda t, x: velocity(t, x.reshape(-1, 1)).ravel(), (sde.horizon, 1e-4), start.ravel(), rtol=1e-8, atol=1e-8).y[:, -1]
    a, s = mean_and_std(sde, 1e-4)
    np.testing.assert_allclose(end, (a * MEAN + k * np.sqrt(a * a * STD**2 + s * s)).ravel(), atol=2e-4)


@pytest.mark.parametrize("sde", SDES, ids=NAMES)
def test_the_multistep_solver_converges_to_the_exact_flow(sde: Sde) -> None:
    score = gaussian_score(sde)
    a, s = mean_and_std(sde, sde.horizon)
    k = np.array([[-2.0], [0.0], [1.0]])
    start = a * MEAN + k * np.sqrt(a * a * STD**2 + s * s)
    errors = [np.abs(flow_solver(sde, score, start, steps) - (MEAN + k * STD)).max() for steps in (20, 80)]
    assert errors[1] < 0.005
    assert errors[1] < errors[0] / 8, "it is of second order: a quarter of the step, a sixteenth of the error in the limit"


@pytest.mark.parametrize("sde", SDES, ids=NAMES)
@pytest.mark.parametrize("predictor", ["euler_maruyama", "reverse_diffusion", "ancestral_sampling"])
def test_samples_recover_the_moments_of_the_data(sde: Sde, predictor: str) -> None:
    if predictor == "ancestral_sampling" and isinstance(sde, SubVpSde):
        pytest.skip("sub-VP has no ancestral step")
    if predictor == "euler_maruyama" and isinstance(sde, VeSde):
        pytest.skip("the Euler step is far too long where sigma grows geometrically; VE goes with its own discretisation")
    rng = np.random.default_rng(1)
    start = prior(sde, rng.standard_normal((4000, 1)))
    x = predictor_corrector(sde, gaussian_score(sde), start, lambda: rng.standard_normal(start.shape), predictor=predictor)  # type: ignore[arg-type]
    assert x.mean() == pytest.approx(MEAN, abs=0.05)
    assert x.std() == pytest.approx(STD, rel=0.08)


def test_the_published_flow_is_not_the_flow() -> None:
    """It leaves out the noise but keeps the whole score: the samples are narrower than the data."""
    sde = SubVpSde(steps=400)
    rng = np.random.default_rng(2)
    start = rng.standard_normal((2000, 1))
    ends = {
        flow: predictor_corrector(sde, gaussian_score(sde), start, lambda: np.zeros_like(start), flow=flow).std()  # type: ignore[arg-type]
        for flow in ("published", "exact")
    }
    assert ends["exact"] == pytest.approx(STD, rel=0.08)
    assert ends["published"] < 0.7 * STD


def test_correctors_and_ancestral_steps_of_sub_vp_are_refused() -> None:
    sde, x, t = SubVpSde(), np.zeros((1, 1)), np.full(1, 0.5)
    with pytest.raises(ValueError, match="wanted VP or VE"):
        sde.ancestral(x, t, x)
    with pytest.raises(ValueError, match="wanted VP or VE"):
        sde.corrector_alpha(t)
    with pytest.raises(ValueError, match="steps"):
        VpSde(steps=20)
    with pytest.raises(ValueError, match="predictor"):
        predictor_corrector(sde, gaussian_score(sde), x, lambda: x, predictor="rk45")  # type: ignore[arg-type]


def test_numpy_and_torch_agree() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    x, score, t = rng.standard_normal((5, 4, 3)), rng.standard_normal((5, 4, 3)), rng.uniform(0.05, 1.0, 5)
    for sde in SDES:
        for got, want in zip(
            reverse(sde, torch.from_numpy(x), torch.from_numpy(t), torch.from_numpy(score)), reverse(sde, x, t, score), strict=True
        ):
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)
