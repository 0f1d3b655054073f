"""One training run: network, optimisers, averaged weights, position. A step is a function of the state and (seed, step) alone."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pose_rt.diffusion.schedule import cosine_schedule
from pose_rt.errors import UsageError
from pose_rt.models.d3dp import MixSTE
from training.common import checkpoint
from training.common.budget import Cosine
from training.common.ema import Ema
from training.data.cmu17 import PairConfig, make_pairs
from training.data.motion import Clips

from .config import TrainConfig
from .objective import corrupt, late_steps, mean_joint_distance, uniform_steps

_CHUNK = 16
"""Batches drawn at once: the generator is vectorised and costs less a window in large chunks."""


class BatchStream:
    """Batch number i of a run, the same whenever it is asked for: chunks are seeded by (seed, chunk)."""

    def __init__(self, clips: Clips, config: TrainConfig, pairs: PairConfig | None = None) -> None:
        self.clips, self.config = clips, config
        self.pairs = pairs or PairConfig(frames=config.frames, rate_hz=config.rate_hz)
        self._chunk = -1
        self._xy: np.ndarray = np.empty(0, np.float32)
        self._target: np.ndarray = self._xy

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """xy (B, F, 17, 2) and the clean target (B, F, 17, 3) in network units."""
        chunk, place = divmod(step, _CHUNK)
        size = self.config.batch
        if chunk != self._chunk:
            drawn = make_pairs(np.random.default_rng((self.config.seed, chunk)), self.clips, size * _CHUNK, self.pairs)
            self._chunk, self._xy, self._target = chunk, drawn.xy, drawn.target_m / np.float32(self.config.unit_m)
        rows = slice(place * size, (place + 1) * size)
        return torch.from_numpy(self._xy[rows]), torch.from_numpy(self._target[rows].astype(np.float32))


class Trainer:
    """State of a run and its step."""

    def __init__(self, config: TrainConfig, fabric: Fabric | None = None) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.fabric = fabric if fabric is not None else one_cpu()
        if config.clip > 0 and self.fabric.strategy.precision.precision == "16-mixed":
            raise UsageError("gradients are clipped in this recipe, which float16 does not support", "use --precision bf16-mixed")
        self.network = MixSTE(config.model())
        self.optimizers = _optimizers(self.network, config)
        # The wrapped forms move data, cast and synchronise; state is kept under the plain names of the network itself.
        self._forward, *self._wrapped = self.fabric.setup(self.network, *self.optimizers)
        self.ema = Ema(self.network, config.ema) if config.ema > 0 else None
        self.schedule = cosine_schedule(config.timesteps)
        self.cosine = Cosine()
        self.step, self.seconds = 0, 0.0
        self.loss_sum, self.loss_rows = 0.0, 0

    @property
    def share(self) -> float:
        """How much of the budget is spent, in [0, 1]."""
        c = self.config
        return min(self.seconds / (60 * c.minutes) if c.minutes is not None else self.step / c.steps, 1.0)

    def learning_rate(self) -> float:
        c = self.config
        if c.lr_decay is not None:
            return c.lr * c.lr_decay ** (self.step // c.steps_per_epoch)
        return c.lr * self.cosine.factor(self.share)

    def draw(self, count: int, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Diffusion steps (B,) and noise of `shape` for the present step."""
        c = self.config
        generator = torch.Generator().manual_seed(c.seed * 1_000_000_007 + self.step)
        choose = late_steps if c.steps_like == "late" else uniform_steps
        return choose(count, c.timesteps, generator), torch.randn(shape, generator=generator)

    def train_step(self, xy: Tensor, target: Tensor) -> float:
        """One optimiser step on a batch; returns the loss in network units.

        Every device gets the whole batch and its noise, and works on its own rows: the result does not depend on their number.
        """
        c = self.config
        self.network.train()
        rank, devices = self.fabric.global_rank, self.fabric.world_size
        torch.manual_seed(c.seed * 1_000_000_009 + self.step + 7919 * rank)  # stochastic depth
        diffusion_step, noise = self.draw(len(xy), target.shape)
        noisy = corrupt(target, diffusion_step, noise, self.schedule, c.scale)
        rows = torch.arange(len(xy))[rank::devices]
        weight = len(rows) * devices / len(xy)
        if weight == 0:  # fewer rows than devices: this one joins in without a say
            rows = torch.zeros(1, dtype=torch.int64)
        parts = (self.fabric.to_device(part[rows]) for part in (xy, noisy, diffusion_step, target))
        own_xy, own_noisy, own_step, own_target = parts
        loss = c.loss_unit * weight * mean_joint_distance(self._forward(own_xy, own_noisy, own_step), own_target)
        whole = self.fabric.all_reduce(loss.detach()) if devices > 1 else loss.detach()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss, *((whole,) if c.loss_scaled_gradient else ()))
        if c.clip > 0:
            nn.utils.clip_grad_norm_(self.network.parameters(), c.clip)
        rate = self.learning_rate()
        for optimizer, wrapped in zip(self.optimizers, self._wrapped, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * group["lr_factor"]
            wrapped.step()
        if self.ema is not None:
            self.ema.update(self.network)
        self.step += 1
        value = torch.as_tensor(whole).item() / c.loss_unit
        self.loss_sum, self.loss_rows = self.loss_sum + len(xy) * value, self.loss_rows + len(xy)
        return value

    def mean_loss(self) -> float:
        """Mean over the samples since it was last asked for, in network units; NaN where there were none."""
        mean = self.loss_sum / self.loss_rows if self.loss_rows else float("nan")
        self.loss_sum, self.loss_rows = 0.0, 0
        return mean

    def averaged(self) -> MixSTE:
        """A copy of the network with the averaged weights (or the present ones), in eval mode."""
        copy = MixSTE(self.config.model()).to(self.fabric.device)
        copy.load_state_dict(self.network.state_dict())
        if self.ema is not None:
            self.ema.copy_to(copy)
        return copy.eval()

    def save(self, path: Path) -> None:
        if not self.fabric.is_global_zero:
            return
        values = {
            "loss": [self.loss_sum, self.loss_rows],
            "kind": "d3dp", "config": self.config.to_dict(), "model": self.network.state_dict(),
            "weights": self.averaged().state_dict(), "ema": self.ema.state_dict() if self.ema is not None else {},
            "optimizers": [o.state_dict() for o in self.optimizers], "step": self.step, "seconds": self.seconds,
        }  # fmt: skip
        checkpoint.save(path, values)

    def restore(self, path: Path) -> None:
        values: dict[str, Any] = checkpoint.load(path, ("model", "optimizers", "step", "seconds"))
        checkpoint.load_into(self.network, values["model"], path)
        for optimizer, state in zip(self.optimizers, values["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        if self.ema is not None:
            self.ema.load_state_dict(values["ema"])
        self.step, self.seconds = int(values["step"]), float(values["seconds"])
        self.loss_sum, self.loss_rows = values.get("loss", (0.0, 0))


@lru_cache(maxsize=1)
def one_cpu() -> Fabric:
    """A single process on the CPU in float32."""
    return Fabric(accelerator="cpu", devices=1)


def _optimizers(network: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW on everything, or Muon on the matrices inside the blocks and AdamW on the rest."""
    named = dict(network.named_parameters())
    if config.optimizer == "adamw":
        return [_with_factor(torch.optim.AdamW(named.values(), lr=config.lr, weight_decay=config.weight_decay))]
    matrices = [p for name, p in named.items() if p.ndim == 2 and "blocks" in name]
    rest = [p for name, p in named.items() if not (p.ndim == 2 and "blocks" in name)]
    muon = torch.optim.Muon(matrices, lr=config.lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw")
    return [_with_factor(muon), _with_factor(torch.optim.AdamW(rest, lr=config.lr, weight_decay=config.weight_decay))]


def _with_factor(optimizer: torch.optim.Optimizer, factor: float = 1.0) -> torch.optim.Optimizer:
    for group in optimizer.param_groups:
        group["lr_factor"] = factor
    return optimizer
