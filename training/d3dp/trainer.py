"""One training run: network, optimisers, averaged weights, position. A step is a function of the state and (seed, step) alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pose_rt.diffusion.schedule import cosine_schedule
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

    def __init__(self, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.network = MixSTE(config.model())
        self.ema = Ema(self.network, config.ema) if config.ema > 0 else None
        self.schedule = cosine_schedule(config.timesteps)
        self.optimizers = _optimizers(self.network, config)
        self.cosine = Cosine()
        self.step, self.seconds = 0, 0.0

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
        """One optimiser step on a batch; returns the loss in network units."""
        c = self.config
        self.network.train()
        torch.manual_seed(c.seed * 1_000_000_009 + self.step)  # stochastic depth
        diffusion_step, noise = self.draw(len(xy), target.shape)
        noisy = corrupt(target, diffusion_step, noise, self.schedule, c.scale)
        loss = mean_joint_distance(self.network(xy, noisy, diffusion_step), target)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward(loss.detach() if c.loss_scaled_gradient else None)
        if c.clip > 0:
            nn.utils.clip_grad_norm_(self.network.parameters(), c.clip)
        rate = self.learning_rate()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["lr_factor"]
            optimizer.step()
        if self.ema is not None:
            self.ema.update(self.network)
        self.step += 1
        return float(loss.detach())

    def averaged(self) -> MixSTE:
        """A copy of the network with the averaged weights (or the present ones), in eval mode."""
        copy = MixSTE(self.config.model())
        copy.load_state_dict(self.network.state_dict())
        if self.ema is not None:
            self.ema.copy_to(copy)
        return copy.eval()

    def save(self, path: Path) -> None:
        values = {
            "kind": "d3dp", "config": self.config.to_dict(), "model": self.network.state_dict(),
            "weights": self.averaged().state_dict(), "ema": self.ema.state_dict() if self.ema is not None else {},
            "optimizers": [o.state_dict() for o in self.optimizers], "step": self.step, "seconds": self.seconds,
        }  # fmt: skip
        checkpoint.save(path, values)

    def restore(self, path: Path) -> None:
        values: dict[str, Any] = checkpoint.load(path, ("model", "optimizers", "step", "seconds"))
        self.network.load_state_dict(values["model"])
        for optimizer, state in zip(self.optimizers, values["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        if self.ema is not None:
            self.ema.load_state_dict(values["ema"])
        self.step, self.seconds = int(values["step"]), float(values["seconds"])


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
