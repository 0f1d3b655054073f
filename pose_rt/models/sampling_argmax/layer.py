"""The differentiable draw: logits and noise in, S relaxed joint positions out."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .config import BASES, INITIAL_TEMPERATURE, HeadConfig, temperature_2d, temperature_3d
from .decode import Decoded, axis_marginals, decode, decode_peaks, normalise
from .noise import Noise, random_noise


class Sampled(NamedTuple):
    """Joint positions drawn in training.

    Attributes:
        pred_jts: (B, K, S, 2 or 3), cell / length - 0.5 on x, y, z; without S for the softmax norm.
        weights: weights of the cells of x, y, z, (B, K, S, length) each: marginals of the relaxed choice, reweighted by the basis.
    """

    pred_jts: Tensor
    weights: tuple[Tensor, ...]


class Heat(NamedTuple):
    """What the "heatmap" norm trains.

    Attributes:
        pred_jts: (B, K, 2) of the highest cells, without a gradient.
        logits: (B, K, H, W), for `heatmap_mse`.
    """

    pred_jts: Tensor
    logits: Tensor


class SignGradientProduct(torch.autograd.Function):
    """weight * location, whose gradient for the weight sees only the side of the sample on which a cell lies.

    Forward: w_i x_i. Backward, with the sample m = sum_i w_i x_i and the incoming gradient g_i: d/dw_i = 2 g_i for x_i >= m and
    -2 g_i for x_i < m in place of x_i g_i; d/dx_i = w_i g_i. ("Clip integral" of the 2D pose model.)
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, location: Tensor) -> Tensor:
        ctx.save_for_backward(weight, location)
        return weight * location

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weight, location = ctx.saved_tensors
        (gradient,) = gradients
        for_weight = for_location = None
        if ctx.needs_input_grad[0]:
            sample = (weight * location).sum(-1, keepdim=True)
            for_weight = torch.where(location >= sample, 2.0, -2.0).to(gradient.dtype) * gradient
        if ctx.needs_input_grad[1]:
            for_location = weight * gradient
        return for_weight, for_location


def _kernel_draw(marginal: Tensor, draw: Tensor, basis: str, reweight: bool) -> tuple[Tensor, Tensor]:
    """Weight and location (..., L) of every cell of an axis; the formulas of `pose_rt.ops.reference.axis_positions`."""
    cells = torch.arange(marginal.shape[-1], dtype=marginal.dtype, device=marginal.device)
    if basis == "uniform":
        return marginal, cells + draw - 0.5
    if basis == "gaussian":
        if not reweight:
            return marginal, cells + draw
        weight, offset = marginal * torch.exp(-2.0 * draw * draw), draw
    else:
        offset = torch.where(draw < 0.5, torch.sqrt(2.0 * draw) - 1.0, 1.0 - torch.sqrt(2.0 - 2.0 * draw))
        padded = nn.functional.pad(marginal, (1, 1))
        neighbour = torch.where(offset < 0, padded[..., :-2], padded[..., 2:])
        weight = torch.lerp(marginal, neighbour, offset.abs())
    return weight / weight.sum(-1, keepdim=True), cells + offset


def _check(logits: Tensor, noise: Noise, basis: str, temperature: float) -> None:
    if logits.ndim not in (4, 5) or not logits.is_floating_point():
        raise ValueError(f"logits: got {logits.dtype} {tuple(logits.shape)}, wanted floats (B, K, H, W) or (B, K, D, H, W)")
    if basis not in BASES:
        raise ValueError(f"basis: got {basis!r}, wanted one of {', '.join(BASES)}")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature: got {temperature}, wanted a finite number above 0")
    lead, grid = tuple(logits.shape[:2]), tuple(logits.shape[2:])
    if noise.gumbel is not None:
        samples, cells = noise.gumbel.shape[2:3], (logits.shape[2:].numel(),)
        if tuple(noise.gumbel.shape) != (*lead, *samples, *cells):
            raise ValueError(f"noise.gumbel: got {tuple(noise.gumbel.shape)}, wanted ({lead[0]}, {lead[1]}, S, {cells[0]})")
        lead = (*lead, *samples)
    wanted = [(*lead, length) for length in reversed(grid)]
    shapes = [tuple(draw.shape) for draw in noise.kernel]
    if shapes != wanted:
        raise ValueError(f"noise.kernel: got {shapes}, wanted {wanted} (x, y, z)")


def sample_coordinates(
    logits: Tensor, noise: Noise, *, basis: str = "triangular", temperature: float = INITIAL_TEMPERATURE, sign_gradient: bool = False
) -> Sampled:
    """Relaxed draws from the continuous density of heatmaps, differentiable with respect to the logits.

    P = softmax(logits + g / temperature) over all cells (softmax(logits) without g), summed to one marginal an axis; a position is
    sum_i weight_i w_i with the location w_i and the weight of the basis. In 2D the gaussian draws e ~ N(0, 1) and weighs by
    exp(-2 e^2); in 3D it does not reweigh, as published.

    Args:
        logits: (B, K, H, W) or (B, K, D, H, W).
        noise: recorded (`Noise`) or drawn (`addressed_noise`, `random_noise`); cast to the logits' dtype and device.
        sign_gradient: use `SignGradientProduct` for weight_i w_i.

    Raises:
        ValueError: for shapes that do not fit, an unknown basis or a temperature that is not positive.
    """
    _check(logits, noise, basis, temperature)
    grid = logits.shape[2:]
    flat = logits.flatten(2)
    if noise.gumbel is not None:
        flat = flat.unsqueeze(2) + noise.gumbel.to(flat) / temperature
    p = torch.softmax(flat, -1).unflatten(-1, grid)
    product = SignGradientProduct.apply if sign_gradient else torch.mul
    weights, positions = [], []
    for marginal, draw in zip(axis_marginals(p, len(grid)), noise.kernel, strict=True):
        weight, location = _kernel_draw(marginal, draw.to(marginal), basis, reweight=len(grid) == 2)
        weights.append(weight)
        positions.append(product(weight, location).sum(-1))
    return Sampled(normalise(torch.stack(positions, -1), grid), tuple(weights))


class SamplingArgmax(nn.Module):
    """The head without parameters: samples in training, soft-argmax in evaluation.

    `temperature` starts at 2. With ``config.anneal`` a 2D head sets it by `temperature_2d` before the draw, a 3D head by
    `temperature_3d` after the draw. It is no tensor of the state dict, as in published checkpoints: the epoch restores the 2D rule.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.temperature = INITIAL_TEMPERATURE

    def forward(self, logits: Tensor, noise: Noise | None = None, *, epoch: int | None = None) -> Sampled | Decoded | Heat:
        """Samples (training) or soft-argmax (evaluation) of a final layer's output.

        Args:
            logits: (B, K, H, W), or (B, K D, H, W) for a 3D head with channel k D + z.
            noise: draws of this step; torch's default generator makes them when None. Not used in evaluation.
            epoch: needed in training when the configuration anneals.

        Raises:
            ValueError: for a shape that does not fit the configuration, or a missing epoch.
        """
        config = self.config
        depth = config.grid[0] if len(config.grid) == 3 else 1
        if logits.ndim != 4 or tuple(logits.shape[1:]) != (config.joints * depth, *config.grid[-2:]):
            raise ValueError(
                f"logits: got {tuple(logits.shape)}, wanted (B, {config.joints * depth}, {config.grid[-2]}, {config.grid[-1]})"
            )
        heatmaps = logits.reshape(len(logits), config.joints, *config.grid)
        if not self.training:
            return decode_peaks(heatmaps) if config.norm == "heatmap" else decode(heatmaps)
        if config.norm == "heatmap":
            return Heat(decode_peaks(heatmaps.detach()).pred_jts, heatmaps)
        if config.norm == "soft-argmax":
            return decode(heatmaps)
        if config.anneal and epoch is None:
            raise ValueError("epoch: got None, wanted the epoch's number, since the configuration anneals the temperature")
        if noise is None:
            noise = random_noise(config, len(logits), device=logits.device)
        if (noise.gumbel is None) != (config.norm == "softmax"):
            raise ValueError(f"noise: Gumbel draws are {'missing' if noise.gumbel is None else 'there'}, but the norm is {config.norm}")
        flat = len(config.grid) == 2
        if config.anneal and epoch is not None and flat:
            self.temperature = temperature_2d(epoch)
        sampled = sample_coordinates(heatmaps, noise, basis=config.basis, temperature=self.temperature, sign_gradient=config.sign_gradient)
        if config.anneal and epoch is not None and not flat:
            self.temperature = temperature_3d(epoch)
        return sampled
