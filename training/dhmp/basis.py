"""Fit the linear extension of the history and the coefficient scale that the networks start from.

``python -m training.dhmp.basis CHECKPOINT --data FOLDER`` gives a checkpoint that has none the extension for quiet histories, and the
handover that goes with it; networks and everything else stay.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose_rt.errors import InputError, PoseRtError
from pose_rt.models.dhmp import Basis, DHMPConfig, MotionDCT, body_axes, to_channels
from training.common import checkpoint
from training.data.motion import load_clips

from .data import Augmentation, WindowSampler, root_relative

_RIDGE = 1e-5
_QUIET_M = (0.0005, 0.003)


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
    return Basis(extension, rms.sqrt(), fit_quiet(windows, config, count))


def fit_quiet(windows: WindowSampler, config: DHMPConfig, count: int) -> Tensor:
    """The extension (V, T_his, T) fitted on the same windows with at most a few millimetres of noise on their histories."""
    quiet = replace(windows.augmentation, noise_m=_QUIET_M)
    sampler = WindowSampler(windows.clips, windows.history, windows.frames - windows.history, quiet, windows.seed)
    return fit_extension(*prepare(*sampler.batch(count, 2**31), config.canonical))


def add_quiet(path: Path, data: Path, count: int, seed: int) -> None:
    """Fit the quiet extension of a checkpoint's basis and set the default handover; the file is replaced.

    Raises:
        InputError: not a checkpoint of ours, or one without a basis.
    """
    values = checkpoint.load(path, ("config", "model"))
    if "basis" not in values:
        raise InputError(f"{path}: has no fitted basis", "give a checkpoint trained on cmu17")
    default = DHMPConfig()
    changes = {"finish": True, "blend_frames": default.blend_frames, "blend_power": default.blend_power}
    config = DHMPConfig.from_dict({**values["config"], **changes})
    windows = WindowSampler(root_relative(load_clips(data, "train")), config.history, config.future, Augmentation(), seed)
    basis = Basis(**{**values["basis"], "quiet": fit_quiet(windows, config, count)})
    checkpoint.save(path, {**values, "config": config.to_dict(), "dataset": "cmu17", "basis": asdict(basis)})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.dhmp.basis", description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.npz of cmu17")
    parser.add_argument("--windows", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=10)
    a = parser.parse_args(argv)
    try:
        for path in a.checkpoint:
            add_quiet(path, a.data, a.windows, a.seed)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
