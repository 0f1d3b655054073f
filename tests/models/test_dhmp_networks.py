"""Laws of the DHMP networks: sizes, invariances, continuity, bone lengths."""

from dataclasses import replace

import numpy as np
import pytest

from pose_rt.core.skeleton import H36M17

torch = pytest.importorskip("torch")

from pose_rt.models.dhmp import (  # noqa: E402
    CVAE,
    PUBLISHED,
    Basis,
    DHMPConfig,
    DiverseSampling,
    FinishStep,
    Forecaster,
    MotionDCT,
    body_axes,
    build_cvae,
    build_sampler,
    gumbel_coefficients,
)

PARENTS = H36M17.parents or ()
SMALL = DHMPConfig(history=10, future=20, dct_n=6, hidden=8, z=4, sampler_hidden=8, base_dim=5, bases=6)


def person(seed: int, people: int = 2, frames: int = 10) -> "torch.Tensor":
    """Body-like poses that drift a little, (N, T, 17, 3), root at zero."""
    rng = np.random.default_rng(seed)
    mean = np.zeros((17, 3))
    mean[[1, 2, 3, 14, 15, 16], 0], mean[[4, 5, 6, 11, 12, 13], 0] = -0.15, 0.15
    mean[:, 1] = [0, 0, 0.45, 0.9, 0, 0.45, 0.9, -0.25, -0.5, -0.6, -0.75, -0.5, -0.25, 0, -0.5, -0.25, 0]
    pose = mean + rng.normal(0, 0.03, (people, 1, 17, 3))
    drift = rng.normal(0, 0.005, (people, frames, 17, 3)).cumsum(1)
    joints = pose + drift
    joints[:, :, 0] = 0
    return torch.tensor(joints, dtype=torch.float32)


def forecaster(seed: int = 0, config: DHMPConfig = SMALL) -> "Forecaster":
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    basis = Basis.blank(config.nodes, config.history, config.frames, config.dct_n)
    noisy = basis.extension + 0.01 * torch.randn(basis.extension.shape, generator=generator)
    noisy[:, -1] += 1 - noisy.sum(1)
    scale = torch.linspace(1, 0.1, config.dct_n)
    return Forecaster(config, PARENTS, build_cvae(config), build_sampler(config), Basis(noisy, scale)).eval()


def draws(people: int, k: int, config: DHMPConfig = SMALL) -> tuple["torch.Tensor", "torch.Tensor"]:
    generator = torch.Generator().manual_seed(5)
    uniform = torch.rand(people, k, config.bases, generator=generator)
    return gumbel_coefficients(uniform, config.temperature), torch.randn(people, k, config.z, generator=generator)


def rotation(seed: int) -> "torch.Tensor":
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return torch.tensor(q * np.sign(np.linalg.det(q)), dtype=torch.float32)


@pytest.mark.parametrize(("name", "cvae", "sampler"), [("h36m", 1_777_054, 21_325_312), ("humaneva", 1_691_946, 18_698_452)])
def test_published_sizes(name: str, cvae: int, sampler: int) -> None:
    config = PUBLISHED[name]
    networks = build_cvae(config), build_sampler(config)
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [cvae, sampler]
    assert [len(network.state_dict()) for network in networks] == [151, 65]


def test_config_survives_a_dict_and_refuses_unknown_names() -> None:
    assert DHMPConfig.from_dict(SMALL.to_dict()) == SMALL
    with pytest.raises(ValueError, match="colour"):
        DHMPConfig.from_dict({"colour": 1})


def test_gumbel_coefficients_are_weights_with_softmax_frequencies() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0])
    uniform = torch.rand(40_000, 3, generator=torch.Generator().manual_seed(0))
    weights = gumbel_coefficients(uniform, 0.85, logits)
    assert torch.allclose(weights.sum(-1), torch.ones(len(weights)), atol=1e-6)
    frequency = torch.bincount(weights.argmax(-1), minlength=3) / len(weights)
    # The largest of logits + Gumbel noise is a draw from softmax(logits); 4 sigma of 40,000 draws is 0.01.
    assert (frequency - torch.softmax(logits, 0)).abs().max() < 0.01


def test_gumbel_coefficients_are_finite_at_the_ends() -> None:
    ends = torch.tensor([[0.0, 1 - 2**-24, 0.5]])
    assert torch.isfinite(gumbel_coefficients(ends, 0.3)).all()


def test_futures_have_the_measured_bone_lengths_and_a_zero_root() -> None:
    history = person(0)
    futures = forecaster()(history, *draws(2, 7))
    assert futures.shape == (2, 7, 20, 17, 3)
    assert futures[..., 0, :].abs().max() == 0

    def lengths(x: "torch.Tensor") -> "torch.Tensor":
        return (x[..., 1:, :] - x[..., list(PARENTS[1:]), :]).norm(dim=-1)

    wanted = lengths(history).mean(1)[:, None, None]
    assert (lengths(futures) - wanted).abs().max() < 1e-5  # float32 sums of positions of about a metre


def test_turning_the_camera_turns_the_futures() -> None:
    network, history, (weights, eps) = forecaster(), person(1), draws(2, 4)
    turn = rotation(3)
    turned = network(history @ turn.T, weights, eps)
    assert (turned - network(history, weights, eps) @ turn.T).abs().max() < 1e-4  # float32 through some twenty layers
    plain = forecaster(config=replace(SMALL, canonical=False))
    assert (plain(history @ turn.T, weights, eps) - plain(history, weights, eps) @ turn.T).abs().max() > 1e-2


def test_people_and_futures_do_not_mix() -> None:
    network, history, (weights, eps) = forecaster(), person(2, people=3), draws(3, 4)
    together = network(history, weights, eps)
    alone = network(history[1:2], weights[1:2, 2:3], eps[1:2, 2:3])
    assert (together[1:2, 2:3] - alone).abs().max() < 1e-5  # another batch size, another order of float32 sums


def test_body_axes_are_a_rotation_with_x_to_the_left_and_y_down() -> None:
    axes = body_axes(person(4)[:, :, 1:])
    assert torch.allclose(axes @ axes.transpose(1, 2), torch.eye(3).expand(2, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(axes), torch.ones(2), atol=1e-5)
    assert (axes[:, 0, 0] > 0.9).all() and (axes[:, 1, 1] > 0.9).all()


def test_finish_starts_from_the_extension_and_ends_with_the_decoder() -> None:
    history = person(5, people=1)[:, :, 1:]
    channels = history.permute(0, 2, 3, 1).reshape(1, 48, 10)
    extended = torch.cat([channels, channels[..., -1:].expand(1, 48, 200)], dim=-1)
    other = person(6, people=1)[:, :1, 1:].permute(0, 2, 3, 1).reshape(1, 1, 48, 1).expand(1, 1, 48, 210)
    finish = FinishStep(PARENTS, 200, 5.0, 1.0)
    future = finish(other, extended, history)[0, 0]
    still = finish(extended[:, None], extended, history)[0, 0]
    assert (future[0] - still[0]).norm(dim=-1).max() < 0.2 * (future[-1] - still[-1]).norm(dim=-1).max()
    direction = other[0, 0, :, -1].reshape(16, 3)
    assert torch.allclose(torch.nn.functional.cosine_similarity(future[-1, 0], direction[0], dim=0), torch.tensor(1.0), atol=1e-5)


def test_blank_basis_is_the_published_transform() -> None:
    x = torch.randn(2, 48, 10, generator=torch.Generator().manual_seed(0))
    blank, published = MotionDCT(30, 6, Basis.blank(16, 10, 30, 6)), MotionDCT(30, 6)
    assert (blank.condition(x) - published.condition(x)).abs().max() < 1e-5


def test_scaled_coefficients_decode_to_the_same_motion() -> None:
    x = torch.randn(2, 48, 30, generator=torch.Generator().manual_seed(1))
    basis = Basis(Basis.blank(16, 10, 30, 6).extension, torch.linspace(2, 0.1, 6))
    scaled, plain = MotionDCT(30, 6, basis), MotionDCT(30, 6)
    assert (scaled.decode(scaled.encode(x)) - plain.decode(plain.encode(x))).abs().max() < 1e-5


def test_without_a_code_the_decoder_adds_to_the_condition() -> None:
    cvae = CVAE(16, 6, 8, 4).eval()
    for parameter in cvae.dec[-1].parameters():
        torch.nn.init.zeros_(parameter)
    condition = torch.randn(3, 16, 18)
    assert torch.equal(cvae.inference(condition, torch.randn(3, 4)), condition)


def test_sampler_points_lie_in_the_hull_of_the_bases() -> None:
    sampler = DiverseSampling(16, 6, 8, 5, 6, 4).eval()
    condition = torch.randn(2, 16, 18, generator=torch.Generator().manual_seed(0))
    corners = sampler.points(condition, torch.eye(6).expand(2, 6, 6)).view(2, 6, 5)
    inside = sampler.points(condition, torch.full((2, 1, 6), 1 / 6)).view(2, 5)
    assert torch.allclose(inside, corners.mean(1), atol=1e-6)
    assert corners.abs().max() <= 1  # tanh


def test_many_codes_at_once_decode_as_one_by_one() -> None:
    cvae = CVAE(16, 6, 8, 4).eval()
    generator = torch.Generator().manual_seed(0)
    condition, z = torch.randn(2, 16, 18, generator=generator), torch.randn(2, 5, 4, generator=generator)
    for parameter in cvae.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3, generator=generator)
    wanted = cvae.inference(condition.repeat_interleave(5, 0), z.flatten(0, 1))
    torch.testing.assert_close(cvae.inference_many(condition, z), wanted, atol=1e-4, rtol=1e-4)  # another order of float32 sums


def test_the_quick_path_is_the_finish_step() -> None:
    network, history = forecaster(), person(7)
    nodes = history[:, :, 1:]
    axes = body_axes(nodes)
    turned = nodes @ axes.transpose(1, 2).unsqueeze(1)
    channels = turned.permute(0, 2, 3, 1).reshape(2, 48, 10)
    z = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1))
    decoded = network.cvae.inference(network.dct.condition(channels).repeat_interleave(3, 0), z.flatten(0, 1))
    assert network.finish is not None
    wanted = network.finish(network.dct.decode(decoded).unflatten(0, (2, 3)), network.dct.near(channels), turned) @ axes[:, None, None]
    assert (network.decode(history, z)[..., 1:, :] - wanted).abs().max() < 1e-4  # float32 through some twenty layers


def test_quiet_histories_use_the_quiet_extension_and_noisy_ones_the_other() -> None:
    blank = Basis.blank(16, 10, 30, 6)
    dct = MotionDCT(30, 6, Basis(blank.extension, blank.scale, 2 * blank.extension))
    still = torch.ones(1, 48, 10)
    noise = 0.1 * torch.randn(1, 48, 10, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(dct.near(still), 2 * dct.extend(still), atol=2e-3)  # the share of the other is e^-7
    assert torch.allclose(dct.near(still + noise), dct.extend(still + noise), atol=1e-5)
