"""The pose prior at run time, on a prior whose answers are known; and the bundled one."""

import numpy as np
import pytest

from pose_rt import zoo
from pose_rt.backends import open_backend
from pose_rt.errors import InputError, ModelError, UsageError
from pose_rt.stages.prior import Prior
from tests.io.packets import BODY_M
from tests.stages.prior_network import GaussianPrior

LEG = (4, 5, 6)


def prior(**options: int) -> Prior:
    return Prior(GaussianPrior(), **options)  # type: ignore[arg-type]


def known_but(*joints: int, count: int = 1) -> np.ndarray:
    known = np.ones((count, 17), bool)
    known[:, list(joints)] = False
    return known


def test_known_joints_come_back_and_hidden_ones_go_where_they_belong() -> None:
    poses = BODY_M[None].copy()
    poses[0, LEG] = np.nan
    out, mean = prior(hypotheses=64).complete(poses, known_but(*LEG), [0])
    assert out.shape == (1, 64, 17, 3) and out.dtype == np.float32
    seen = known_but(*LEG)[0]
    np.testing.assert_array_equal(out[0][:, seen], np.broadcast_to(BODY_M[seen], (64, 14, 3)))
    assert np.linalg.norm(out[0].mean(0)[list(LEG)] - BODY_M[list(LEG)], axis=-1).max() < 0.06
    np.testing.assert_array_equal(mean[0, seen], BODY_M[seen])
    np.testing.assert_allclose(mean[0], out[0].mean(0), atol=0.02)
    assert 0.01 < out[0][:, LEG].std(0).mean() < 0.06, "the samples are spread as the guess is uncertain"


def test_a_track_keeps_its_noise_and_people_do_not_touch_each_other() -> None:
    known = known_but(*LEG, count=2)
    poses = np.repeat(BODY_M[None], 2, 0)
    one = prior(hypotheses=3)
    both, mean = one.complete(poses, known, [4, 9])
    np.testing.assert_allclose(both[1:], one.complete(poses[1:], known[1:], [9]).samples_m, atol=1e-5)
    assert np.abs(both[0] - both[1]).max() > 0.01
    np.testing.assert_allclose(mean[0], mean[1], atol=1e-6)
    assert np.abs(prior(hypotheses=3, seed=1).complete(poses, known, [4, 9]).samples_m - both).max() > 0.01
    assert one.complete(poses[:0], known[:0], []).samples_m.shape == (0, 3, 17, 3)


def test_results_turn_with_the_camera_and_shrink_with_nothing() -> None:
    """A person at another place in the picture is seen from elsewhere: the completed pose is the one of the turned problem."""
    known = known_but(13)
    ahead = prior(hypotheses=2).complete(BODY_M[None], known, [0], np.array([[0.0, 0.0, 4.0]], np.float32)).mean_m
    far = prior(hypotheses=2).complete(BODY_M[None], known, [0], np.array([[0.0, 0.0, 400.0]], np.float32)).mean_m
    nowhere = prior(hypotheses=2).complete(BODY_M[None], known, [0]).mean_m
    np.testing.assert_allclose(far, nowhere, atol=2e-3)
    assert np.abs(ahead - nowhere).max() > 1e-4


def test_what_is_likely_of_a_lost_joint_is_used_as_far_as_it_is_certain() -> None:
    vague = BODY_M[None].copy()
    vague[0, 13] += [0.0, -0.5, 0.0]
    known = known_but(13)

    def wrist(noise_m: float) -> float:
        spread = np.full((1, 17), np.inf)
        spread[0, 13] = noise_m
        out = prior(hypotheses=32).complete(BODY_M[None], known, [0], vague_m=vague, vague_noise_m=spread).mean_m
        return float(out[0, 13, 1] - BODY_M[13, 1])

    free = prior(hypotheses=32).complete(BODY_M[None], known, [0]).mean_m[0, 13, 1] - BODY_M[13, 1]
    assert wrist(0.005) < -0.3 < wrist(0.2) < 0.05
    assert wrist(np.inf) == pytest.approx(free, abs=1e-6)


def test_a_previous_sample_is_where_sampling_starts() -> None:
    known = known_but(13)
    one = prior(hypotheses=4, steps=1)
    cold = one.complete(BODY_M[None], known, [0]).samples_m
    before = np.repeat(BODY_M[None, None], 4, 1) + np.float32(0.3) * np.eye(17, dtype=np.float32)[13][:, None]
    warm = one.complete(BODY_M[None], known, [0], previous_m=before).samples_m
    none = one.complete(BODY_M[None], known, [0], previous_m=np.full_like(before, np.nan)).samples_m
    np.testing.assert_array_equal(none, cold)
    assert np.linalg.norm(warm - before, axis=-1)[0, :, 13].mean() < np.linalg.norm(cold - before, axis=-1)[0, :, 13].mean()


def test_generated_poses_are_people_and_denoised_ones_nearer_to_the_truth() -> None:
    made = prior(steps=20).generate(600)
    assert made.shape == (600, 17, 3) and not made[:, 0].any()
    assert np.median(made[:, 10, 1]) < -0.6 and np.median(made[:, [3, 6], 1]) > 0.7
    rng = np.random.default_rng(0)
    noisy = np.repeat(BODY_M[None], 50, 0) + rng.normal(0, 0.2, (50, 17, 3)).astype(np.float32)
    noisy -= noisy[:, :1]
    clean = prior(steps=1).denoise(noisy, 0.2)
    before, after = (np.linalg.norm((p - BODY_M)[:, [3, 6, 10]][..., 1], axis=-1).mean() for p in (noisy, clean))
    assert after < before
    np.testing.assert_array_equal(prior().denoise(noisy, 0.0), noisy)


def test_sigma_follows_the_calibration_of_the_file() -> None:
    spread = np.full((2, 17), 0.1, np.float32)
    np.testing.assert_array_equal(prior().sigma(spread), spread)
    fitted = Prior(GaussianPrior(sigma={"a_m": [0.03] * 17, "b": [2.0] * 17}))  # type: ignore[arg-type]
    np.testing.assert_allclose(fitted.sigma(spread), np.hypot(0.03, 0.2), rtol=1e-6)


def test_one_sentence_for_each_mistake() -> None:
    with pytest.raises(UsageError, match="hypotheses is 0, wanted at least 1"):
        prior(hypotheses=0)
    with pytest.raises(UsageError, match="steps is 0, wanted at least 1"):
        prior(steps=0)
    with pytest.raises(ModelError, match="is not a pose prior"):
        Prior(GaussianPrior(kind="d3dp"))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="skeleton coco17, wanted h36m17"):
        Prior(GaussianPrior(skeleton="coco17"))  # type: ignore[arg-type]
    bad = BODY_M[None].copy()
    bad[0, 3] = np.nan
    with pytest.raises(InputError, match="known is not finite"):
        prior().complete(bad, known_but(4), [0])
    with pytest.raises(InputError, match="fill them first: pose-rt complete"):
        prior().denoise(bad, 0.1)
    for noise in (-0.1, np.nan):
        with pytest.raises(UsageError, match="wanted 0 or more"):
            prior().denoise(BODY_M[None], noise)
    with pytest.raises(UsageError, match="got 0 poses"):
        prior().generate(0)


def test_the_bundled_prior_completes_and_generates_people() -> None:
    bundled = Prior(open_backend(zoo.find("prior_s"), backend="onnxruntime"), hypotheses=8)
    try:
        for joints in (LEG, (13,), (1, 2, 3, 4, 5, 6)):
            out, mean = bundled.complete(BODY_M[None], known_but(*joints), [0], np.array([[0.0, 0.0, 4.0]], np.float32))
            error = np.linalg.norm(mean[0] - BODY_M, axis=-1)[list(joints)]
            assert error.mean() < 0.3
            assert 0.005 < out[0][:, list(joints)].std(0).mean() < 0.3
        made = bundled.generate(64)
        lengths = np.linalg.norm(made[:, [3, 6]] - made[:, [2, 5]], axis=-1)  # shins
        assert 0.3 < np.median(lengths) < 0.55
    finally:
        bundled.close()
