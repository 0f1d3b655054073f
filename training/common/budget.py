"""A learning-rate schedule over a budget of wall time or of steps: linear warm-up, then half a cosine down to a floor."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Cosine:
    """Factor of the learning rate at a share of the budget."""

    warmup: float = 0.02
    floor: float = 0.01

    def factor(self, share: float) -> float:
        """`share` in [0, 1] of the budget -> factor in (0, 1]."""
        if share < self.warmup:
            return max(share / self.warmup, 0.02)
        progress = min((share - self.warmup) / (1.0 - self.warmup), 1.0)
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * progress))
