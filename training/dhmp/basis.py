"""Fit the linear extension of the history and the coefficient scale that the networks start from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pose_rt.models.dhmp import Basis, DHMPConfig, MotionDCT, body_axes, to_channels

from .data import WindowSampler

_RIDGE = 1e-5


def prepare(clean: np.ndarray, observed: np.ndarray, canonical: bool) -> tuple[Tensor, Tensor]:
    """Channels (B, 3V, T) and (B, 3V, T_his) of windows (B, T, V + 1, 3); if `canonical`, in the body axes of what was observed."""
    gt, history = (torch.from_numpy(x[:, :, 1:].astype(np.float32)) for x in (clean, observed))
    if canonical:
        turn = body_axes(history).transpose(1, 2).unsqueeze(1)
        gt, history = gt @ turn, history @ turn
    return to_channels(gt).contiguous(), to_channels(history).contiguous()


def fit_extension(gt: Tensor, observed: Tensor) -> Tensor:
    """The ridge-regression predictor of each joint, columns summing to 1: (V, T_his, T) float32.

    Displacements from the last observed frame are regressed on the earlier ones, all windows and axes of a joint together.

    Args:
        gt: (B, 3V, T) clean motions.
        observed: (B, 3V, T_his) noisy histories.
    """
    last = observed[..., -1:]
    history = (observed - last)[..., :-1].double().unflatten(1, (-1, 3)).transpose(0, 1).flatten(1, 2)
    motion = (gt - last).double().unflatten(1, (-1, 3)).transpose(0, 1).flatten(1, 2)
    gram = history.transpose(1, 2) @ history
    gram = gram + _RIDGE * history.shape[1] * torch.eye(gram.shape[-1], dtype=gram.dtype)
    weights = torch.linalg.solve(gram, history.transpose(1, 2) @ motion)
    return torch.cat([weights, 1 - weights.sum(1, keepdim=True)], dim=1).float()


def fit_basis(windows: WindowSampler, config: DHMPConfig, count: int) -> Basis:
    """Fit on `count` augmented training windows (a step no training run reaches); the scale is the root of the residual's RMS, half
    way between raw and whitened coefficients."""
    gt, observed = prepare(*windows.batch(count, 2**31), config.canonical)
    extension = fit_extension(gt, observed)
    plain = MotionDCT(config.frames, config.dct_n, Basis(extension, torch.ones(config.dct_n)))
    residual = plain.encode(gt) - plain.condition(observed)
    rms = residual.unflatten(-1, (3, config.dct_n)).square().mean((0, 1, 2)).sqrt()
    return Basis(extension, rms.sqrt())
