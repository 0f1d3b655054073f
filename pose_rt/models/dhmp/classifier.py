"""The action classifier behind FID and ACC: a two-layer GRU over a future. State-dict keys are the published ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FEATURES = 30
CLASSES = {"h36m": 15, "humaneva": 5}
"""Number of actions of the published classifiers."""


class ActionClassifier(nn.Module):
    """Motion -> 30 features (the space of FID) -> logits.

    The published code draws the GRU's initial state from N(0, 1) on every call, which moves its logits by up to 0.7; here it is zero
    unless one is given.

    Args:
        nodes: V, joints without the root.
        classes: number of actions.
        hidden: width of the GRU.
    """

    def __init__(self, nodes: int = 16, classes: int = 15, hidden: int = 128) -> None:
        super().__init__()
        self.nodes, self.classes, self.hidden = nodes, classes, hidden
        self.recurrent = nn.GRU(3 * nodes, hidden, num_layers=2)
        self.linear1 = nn.Linear(hidden, _FEATURES)
        self.linear2 = nn.Linear(_FEATURES, classes)

    def initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Zeros (2, B, hidden), or with a generator the published standard normal draw."""
        shape = (2, batch, self.hidden)
        return torch.zeros(shape) if generator is None else torch.randn(shape, generator=generator)

    def features(self, motion: Tensor, state: Tensor | None = None) -> Tensor:
        """(B, 3V, T) futures, channels joint-major -> (B, 30) in (-1, 1); `state` is the initial (2, B, hidden), default zeros."""
        output, _ = self.recurrent(motion.permute(2, 0, 1), state)
        return torch.tanh(self.linear1(output[-1]))

    def forward(self, motion: Tensor, state: Tensor | None = None) -> Tensor:
        """(B, 3V, T) -> logits (B, classes)."""
        return self.linear2(self.features(motion, state))
