"""GFPose checkpoint -> ONNX: ``python -m exporters gfpose --checkpoint FILE --out prior.onnx``.

Reads checkpoints of `training.gfpose` and the published ``best_model.pth``, of which the averaged weights are taken, as its evaluation
does. Inputs `x` (N, 17, 3) noisy poses in the network's unit, `label` (N,), and what is known: `condition` (N, 17, 3) with z = 0 where it
is 2D, `mask` (N, 17, 3) with 1 where the condition counts; for a preconditioned network instead `guess` and `deviation` (N, 17, 3), by
`pose_rt.diffusion.guess` and the mixture in the metadata. Output `noise` (N, 17, 3) (the score for VE); all float32, N free; opset 17;
metadata entry `pose_rt` as JSON.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pose_rt.core.skeleton import H36M17
from pose_rt.diffusion.guess import to_text
from pose_rt.errors import InputError
from pose_rt.models.gfpose import Preconditioned
from training.gfpose.config import TrainConfig, published

from . import checkpoint, torch_export

_NAMES = {False: ("x", "label", "condition", "mask"), True: ("x", "label", "guess", "deviation")}
"""Inputs of a plain and of a preconditioned network."""
_ROWS = {0: 1, 1: 1, 2: 8, 3: 200}
"""Poses in the trial of each seed."""


def read_checkpoint(path: Path) -> tuple[nn.Module, TrainConfig]:
    """The network with its averaged weights, in eval mode, and its settings.

    Raises:
        InputError: no averaged weights, or a tensor that does not fit (the first is named).
    """
    values = checkpoint.read(path)
    if "config" in values:
        if "weights" not in values:
            raise InputError(f"{path}: has no averaged weights ('weights')", "give last.pt or best.pt of python -m training.gfpose.train")
        config = TrainConfig.from_dict(values["config"])
        state = checkpoint.state_of(values, "weights", path)
    else:
        state = checkpoint.state_of(values, "model_state_dict", path)
        config = _sizes(state, path)
        state |= _averaged(values, config, state, path)
    network = config.network()
    checkpoint.load_into(network, state, path)
    return network.eval(), config


def _sizes(state: dict[str, Tensor], path: Path) -> TrainConfig:
    """Settings of a published checkpoint, read off its tensors."""
    try:
        hidden, embed = state["pre_dense.weight"].shape[0], state["pre_dense_t.weight"].shape[1]
    except KeyError as error:
        raise InputError(f"{path}: tensor {error.args[0]} is missing: not a GFPose score network") from error
    blocks = len({name.split("_")[0] for name in state if name.startswith("b") and "_dense1.weight" in name})
    base = published()
    embedding = "fourier" if "gauss_proj.W" in state else "positional"
    return TrainConfig.from_dict({**base.to_dict(), "hidden": hidden, "embed": embed, "blocks": blocks, "embedding": embedding})


def _averaged(values: dict[str, Any], config: TrainConfig, state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The published average, a list in the order of the parameters, by their names."""
    ema = values.get("ema")
    averages = ema.get("shadow_params") if isinstance(ema, dict) else None
    if not isinstance(averages, list) or not all(isinstance(value, Tensor) for value in averages):
        found = f"it holds {', '.join(map(repr, values))}"
        raise InputError(
            f"{path}: has no averaged weights (ema/shadow_params); {found}", "give the published best_model.pth or checkpoint.pth"
        )
    names = [name for name, parameter in config.network().named_parameters() if parameter.requires_grad]
    if len(averages) != len(names):
        raise InputError(f"{path}: averages {len(averages)} parameters, a network of this size has {len(names)}")
    for name, value in zip(names, averages, strict=True):
        if name in state and value.shape != state[name].shape:
            raise InputError(f"{path}: the average of {name} is {tuple(value.shape)}, wanted {tuple(state[name].shape)}")
    return dict(zip(names, averages, strict=True))


def metadata(config: TrainConfig, network: nn.Module) -> dict[str, Any]:
    """What the run time must know."""
    values = {
        "kind": "gfpose", "sde": config.sde, "data_scale": config.data_scale, "space": "image" if config.dataset == "cmu17" else "crop",
        "hidden": config.hidden, "embed": config.embed, "blocks": config.blocks, "embedding": config.embedding, "skeleton": H36M17.name,
    }  # fmt: skip
    if isinstance(network, Preconditioned):
        values |= {"deviation": config.deviation, "known_deviation": config.known_deviation, "mixture": to_text(network.mixture)}
    return values


def trial_inputs(config: TrainConfig, network: nn.Module, seed: int) -> dict[str, np.ndarray]:
    """Noisy poses of the network's size, half with a 2D condition, some of it hidden, at all times."""
    rng, rows = np.random.default_rng(seed), _ROWS[seed]
    size = 0.3 * config.data_scale
    pose = rng.normal(0.0, size, (rows, 17, 3)).astype(np.float32)
    condition = pose + rng.normal(0.0, 0.05 * size, pose.shape).astype(np.float32)
    condition[rows // 2 :, :, 2] = 0.0
    t = rng.uniform(0.01, 1.0, rows).astype(np.float32)
    sde = config.diffusion()
    mean, std = sde.marginal(pose, t)
    x = mean + std[:, None, None] * rng.standard_normal(pose.shape, np.float32)
    mask = np.repeat((rng.random((rows, 17, 1)) < 0.7).astype(np.float32), 3, -1)
    shown = (condition, mask)
    if isinstance(network, Preconditioned):
        mask[rows // 2 :, :, 2] = 0.0
        guess, deviation = network.guess(torch.from_numpy(condition), torch.from_numpy(mask))
        shown = (guess.numpy(), deviation.numpy())
    feeds = (x.astype(np.float32), sde.label(t).astype(np.float32), *shown)
    return dict(zip(_NAMES[isinstance(network, Preconditioned)], feeds, strict=True))


class _Noise(nn.Module):
    """`Preconditioned.noise` as a module's forward."""

    def __init__(self, network: Preconditioned) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, label: Tensor, guess: Tensor, deviation: Tensor) -> Tensor:
        return self.network.noise(x, label, guess, deviation)


def job_of(network: nn.Module, config: TrainConfig, extra: dict[str, Any] | None = None) -> torch_export.Export:
    """What `torch_export.export` needs of a score network; `extra` goes into the metadata."""
    names = _NAMES[isinstance(network, Preconditioned)]
    return torch_export.Export(
        network, names, "noise", {name: {0: "N"} for name in (*names, "noise")}, {**metadata(config, network), **(extra or {})},
        lambda seed: trial_inputs(config, network, seed), "standard deviations", 1.0, 1e-4, 2e-2,
        flat=_Noise(network).eval() if isinstance(network, Preconditioned) else None,
    )  # fmt: skip


def main(argv: list[str]) -> int:
    """The command line; returns the exit status."""
    import json

    parser = torch_export.arguments("gfpose", "GFPose checkpoint -> ONNX")
    parser.add_argument("--calibration", type=Path, help="JSON of training.gfpose.evaluate_hidden; its 'sigma' goes into the file")
    options = parser.parse_args(argv)

    def job() -> torch_export.Export:
        extra = {"sigma": json.loads(options.calibration.read_text())["sigma"]} if options.calibration else None
        return job_of(*read_checkpoint(options.checkpoint), extra)

    return torch_export.command(options, job)
