"""The sampling-argmax head: gradients, agreement with the run-time op, temperature rules, decode, losses, refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from pose_rt import ops  # noqa: E402
from pose_rt.models.sampling_argmax import (  # noqa: E402
    BASES,
    PUBLISHED,
    HeadConfig,
    Noise,
    SamplingArgmax,
    SignGradientProduct,
    addressed_noise,
    argmax_decode,
    decode,
    heatmap_mse,
    joint_accuracy,
    l1_joint_regression,
    l1_loss_dim,
    merge_flipped,
    random_noise,
    sample_coordinates,
    to_image,
)

GRIDS = [(6, 5), (3, 4, 5)]


def _logits(config: HeadConfig, batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(batch, config.joints, *config.grid, generator=generator, dtype=torch.float64).to(dtype)


def _noise(config: HeadConfig, batch: int = 2, seed: int = 1) -> Noise:
    return random_noise(config, batch, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("norm", ["sampling", "softmax"])
def test_gradient_is_that_of_finite_differences(grid: tuple[int, ...], basis: str, norm: str) -> None:
    config = HeadConfig(1, grid, basis=basis, samples=2, norm=norm)
    logits = _logits(config, 1, dtype=torch.float64).requires_grad_()
    noise = _noise(config, 1)
    assert torch.autograd.gradcheck(lambda x: sample_coordinates(x, noise, basis=basis).pred_jts, (logits,), eps=1e-6, atol=1e-6)


def test_decode_gradient_is_that_of_finite_differences() -> None:
    logits = _logits(HeadConfig(2, (4, 3)), 1, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: decode(x).pred_jts, (logits,), eps=1e-6, atol=1e-6)


def test_sign_gradient_sees_only_the_side_of_the_sample() -> None:
    weight = torch.tensor([[0.25, 0.5, 0.25]], requires_grad=True)
    location = torch.tensor([[0.0, 1.0, 6.0]], requires_grad=True)  # sample 2
    product = SignGradientProduct.apply(weight, location)
    torch.testing.assert_close(product, torch.tensor([[0.0, 0.5, 1.5]]), rtol=0, atol=0)  # exact in binary
    product.backward(torch.tensor([[1.0, 2.0, 3.0]]))
    assert weight.grad is not None and weight.grad.tolist() == [[-2.0, -4.0, 6.0]]
    assert location.grad is not None and location.grad.tolist() == [[0.25, 1.0, 0.75]]


def test_sign_gradient_changes_the_gradient_and_not_the_draw() -> None:
    config = HeadConfig(3, (6, 5), samples=4)
    noise = _noise(config)
    gradients, draws = [], []
    for sign in (False, True):
        logits = _logits(config).requires_grad_()
        drawn = sample_coordinates(logits, noise, sign_gradient=sign).pred_jts
        drawn.abs().sum().backward()
        draws.append(drawn.detach())
        gradients.append(logits.grad)
    assert torch.equal(*draws)
    assert not torch.allclose(*gradients, rtol=0.1)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("norm", ["sampling", "softmax"])
def test_addressed_noise_gives_the_samples_of_the_op(basis: str, norm: str) -> None:
    config = HeadConfig(4, (16, 12), basis=basis, samples=7 if norm == "sampling" else 1, norm=norm)
    logits, frames, tracks, tau = _logits(config, 3), [5, 0, 2**32 - 1], [0, 8, 1], 1.4
    drawn = sample_coordinates(logits, addressed_noise(config, seed=2**63 + 11, frames=frames, tracks=tracks), basis=basis, temperature=tau)
    for b, (frame, track) in enumerate(zip(frames, tracks, strict=True)):
        points = ops.sample_coordinates(
            logits[b].numpy(), config.samples, basis=basis, noise_scale=1 / tau if norm == "sampling" else 0.0,
            seed=2**63 + 11, frame=frame, track=track,
        )[0]  # fmt: skip
        got = (drawn.pred_jts[b].numpy() + 0.5) * np.array([12, 16], np.float32)
        # In cells: float32 softmax and sums over 192 cells, on both sides.
        np.testing.assert_allclose(got.reshape(points.shape), points, rtol=0, atol=2e-5)


def test_an_address_decides_alone() -> None:
    config = HeadConfig(2, (4, 3), samples=2)
    both, one = addressed_noise(config, seed=3, frames=[7, 9]), addressed_noise(config, seed=3, frames=[9])
    assert both.gumbel is not None and one.gumbel is not None
    assert torch.equal(both.gumbel[1], one.gumbel[0]) and torch.equal(both.kernel[0][1], one.kernel[0][0])
    assert not torch.equal(both.gumbel[0], both.gumbel[1])


@pytest.mark.parametrize("basis", BASES)
def test_draws_from_one_certain_cell_follow_the_kernel(basis: str) -> None:
    """On a map of one certain cell nothing but the kernel is left: its law shows in the draws."""
    config = HeadConfig(1, (1, 9, 9), basis=basis, samples=4000)
    logits = torch.full((1, 1, 1, 9, 9), -200.0)
    logits[..., 4, 4] = 200.0
    x = (sample_coordinates(logits, addressed_noise(config, seed=1, frames=[0]), basis=basis).pred_jts[0, 0, :, 0] + 0.5) * 9
    if basis == "triangular":  # all the weight comes from locations within a cell of the certain one
        assert float((x - 4).abs().max()) < 1
    else:
        variance = {"uniform": 1 / 12, "gaussian": 1.0}[basis]
        # 4 standard errors of 4000 draws.
        assert abs(float(x.mean()) - 4) < 4 * (variance / 4000) ** 0.5
        assert abs(float(x.var()) / variance - 1) < 4 * (2 / 4000) ** 0.5


def _chi_square(counts: np.ndarray, p: np.ndarray) -> float:
    """Standard deviations by which sum (n - N p)^2 / (N p) lies above its mean, the degrees of freedom."""
    expected = counts.sum() * p
    freedom = len(p) - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("basis", ["uniform", "gaussian"])
def test_hard_draws_follow_the_mixture_density(basis: str, axis: int) -> None:
    """softmax(h / tau + g / tau) chooses, for tau -> 0, a cell with probability softmax(h); the kernel then spreads it: a mixture.

    The uniform and the (3D) gaussian draw are of the kernel itself. The triangular draw and the reweighed gaussian average over
    neighbouring cells' draws, as published, and have no such law; `test_draws_from_one_certain_cell_follow_the_kernel` bounds them.
    """
    tau, count = 1e-3, 20000
    config = HeadConfig(1, (1, 4, 6), basis=basis, samples=count)
    logits = _logits(config, 1, seed=5)
    noise = addressed_noise(config, seed=11, frames=[2])
    drawn = sample_coordinates(logits / tau, noise, basis=basis, temperature=tau).pred_jts[0, 0, :, axis].numpy()
    length = (6, 4)[axis]
    x = (drawn + 0.5) * length
    p = torch.softmax(logits.flatten(), 0).view(4, 6).sum(axis).double().numpy()
    edges = np.linspace(-0.5, length - 0.5, 4 * length + 1)
    if basis == "uniform":
        cumulative = [np.clip(edges - i + 0.5, 0, 1) for i in range(length)]
    else:
        edges = np.concatenate([[-8.0], np.linspace(-1, length, 2 * length + 3), [length + 8.0]])
        cumulative = [0.5 * (1 + np.array([math.erf((e - i) / math.sqrt(2)) for e in edges])) for i in range(length)]
    expected = np.diff((p[:, None] * np.array(cumulative)).sum(0))
    counts = np.histogram(x, edges)[0]
    assert counts.sum() == count
    assert abs(_chi_square(counts, expected)) < 4
    shifted = np.roll(expected, 1)  # the test would see a shift by a quarter of a cell
    assert _chi_square(counts, shifted / shifted.sum()) > 50


@pytest.mark.parametrize("basis", BASES)
def test_the_gradient_is_that_of_the_expected_error(basis: str) -> None:
    """E |x - y| over many draws: its finite differences, and the mean of the gradients over other draws."""
    config = HeadConfig(1, (2, 4), basis=basis, samples=60000)
    h = _logits(config, 1, seed=3, dtype=torch.float64)
    target = torch.tensor([0.13, -0.21], dtype=torch.float64)

    def errors(logits: Tensor, seed: int, sign: bool = False) -> Tensor:
        noise = random_noise(config, 1, generator=torch.Generator().manual_seed(seed))
        drawn = sample_coordinates(logits, noise, basis=basis, temperature=1.0, sign_gradient=sign).pred_jts
        return (drawn - target).abs().sum(-1).flatten()

    step, slope, deviation = 0.05, [], []
    for cell in range(8):
        bump = torch.zeros(8, dtype=torch.float64)
        bump[cell] = step
        change = (errors(h + bump.view(1, 1, 2, 4), 1) - errors(h - bump.view(1, 1, 2, 4), 1)) / (2 * step)
        slope.append(float(change.mean()))
        deviation.append(float(change.std()) / config.samples**0.5)
    gradients = {}
    for sign in (False, True):
        logits = h.clone().requires_grad_()
        errors(logits, 2, sign).mean().backward()
        assert logits.grad is not None
        gradients[sign] = logits.grad.flatten().numpy()
    # Two independent means, the second about as uncertain as the first; 1e-4 for the curvature within a step.
    np.testing.assert_array_less(np.abs(gradients[False] - slope), 5 * np.sqrt(2) * np.array(deviation) + 1e-4)
    assert np.abs(slope).max() > 20 * max(deviation)
    # The sign gradient is another estimator, without that promise; going down it still lessens the expected error.
    assert float(gradients[True] @ np.array(slope)) > 0


def test_only_the_2d_gaussian_reweighs() -> None:
    for grid in GRIDS:
        config = HeadConfig(2, grid, basis="gaussian", norm="softmax")
        logits, noise = _logits(config), _noise(config)
        weights = sample_coordinates(logits, noise, basis="gaussian").weights
        for weight, marginal in zip(weights, decode(logits).marginals, strict=True):
            assert torch.equal(weight, marginal) == (len(grid) == 3)
            torch.testing.assert_close(weight.sum(-1), torch.ones(2, 2), rtol=0, atol=1e-6)  # float32 sum of at most 6 weights


def test_a_uniform_of_zero_is_a_cell_without_weight() -> None:
    config = HeadConfig(1, (2, 3), samples=1, basis="uniform")
    noise = _noise(config, 1)
    assert noise.gumbel is not None
    noise.gumbel[..., 0] = noise.gumbel[..., 3] = -torch.inf
    logits = _logits(config, 1).requires_grad_()
    drawn = sample_coordinates(logits, noise, basis="uniform")
    drawn.pred_jts.sum().backward()
    assert drawn.weights[0][..., 0].item() == 0
    assert logits.grad is not None and logits.grad.isfinite().all() and (logits.grad[..., 0] == 0).all()


def test_shapes_of_published_heads() -> None:
    for name, config in PUBLISHED.items():
        small = replace(config, samples=2, grid=tuple(n // 8 for n in config.grid))
        head = SamplingArgmax(small)
        channels = small.joints * (small.grid[0] if len(small.grid) == 3 else 1)
        logits = torch.randn(2, channels, *small.grid[-2:])
        dims = len(small.grid)
        assert head(logits, epoch=0).pred_jts.shape == (2, small.joints, 2, dims), name
        decoded = head.eval()(logits)
        assert decoded.pred_jts.shape == (2, small.joints, dims) and decoded.maxvals.shape == (2, small.joints, 1)
        assert not head.state_dict()
        softmax = SamplingArgmax(replace(small, norm="softmax"))(logits, epoch=0)
        assert softmax.pred_jts.shape == (2, small.joints, dims)


def test_temperature_rules() -> None:
    flat, deep = (SamplingArgmax(HeadConfig(1, grid, samples=1, anneal=True)) for grid in GRIDS)
    used = []
    for epoch in (0, 10, 25, 40):
        flat(torch.zeros(1, 1, 6, 5), epoch=epoch)
        used.append(flat.temperature)
    np.testing.assert_allclose(used, [2.0, 1.4, 0.5, 0.5], rtol=1e-12)
    noise = _noise(deep.config, 1)
    logits = torch.randn(1, 3, 4, 5)
    first, second = (deep(logits, noise, epoch=50).pred_jts for _ in range(2))
    heatmaps = logits.reshape(1, 1, 3, 4, 5)
    assert torch.equal(first, sample_coordinates(heatmaps, noise, temperature=2.0).pred_jts)  # the rule comes after the first draw
    assert torch.equal(second, sample_coordinates(heatmaps, noise, temperature=4.0).pred_jts)
    still = SamplingArgmax(HeadConfig(1, (6, 5), samples=1))
    still(torch.zeros(1, 1, 6, 5), epoch=40)
    assert still.temperature == 2.0


def test_decode_of_a_certain_cell_and_its_place_in_the_image() -> None:
    logits = torch.full((1, 1, 2, 8, 6), -1e4)
    logits[0, 0, 1, 2, 3] = 1e4
    decoded = decode(logits)
    torch.testing.assert_close(decoded.pred_jts, torch.tensor([[[3 / 6 - 0.5, 2 / 8 - 0.5, 1 / 2 - 0.5]]]), rtol=0, atol=0)
    assert decoded.maxvals.item() == 1
    # A crop of 24 x 32 pixels from a box of 48 x 64: cell 3 is pixel 12 of the crop, 24 of the box.
    image = to_image(decoded.pred_jts, torch.tensor([[10.0, 20.0, 58.0, 84.0]]), (2, 8, 6))
    assert image.dtype == torch.float64 and image.tolist() == [[[10 + 24, 20 + 16, 0.0]]]


def test_argmax_decode_moves_a_quarter_cell_inside_and_not_at_the_border() -> None:
    maps = torch.zeros(1, 3, 8, 6)
    maps[0, 0, 4, 3], maps[0, 0, 4, 2], maps[0, 0, 5, 3] = 3.0, 1.0, 2.0
    maps[0, 1, 0, 5] = 1.0
    maps[0, 2] = -1.0
    points, maxima, cells = argmax_decode(maps, torch.tensor([[0.0, 0.0, 6.0, 8.0]]))
    assert points.tolist() == [[[2.75, 4.25], [5.0, 0.0], [0.0, 0.0]]]
    assert cells.tolist() == [[[3.0, 4.0], [5.0, 0.0], [0.0, 0.0]]]
    assert maxima.flatten().tolist() == [3.0, 1.0, -1.0]


def test_flip_test_returns_to_the_same_pose() -> None:
    pred, score = torch.rand(2, 3, 2) - 0.5, torch.rand(2, 3, 1)
    mirror, width = [0, 2, 1], 12
    for shift, offset in ((True, 4 * width), (False, width)):
        flipped = pred[:, mirror].clone()
        flipped[..., 0] = -flipped[..., 0] - 1 / offset
        merged, merged_score = merge_flipped(pred, score, flipped, score[:, mirror], mirror=mirror, width=width, shift=shift)
        torch.testing.assert_close(merged, pred, rtol=0, atol=1e-6)  # a few float32 roundings
        torch.testing.assert_close(merged_score, score, rtol=0, atol=1e-7)


def test_losses_by_hand() -> None:
    pred = torch.tensor([[[[0.5, 0.0], [0.0, 0.25]]], [[[1.0, 1.0], [1.0, 1.0]]]])  # B = 2, K = 1, S = 2
    target, weight = torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    assert l1_joint_regression(pred, target, weight).item() == 2.75 / 2 / 2
    assert l1_joint_regression(pred, target, weight, average=False).item() == 2.75 / 2
    assert l1_joint_regression(pred[:, :, 0], target, weight).item() == 1.5 / 2
    assert l1_loss_dim(pred, target, weight).item() == pytest.approx(64 * 2.75 / 3 / 2, rel=1e-6)
    assert l1_loss_dim(pred, target, torch.zeros(2, 2)).item() == 0
    assert heatmap_mse(torch.ones(1, 2, 2, 2), torch.zeros(1, 2, 2, 2), torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)).item() == 0.25


def test_accuracy_by_hand() -> None:
    # Heatmap 20 x 20: a tenth is 2 cells, so within 1 cell counts; the last target lies at cell 0.5 and is skipped.
    target = torch.tensor([[10.0, 10.0, 10.0, 10.0, 0.5, 10.0]]) / 20 - 0.5
    pred = torch.tensor([[[10.9, 10.0], [10.8, 10.8], [0.5, 10.0]]]) / 20 - 0.5
    assert joint_accuracy(pred, target, torch.ones(1, 6), (20, 20)) == 0.5
    assert joint_accuracy(pred, target, torch.zeros(1, 6), (20, 20)) == 0
    front = torch.tensor([[10.0, 10.0, 0.5]]) / 20 - 0.5  # z does not decide what is skipped
    assert joint_accuracy(front[:, None], front, torch.ones(1, 3), (20, 20, 20)) == 1


def test_wrong_arguments_are_refused() -> None:
    config = HeadConfig(2, (6, 5), samples=3)
    logits, noise = _logits(config), _noise(config)
    assert noise.gumbel is not None
    for bad in (
        {"joints": 0}, {"grid": (6,)}, {"grid": (0, 5)}, {"samples": 0}, {"basis": "uni"}, {"norm": "none"},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(bad))):
            replace(config, **bad)
    with pytest.raises(ValueError, match="logits"):
        sample_coordinates(logits[0], noise)
    with pytest.raises(ValueError, match="logits"):
        sample_coordinates(logits.int(), noise)
    with pytest.raises(ValueError, match="basis"):
        sample_coordinates(logits, noise, basis="box")
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature"):
            sample_coordinates(logits, noise, temperature=temperature)
    with pytest.raises(ValueError, match=r"noise\.gumbel"):
        sample_coordinates(logits, noise._replace(gumbel=noise.gumbel[..., 1:]))
    with pytest.raises(ValueError, match=r"noise\.gumbel"):
        sample_coordinates(logits, noise._replace(gumbel=noise.gumbel[:, :, 0]))
    with pytest.raises(ValueError, match=r"noise\.kernel"):
        sample_coordinates(logits, noise._replace(kernel=noise.kernel[::-1]))
    with pytest.raises(ValueError, match=r"noise\.kernel"):
        sample_coordinates(logits, noise._replace(gumbel=None))
    head = SamplingArgmax(replace(config, anneal=True))
    with pytest.raises(ValueError, match="epoch"):
        head(logits, noise)
    with pytest.raises(ValueError, match="logits"):
        head(logits[:, :1], noise, epoch=0)
    with pytest.raises(ValueError, match="norm"):
        SamplingArgmax(replace(config, norm="softmax"))(logits, noise)
    with pytest.raises(ValueError, match="tracks"):
        addressed_noise(config, seed=0, frames=[1, 2], tracks=[0])
    with pytest.raises(ValueError, match="seed"):
        addressed_noise(config, seed=-1, frames=[1])
    pred, score = torch.zeros(1, 3, 2), torch.zeros(1, 3, 1)
    for mirror in ([0, 1], [1, 2, 0], [0, 1, 3]):
        with pytest.raises(ValueError, match="mirror"):
            merge_flipped(pred, score, pred, score, mirror=mirror, width=5)
    for box in (torch.zeros(4), torch.zeros(2, 4), torch.zeros(1, 2)):
        with pytest.raises(ValueError, match="box"):
            to_image(pred, box, (6, 5))
    with pytest.raises(ValueError, match="heatmaps"):
        decode(logits[0])
    with pytest.raises(ValueError, match="heatmaps"):
        argmax_decode(logits[0], torch.zeros(2, 4))
    with pytest.raises(ValueError, match="flip test"):
        merge_flipped(pred, score, pred[:, :2], score, mirror=[0, 1, 2], width=5)
    for loss in (l1_joint_regression, l1_loss_dim):
        with pytest.raises(ValueError, match="target"):
            loss(pred, torch.zeros(1, 3, 2), torch.zeros(1, 6))
        with pytest.raises(ValueError, match="weight"):
            loss(pred, torch.zeros(1, 6), torch.zeros(1, 3))
        with pytest.raises(ValueError, match="pred_jts"):
            loss(pred[0], torch.zeros(1, 6), torch.zeros(1, 6))
    with pytest.raises(ValueError, match="target"):
        heatmap_mse(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 1), torch.ones(1))
