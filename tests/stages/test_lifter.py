"""The lifter around its network: axes, units, noise, mirror; and the bundled network on a pose that is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pose_rt import zoo
from pose_rt.backends import open_backend
from pose_rt.core.camera import Camera, project
from pose_rt.core.skeleton import BLAZEPOSE_TO_H36M, H36M17
from pose_rt.core.viewpoint import normalise_window
from pose_rt.diffusion.schedule import cosine_schedule
from pose_rt.errors import ModelError
from pose_rt.metrics.pose3d import pa_mpjpe
from pose_rt.stages.lifter import Lifter

CAMERA = Camera.from_focal(1280, 720, 900.0)
META: dict[str, Any] = {
    "kind": "d3dp", "frames": 5, "rate_hz": 25, "timesteps": 1000, "scale": 1.0, "unit_m": 2.0, "input": "view",
    "skeleton_in": "h36m17", "skeleton_out": "h36m17",
}  # fmt: skip


class Network:
    """Stands in for the network only: gives x and y of its 2D input and a tenth of the noise as depth."""

    name = "network"

    def __init__(self, **meta: Any) -> None:
        self.metadata = META | meta
        self.inputs = (SimpleNamespace(name="step", dtype=np.dtype(np.float32)),)
        self.steps: list[float] = []

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.steps.append(float(feeds["step"][0]))
        assert len(feeds["xy"]) == len(feeds["noisy"]) == len(feeds["step"])
        return {"clean": np.concatenate([feeds["xy"] / 10, feeds["noisy"][..., 2:] / 10], -1)}

    def close(self) -> None:
        pass


def keypoints(windows: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 80, (windows, 5, 17, 2)) + rng.uniform(200, 900, (windows, 1, 1, 2))).astype(np.float32)


def test_output_is_metres_in_camera_axes_relative_to_the_root() -> None:
    """What the network says in the centred view must come back turned by the transposed rotation of that view."""
    xy = keypoints()
    out = Lifter(Network(), hypotheses=3, steps=1)(xy, CAMERA, [0, 1])
    assert out.shape == (2, 3, 5, 17, 3) and out.dtype == np.float32
    np.testing.assert_array_equal(out[..., 0, :], 0)
    view = normalise_window(xy, CAMERA.focal_px, CAMERA.center)
    centred = np.einsum("wij,whfkj->whfki", view.rotation, out)
    expected = view.xy / 10 * 2.0
    np.testing.assert_allclose(
        centred[..., :2], np.broadcast_to((expected - expected[..., :1, :])[:, None], centred[..., :2].shape), atol=2e-6
    )


def test_a_track_keeps_its_noise_whoever_is_beside_it() -> None:
    xy = keypoints(3)
    lifter = Lifter(Network(), hypotheses=4, seed=5)
    together, alone = lifter(xy, CAMERA, [7, 8, 9]), lifter(xy[1:2], CAMERA, [8])
    np.testing.assert_array_equal(together[1:2], alone)
    assert not np.allclose(lifter(xy[1:2], CAMERA, [9]), alone)
    assert not np.allclose(Lifter(Network(), hypotheses=4, seed=6)(xy[1:2], CAMERA, [8]), alone)
    assert np.ptp(alone, axis=1).max() > 0, "hypotheses are draws, not copies"


def test_steps_are_the_ddim_steps() -> None:
    network = Network()
    Lifter(network, hypotheses=1, steps=3)(keypoints(1), CAMERA, [0])
    assert network.steps == [999.0, 665.0, 332.0]


def test_the_mirrored_average_of_a_mirror_symmetric_network_changes_nothing() -> None:
    xy = keypoints()
    network = Network()
    network.run = lambda feeds: {"clean": np.concatenate([feeds["xy"] / 10, feeds["xy"][..., 1:] / 7], -1)}  # type: ignore[method-assign]
    plain, flipped = (Lifter(network, hypotheses=1, steps=1, flip=flip)(xy, CAMERA, [0, 1]) for flip in (False, True))
    np.testing.assert_allclose(flipped, plain, atol=1e-6)


def test_lost_joints_are_filled_and_a_lost_window_stays_finite() -> None:
    xy = keypoints()
    xy[0, 2, 5] = np.nan
    xy[1] = np.nan
    assert np.isfinite(Lifter(Network(), hypotheses=1)(xy, CAMERA, [0, 1])).all()


def test_sigma_is_the_calibrated_spread() -> None:
    spread = np.full((1, 17), 0.02, np.float32)
    lifter = Lifter(Network(sigma={"a_m": [0.03] * 17, "b": [2.0] * 17}))
    np.testing.assert_allclose(lifter.sigma(spread), 0.05, rtol=1e-6)
    np.testing.assert_allclose(Lifter(Network()).sigma(spread), 0.02, rtol=1e-6)


def test_sigma_belongs_to_the_number_of_steps_and_of_hypotheses() -> None:
    fits = {"1": {"a_m": [0.0] * 17, "b": [9.0] * 17}, "2": {"a_m": [0.0] * 17, "b": [2.0] * 17}}
    sigma = {**fits["2"], "hypotheses": 5, "by_steps": fits, "alone_m": [0.07] * 17}
    spread = np.full((1, 17), 0.01, np.float32)
    for hypotheses, steps, expected in ((5, 1, 0.09), (5, 2, 0.02), (5, 4, 0.02), (2, 2, 0.02 * np.sqrt(0.8 / 0.5)), (1, 2, 0.07)):
        lifter = Lifter(Network(sigma=sigma), hypotheses=hypotheses, steps=steps)
        np.testing.assert_allclose(lifter.sigma(spread), expected, rtol=1e-6)


@pytest.mark.parametrize(("meta", "says"), [({"kind": "dhmp"}, "not a lifter"), ({"skeleton_in": "mpi17"}, "mpi17")])
def test_a_model_of_another_kind_is_refused(meta: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        Lifter(Network(**meta))


def test_a_warm_start_is_the_last_estimate_noised_up_in_the_view_of_the_window() -> None:
    """A network that answers with its input shows what it was given: ``sqrt(abar) x0 + sqrt(1 - abar) n``, noise too small to be cut."""
    network, xy = Network(), keypoints()
    network.run = lambda feeds: {"clean": feeds["noisy"]}  # type: ignore[method-assign]
    lifter = Lifter(network, hypotheses=2, steps=1, warm_noise=0.05)
    rng = np.random.default_rng(3)
    earlier = rng.normal(0, 0.3, (2, 2, 5, 17, 3)).astype(np.float32)
    earlier[..., 0, :] = 0
    signal = lifter(xy, CAMERA, [0, 1], earlier) - lifter(xy, CAMERA, [0, 1], np.zeros_like(earlier))
    alpha = cosine_schedule(1000).alphas_cumprod[49]
    np.testing.assert_allclose(signal, np.sqrt(alpha) * earlier, atol=2e-6)  # float32, turned there and back


def test_a_warm_start_takes_its_steps_from_the_level_of_its_noise() -> None:
    network = Network()
    lifter = Lifter(network, hypotheses=1, steps=2, warm_noise=0.5)
    cold = lifter(keypoints(1), CAMERA, [0])
    lifter(keypoints(1), CAMERA, [0], cold)
    assert network.steps == [999.0, 499.0, 499.0, 249.0]


STANDING = np.array(
    [
        (0, 0, 0), (-0.12, 0, 0), (-0.13, 0.25, -0.36), (-0.13, 0.66, -0.30), (0.12, 0, 0), (0.13, 0.44, 0), (0.14, 0.86, 0.05),
        (0, -0.25, 0), (0, -0.5, 0), (0, -0.6, -0.1), (0, -0.72, 0), (0.18, -0.48, 0), (0.45, -0.48, -0.05), (0.70, -0.5, -0.1),
        (-0.18, -0.48, 0), (-0.24, -0.2, 0.02), (-0.24, 0.05, -0.1),
    ],
    np.float32,
)  # fmt: skip
"""Left arm stretched out, right knee raised; metres, camera axes, seen from the front."""


@pytest.mark.parametrize("yaw_deg", [0, 90, 180, 250])
def test_the_bundled_network_lifts_a_standing_person(yaw_deg: float) -> None:
    """A person with the left arm stretched out and the right knee raised, 4 m away, off the middle of the picture."""
    yaw = np.deg2rad(yaw_deg)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]], np.float32)
    truth = STANDING @ turn.T
    camera = Camera.from_fov(1280, 720, 65)
    xy = project(truth + np.array([1.0, 0.1, 4.0], np.float32), camera.intrinsics)
    lifter = Lifter(open_backend(zoo.find("lifter_s")), hypotheses=5)
    out = lifter(np.repeat(xy[None, None].astype(np.float32), lifter.frames, 1), camera, [0])[0].mean(0)[lifter.frames // 2]
    lifter.close()
    assert BLAZEPOSE_TO_H36M.shape == (H36M17.num_joints, 33)
    assert float(np.mean(pa_mpjpe(out, truth))) < 0.09  # held still in an unusual pose; random guessing is above 0.25


def test_the_hypotheses_share_the_first_answer_and_part_after_it() -> None:
    """The network is asked once for pure noise, then for each hypothesis; what it is asked first changes next to nothing."""
    asked: list[tuple[int, int]] = []
    backend = open_backend(zoo.find("lifter_s"), backend="onnxruntime")

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(backend, name)

        def run(self, feeds: Any) -> Any:
            asked.append((len(feeds["xy"]), int(feeds["step"][0])))
            return backend.run(feeds)

    counting: Any = Counting()
    lifter, apart = Lifter(counting, hypotheses=4, steps=2), Lifter(backend, hypotheses=4, steps=2, share_first=False)
    pose = project(STANDING + np.array([0.0, 0.0, 4.0], np.float32), CAMERA.intrinsics).astype(np.float32)
    xy = np.stack([pose, pose * np.float32(1.1)])[:, None] + np.linspace(0, 30, lifter.frames, dtype=np.float32)[None, :, None, None]
    shared, separate = lifter(xy, CAMERA, [0, 1]), apart(xy, CAMERA, [0, 1])
    assert asked == [(2, 999), (8, 499)]
    assert np.abs(shared - separate).mean() < 0.1 * separate.std(1).mean(), "the answers to different noise lie far closer than hypotheses"
    assert shared.std(1).mean() == pytest.approx(separate.std(1).mean(), rel=0.05)
