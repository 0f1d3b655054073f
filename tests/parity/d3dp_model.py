"""MixSTE, schedule, DDIM and training steps of D3DP. Each network is built from the sizes and the weights in the file."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pose_rt.core.skeleton import H36M17
from pose_rt.diffusion.ddim import Predict, ddim_coefficients, ddim_sample, ddim_times, flip_average
from pose_rt.diffusion.schedule import cosine_schedule
from pose_rt.models.d3dp import D3DP, MixSTE, MixSTEConfig
from pose_rt.models.layers.transformer import DropPath
from tests.parity.check import Check, compare, compare_names, load
from training.d3dp.objective import corrupt, mean_joint_distance

_PREFIX = "pose_estimator."
_MIRROR_3DHP = np.array([0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 14, 15, 16])


def network_of(z: dict[str, np.ndarray], cfg: dict[str, Any], drop_path: float = 0.0) -> MixSTE:
    """The network of a vector, in eval mode: its sizes and its weights."""
    network = MixSTE(MixSTEConfig(cfg["frames"], cfg["width"], cfg["depth"], drop_path=drop_path))
    if cfg.get("recipe"):
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        state = {key: _recipe_weight(cfg["weights_seed"], key, shape) for key, shape in shapes.items()}
    else:
        state = {key.removeprefix("sd/").removeprefix(_PREFIX): value for key, value in z.items() if key.startswith("sd/")}
    network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    return network.eval()


def _recipe_weight(seed: int, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights of vectors that carry none: legacy RandomState seeded by the CRC of "seed:key", scaled by kind."""
    z = np.random.RandomState(zlib.crc32(f"{seed}:{key}".encode()) & 0x7FFFFFFF).standard_normal(shape)
    if "pos_embed" in key:
        z = 0.3 * z
    elif key.endswith("bias"):
        z = 0.1 * z
    elif len(shape) == 1:
        z = 1.0 + 0.1 * z
    else:
        z = z / np.sqrt(np.prod(shape[1:]))
    weight: np.ndarray = z.astype(np.float32)
    if key == "head.1.weight":
        return weight * np.float32(0.3)
    return weight * np.float32(1.5) if key.endswith("qkv.weight") else weight


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _schedule(path: Path) -> list[Check]:
    z, cfg = load(path)
    schedule = cosine_schedule(cfg["timesteps"])
    checks = [compare(name, table, z[f"buf/{name}"], rtol=1e-12, atol=1e-15) for name, table in schedule.tables().items()]
    for k in cfg["K"]:
        times = ddim_times(cfg["timesteps"], k)
        coefficients = np.array([ddim_coefficients(schedule, a, b) for a, b in pairwise(times[:-1])]).reshape(-1, 4)
        checks.append(compare(f"times K{k}", times, z[f"times/K{k}"]))
        want = z[f"coef/K{k}"]
        checks.append(compare(f"coefficients K{k}", coefficients[:, :3], want[:, :3], rtol=1e-12, atol=1e-15))
        # c^2 = 1 - abar' - sigma^2 loses all but the last digits when the step starts at T - 1: compare it where the rounding is.
        checks.append(compare(f"c^2 K{k}", coefficients[:, 3] ** 2, want[:, 3] ** 2, atol=1e-15))
    return checks


def _mixste(path: Path) -> list[Check]:
    z, cfg = load(path)
    network = network_of(z, cfg)
    seen: dict[str, np.ndarray] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            # the reference regroups to one sequence a joint
            seen.setdefault(name, output.transpose(1, 2).flatten(0, 1).numpy())

        return hook

    network.Spatial_norm.register_forward_hook(keep("after_STE"))
    network.Temporal_norm.register_forward_hook(keep("after_TTE"))
    network.head.register_forward_pre_hook(lambda _, inputs: seen.__setitem__("after_ST", inputs[0].numpy()))
    step = _tensor(z["in/t"])
    with torch.no_grad():
        prediction = network(_tensor(z["in/x_2d"]), _tensor(z["in/x_3d"]), step).numpy()
        seen["time_sinusoid"], seen["time_embed"] = network.time_mlp[0](step).numpy(), network.time_mlp(step).numpy()
    checks = [compare("pred", prediction, z["out/pred"], atol=2e-5)]
    for name, value in seen.items():
        if f"out/{name}" in z:
            checks.append(compare(name, value, z[f"out/{name}"], atol=5e-5))
    return checks


def _ddim(path: Path) -> list[Check]:
    z, cfg = load(path)
    network = network_of(z, cfg)
    metres_out = 1000.0 if cfg.get("hp") else 1.0
    swap = _MIRROR_3DHP if cfg.get("hp") else H36M17.mirror
    scale, steps = float(cfg.get("scale", 1.0)), cfg["K"]

    def predictor(xy: np.ndarray) -> Predict:
        @torch.no_grad()
        def predict(noisy: np.ndarray, step: int) -> np.ndarray:
            result: np.ndarray = network(_tensor(xy), _tensor(noisy), torch.full((len(xy),), step)).numpy()
            return result

        return predict

    def mirror(joints: np.ndarray) -> np.ndarray:
        return joints[..., swap, :] * np.array([-1, 1, 1], np.float32)

    def flip(predict: Predict) -> Predict:
        return flip_average(predict, predictor(z["in/input_2d_flip"]), mirror)

    cleans = ddim_sample(
        predictor(z["in/input_2d"]), z["in/noise_init"], list(z["in/noise_steps"]), cosine_schedule(1000), steps, scale,
        flip if cfg["flip"] else None,
    )  # fmt: skip
    predictions = np.stack(cleans, 1) * np.float32(metres_out)
    return [
        compare("preds", predictions, z["out/preds"], atol=0.05 if cfg.get("hp") else 1e-4 * scale),
        compare("times", ddim_times(1000, steps), z["out/times"]),
    ]


class Tape:
    """The random draws the reference recorded, handed out in order; asking for another kind than recorded is an error."""

    def __init__(self, z: dict[str, np.ndarray]) -> None:
        keys = sorted((key for key in z if key.startswith("in/tape/")), key=lambda key: int(key.split("/")[2]))
        self._entries = iter([(key.split("/")[3], z[key]) for key in keys])

    def draw(self, kind: str) -> np.ndarray:
        got, value = next(self._entries)
        if got != kind:
            raise ValueError(f"the tape has a {got} where {kind} was asked for")
        return value

    def feed(self, network: nn.Module) -> None:
        """Let the stochastic depth of a network take its masks from the tape."""
        for module in network.modules():
            if isinstance(module, DropPath):
                module.draw = lambda shape, like: _tensor(self.draw("bern")).reshape(shape)  # type: ignore[method-assign]

    def steps_and_noise(self, count: int) -> tuple[Tensor, Tensor]:
        """As the reference draws for a batch: for each sample its step, then its noise."""
        pairs = [(self.draw("randint"), self.draw("randn")) for _ in range(count)]
        return torch.from_numpy(np.concatenate([step for step, _ in pairs])), torch.from_numpy(np.stack([noise for _, noise in pairs]))


def _train(path: Path) -> list[Check]:
    z, cfg = load(path)
    network = network_of(z, cfg, drop_path=0.1 if cfg["drop_path"] else 0.0)
    network.train(cfg["drop_path"])
    tape = Tape(z)
    tape.feed(network)
    schedule = cosine_schedule(1000)
    optimizer = torch.optim.AdamW(network.parameters(), lr=cfg["lr"], weight_decay=0.1)
    checks, losses = [], []
    for i in range(cfg["steps"]):
        target = _tensor(z["in/input_3d"][i]).clone()
        target[..., 0, :] = 0.0
        step, noise = tape.steps_and_noise(len(target))
        noisy = corrupt(target, step, noise, schedule)
        prediction = network(_tensor(z["in/input_2d"][i]), noisy, step)
        loss = mean_joint_distance(prediction, target)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward(loss.detach())
        if i == 0:
            checks.append(compare("x_t", noisy.numpy(), z["out/x_t"], atol=2e-6))
            checks.append(compare("pred", prediction.detach().numpy(), z["out/pred"], atol=2e-5))
            checks += _gradients(network, z)
        optimizer.step()
        if i == 0:
            checks += _parameters(network, z, "out/param_after_step1/", cfg["lr"])
    checks.append(compare("losses", losses, z["out/losses"], atol=2e-5))
    return checks + _parameters(network, z, "out/param_after_last_step/", cfg["lr"])


def _gradients(network: MixSTE, z: dict[str, np.ndarray]) -> list[Check]:
    gradients = {name: p.grad.numpy() for name, p in network.named_parameters() if p.grad is not None}
    start = "out/grad_after_backward/"
    checks = [
        compare("gradient " + key, gradients[key.removeprefix(start + _PREFIX)], want, rtol=1e-3, atol=1e-6)
        for key, want in z.items() if key.startswith(start)
    ]  # fmt: skip
    norm = np.sqrt(sum(float(np.square(g.astype(np.float64)).sum()) for g in gradients.values()))
    return [*checks, compare("gradient norm", norm, z["out/grad_norm_after_backward"], rtol=1e-4)]


def _parameters(network: MixSTE, z: dict[str, np.ndarray], start: str, lr: float) -> list[Check]:
    """A gradient near zero may flip one step of AdamW: up to 2 lr is allowed on less than 1 % of the entries."""
    state, checks = network.state_dict(), []
    for key, want in z.items():
        if key.startswith(start):
            difference = np.abs(state[key.removeprefix(start + _PREFIX)].numpy().astype(np.float64) - want)
            checks.append(Check(key, float(np.quantile(difference, 0.99, method="lower")), 2e-6))
            checks.append(Check(key + " largest", float(difference.max()), 2e-6 + 2 * lr))
    return checks


def _names(path: Path) -> list[Check]:
    """Names, shapes and types of a published checkpoint, its sizes told by the shapes."""
    listed = json.loads(path.read_text())
    theirs = {key: (tuple(shape), dtype) for key, (shape, dtype) in listed["state_dict"].items()}
    _, frames, width = theirs[_PREFIX + "Temporal_pos_embed"][0]
    depth = 1 + max(int(key.split(".")[2]) for key in theirs if key.startswith(_PREFIX + "STEblocks."))
    with torch.device("meta"):
        state = D3DP(MixSTEConfig(frames, width, depth)).state_dict()
    parameters = sum(value.numel() for key, value in state.items() if key.startswith(_PREFIX))
    return compare_names(state, parameters, path)


HANDLERS: list[tuple[str, Callable[[Path], list[Check]]]] = [
    ("d3dp/d3dp_schedule*.npz", _schedule),
    ("d3dp/mixste_*.npz", _mixste),
    ("d3dp/d3dp_ddim_*.npz", _ddim),
    ("d3dp/d3dp_train_*.npz", _train),
    ("d3dp/statedict_d3dp_*.json", _names),
]
