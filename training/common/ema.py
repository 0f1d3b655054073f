"""Exponential moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Ema:
    """``w <- d w + (1 - d) model`` with ``d = min(decay, (1 + n) / (10 + n))`` after n updates."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.weights = {name: p.detach().clone() for name, p in model.state_dict().items() if p.is_floating_point()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        now = model.state_dict()
        torch._foreach_lerp_(list(self.weights.values()), [now[name] for name in self.weights], 1.0 - decay)

    def state_dict(self) -> dict[str, Tensor | int]:
        return {**self.weights, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        self.updates = int(state["updates"])
        for name, weight in self.weights.items():
            value = state[name]
            assert isinstance(value, Tensor)
            weight.copy_(value)

    def copy_to(self, model: nn.Module) -> None:
        model.load_state_dict(self.weights, strict=False)
