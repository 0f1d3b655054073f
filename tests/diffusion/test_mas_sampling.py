"""Laws of multi-view sampling: perfect views give back their motion, the loss has no slope at the fused one, samples stand alone."""

import numpy as np
import pytest

from pose_rt.diffusion.gaussian import clean_from_noise, make_betas, make_tables, noise_from_clean, p_moments, q_sample
from pose_rt.diffusion.gaussian_samplers import ancestral_loop, ddim_loop, ddim_reverse_step, plms_loop
from pose_rt.diffusion.mas import METHODS, PUBLISHED, Observation, Scene, SeededDraws, Settings, generate2d, generate3d
from pose_rt.diffusion.multiview import AdamTriangulation, Views, circle, perspective_each, triangulate

SHAPE = (2, 5, 4, 3)
MEAN = np.linspace(-0.2, 0.2, 8, dtype=np.float32).reshape(4, 2, 1)
STD = np.linspace(0.5, 1.5, 8, dtype=np.float32).reshape(4, 2, 1)


def some_motion(seed: int = 0, size: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, SHAPE).astype(np.float32)


def perfect_scene(motion: np.ndarray, views: Views, steps: int = 10) -> Scene:
    """Every view is denoised to the projection of the motion, whatever comes in."""
    seen = ((views.perspective(motion) - MEAN) / STD).reshape(-1, 4, 2, 5)
    return Scene(lambda x, t: seen, make_tables("cosine_tau_2", steps), views, MEAN, STD, SHAPE)


@pytest.mark.parametrize("method", ["mas", "no_3d_noise", "prominent_angle", "prominent_angle_no_3d_noise"])
@pytest.mark.parametrize("count", [2, 7])
def test_perfect_views_of_a_motion_give_it_back(method: str, count: int) -> None:
    motion, views = some_motion(), circle(count + (count == 2), np.pi / 16, 7.0, 0.75)  # two opposite views share their depth axis
    draws = SeededDraws(0, range(2), 5, 4, len(views))
    found = generate3d(perfect_scene(motion, views), Settings(method), draws)  # type: ignore[arg-type]
    # The prominent view's weight of 1000 makes depth along it a thousand times weaker; float32 in, float64 inside.
    np.testing.assert_allclose(found, motion, atol=2e-5)


def test_the_published_descent_comes_near_the_same_motion() -> None:
    motion, views = some_motion(), circle(7, np.pi / 16, 7.0, 0.75)
    settings = Settings(solver=PUBLISHED.solver, published=True, inner_steps=400)
    found = generate3d(perfect_scene(motion, views), settings, SeededDraws(0, range(2), 5, 4, 7))
    np.testing.assert_allclose(found, motion, atol=5e-3)  # Adam with steps of 0.01 circles its goal


def test_random_cameras_find_the_motion_when_the_views_follow_them() -> None:
    motion = some_motion()
    now: list[Views] = []

    class Following(Views):
        def facing(self, horizontal: np.ndarray) -> Views:
            now[:] = [super().facing(horizontal)]
            return now[0]

    base = circle(5, 0.2, 7.0)
    following = Following(base.horizontal, base.vertical, 7.0)
    scene = Scene(lambda x, t: ((now[0].perspective(motion) - MEAN) / STD).reshape(-1, 4, 2, 5), make_tables("cosine", 6), following, MEAN,
                  STD, SHAPE)  # fmt: skip
    found = generate3d(scene, Settings("random_angles"), SeededDraws(0, range(2), 5, 4, 5))
    np.testing.assert_allclose(found, motion, atol=2e-5)


@pytest.mark.parametrize("method", ["dreamfusion", "dreamfusion_annealed"])
def test_score_distillation_goes_towards_what_is_seen(method: str) -> None:
    """A network that always says zero: all joints end near the optical axes, that is at the origin."""
    views = circle(3, 0.1, 7.0)
    scene = Scene(lambda x, t: np.zeros_like(x), make_tables("cosine", 10), views, MEAN * 0 + 0.3, STD, SHAPE)
    seen: list[Observation] = []
    found = generate3d(scene, Settings(method, iterations=60), SeededDraws(0, range(2), 5, 4, 3), observe=seen.append)  # type: ignore[arg-type]
    assert len(seen) == 60 and np.isfinite(found).all()
    assert abs(float(found[..., 1].mean()) - 0.3) < 0.1  # up is the same in all views: the mean is 0.3


def test_projections_of_the_result_agree_with_each_view() -> None:
    """Views that do not quite agree: the result is where the loss has no slope, so it lies between them, and nearer than their quarrel."""
    motion, views = some_motion(), circle(7, np.pi / 16, 7.0, 0.75)
    quarrel = np.random.default_rng(1).normal(0, 0.05, (7, 2, 4, 2, 5)).astype(np.float32)
    seen = views.perspective(motion) + quarrel
    found = triangulate(views, seen)
    residual = views.perspective(found) - seen
    slope = views.depth_free_gradient(found.astype(np.float64), residual.astype(np.float64))
    assert np.abs(slope).max() < 1e-5
    assert np.sqrt((residual**2).mean()) < np.sqrt((quarrel**2).mean())
    for each, drawn in zip(residual, quarrel, strict=True):
        assert np.abs(each).max() < 3 * np.abs(drawn).max()


def test_two_views_at_right_angles_are_enough_and_one_is_not() -> None:
    motion = some_motion()
    views = Views(np.array([0.0, np.pi / 2]), np.array([0.1, 0.1]), 7.0)
    # Each round shrinks the error by the body's size over the distance, here a third.
    np.testing.assert_allclose(triangulate(views, views.perspective(motion), rounds=25), motion, atol=2e-5)
    one = circle(1, 0.0, 7.0)
    with pytest.raises(ValueError, match="one view does not tell the depth"):
        triangulate(one, one.perspective(motion))
    with pytest.raises(ValueError, match="at least 2"):
        generate3d(perfect_scene(motion, one), Settings(), SeededDraws(0, range(2), 5, 4, 1))
    with pytest.raises(ValueError, match="method: got 'magic'"):
        generate3d(perfect_scene(motion, views), Settings("magic"), SeededDraws(0, range(2), 5, 4, 2))  # type: ignore[arg-type]


def test_gradients_are_slopes() -> None:
    motion, views = some_motion().astype(np.float64), circle(3, 0.2, 7.0, 0.5)
    weight = np.random.default_rng(2).normal(size=(3, 2, 4, 2, 5))
    direction = np.random.default_rng(3).normal(size=SHAPE)
    change = [float((weight * views.perspective(motion + e * direction)).sum()) for e in (1e-4, -1e-4)]
    want = (change[0] - change[1]) / 2e-4
    # Rotations are float32.
    assert float((views.gradient(motion, weight) * direction).sum()) == pytest.approx(want, rel=1e-4)
    assert float((views.depth_free_gradient(motion, weight) * direction).sum()) != pytest.approx(want, rel=1e-4)


def test_a_sample_is_the_same_alone_and_among_others() -> None:
    views = circle(3, 0.1, 7.0)

    def run(samples: range) -> np.ndarray:
        scene = Scene(lambda x, t: np.tanh(x) * 0.7, make_tables("cosine_tau_2", 8), views, MEAN, STD, (len(samples), 5, 4, 3))
        return generate3d(scene, Settings(), SeededDraws(3, samples, 5, 4, 3))

    together = run(range(3))
    for i in range(3):
        np.testing.assert_allclose(run(range(i, i + 1))[0], together[i], atol=1e-6)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_2d_samples_of_a_perfect_network_are_its_motion_and_every_step_is_told() -> None:
    clean = np.random.default_rng(0).normal(size=(2, 4, 2, 5)).astype(np.float32)
    scene = Scene(lambda x, t: clean, make_tables("linear", 40), circle(1, 0.0, 1.0), MEAN, STD, SHAPE)
    told: list[tuple[int, int]] = []
    rng = np.random.default_rng(1)

    def noise() -> np.ndarray:
        return rng.standard_normal(clean.shape, np.float32)

    found = generate2d(scene, Settings(), noise(), noise, lambda done, total: told.append((done, total)))
    np.testing.assert_allclose(found, clean * STD + MEAN, atol=1e-6)
    assert told == [(i + 1, 40) for i in range(40)]
    published = []
    generate2d(scene, PUBLISHED, noise(), noise, lambda done, total: published.append(total))
    assert published[-1] == 39  # step 0 is never evaluated there


def test_a_network_that_predicts_noise_gives_the_motion_back_too() -> None:
    motion, views = some_motion(size=0.5), circle(7, 0.1, 7.0)
    clean = ((views.perspective(motion) - MEAN) / STD).reshape(-1, 4, 2, 5)
    tables = make_tables("cosine", 20)
    scene = Scene(lambda x, t: noise_from_clean(tables, x, t, clean), tables, views, MEAN, STD, SHAPE)
    found = generate3d(scene, Settings(mean_type="epsilon"), SeededDraws(0, range(2), 5, 4, 7))
    np.testing.assert_allclose(found, motion, atol=1e-4)


def test_every_camera_of_its_own() -> None:
    motion = some_motion()
    seen = perspective_each(motion, np.array([0.3, -2.0]), np.array([0.1, 0.2]), 7.0, 0.75)
    for i, (h, v) in enumerate([(0.3, 0.1), (-2.0, 0.2)]):
        np.testing.assert_array_equal(seen[i], Views(np.array([h]), np.array([v]), 7.0, 0.75).perspective(motion[i : i + 1])[0, 0])


@pytest.mark.parametrize("name", ["linear", "cosine", "cosine_tau_2", "cosine_tau_1.5"])
def test_schedules_end_in_noise_and_their_steps_go_back(name: str) -> None:
    tables = make_tables(name, 50)
    assert (np.diff(tables.alphas_cumprod) < 0).all() and tables.alphas_cumprod[-1] < 2e-4 and tables.alphas_cumprod[0] > 0.9
    rng = np.random.default_rng(0)
    clean, noise, t = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), np.array([0, 20, 40])
    x = q_sample(tables, clean, t, noise)
    np.testing.assert_allclose(clean_from_noise(tables, x, t, noise), clean, atol=1e-9)
    np.testing.assert_allclose(noise_from_clean(tables, x, t, clean), noise, atol=1e-9)


def test_all_samplers_end_at_what_the_network_always_says() -> None:
    tables = make_tables("cosine_tau_2", 12)
    clean = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 6))
    x = np.random.default_rng(1).normal(size=(2, 6))

    def predict(noisy: np.ndarray, t: int):  # type: ignore[no-untyped-def]
        return p_moments(tables, clean, noisy, t)

    noises = np.random.default_rng(2).normal(size=(12, 2, 6))
    np.testing.assert_allclose(ancestral_loop(tables, predict, x, list(noises)), clean, atol=1e-12)
    np.testing.assert_allclose(ddim_loop(tables, predict, x), clean, atol=1e-12)
    for order in (1, 2, 3, 4):
        np.testing.assert_allclose(plms_loop(tables, predict, x, order), clean, atol=1e-12)
    there = ddim_reverse_step(tables, clean, x, 3)  # towards noise, the implied noise stays
    np.testing.assert_allclose(noise_from_clean(tables, there, 4, clean), noise_from_clean(tables, x, 3, clean), atol=1e-9)


@pytest.mark.parametrize(("name", "steps"), [("linear", 19), ("cosine", 0), ("quadratic", 10), ("cosine_tau_-1", 10), ("cosine_tau_x", 10)])
def test_schedules_that_there_are_not(name: str, steps: int) -> None:
    with pytest.raises(ValueError, match="wanted"):
        make_betas(name, steps)


def test_descent_stops_when_the_loss_falls_no_more() -> None:
    motion, views = some_motion(), circle(5, 0.1, 7.0)
    adam = AdamTriangulation(SHAPE, steps=1000)
    adam(views, views.perspective(motion))
    first = len(adam.losses)
    adam(views, views.perspective(adam.motion))
    assert len(adam.losses) < first  # warm start: what is seen is there already
    assert set(METHODS) >= {"mas", "random_angles"}
