"""A torch module behind the same contract: what a network gives before it is exported. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .base import TensorInfo, check_feeds, check_finite, free_axis_zero


class TorchModuleBackend:
    """A module whose forward takes the inputs in order and gives one tensor, or a tuple of them, in the order of `outputs`."""

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Sequence[TensorInfo],
        outputs: Sequence[TensorInfo],
        name: str = "torch module",
        device: str = "cpu",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.metadata = dict(metadata or {})
        self.choice = f"torch {torch.__version__} on {device}"
        self._device = torch.device(device)
        self._module: torch.nn.Module | None = module.to(self._device).eval()

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the module without gradients. Raises as the other backends do."""
        if self._module is None:
            raise ValueError(f"{self.name}: the backend is closed; open it again")
        check_feeds(self.name, self.inputs, feeds)
        if feeds and next(iter(feeds.values())).shape[:1] == (0,):
            empty = free_axis_zero(self.inputs, self.outputs)
            if empty is not None:
                return empty
        with torch.inference_mode():
            result = self._module(*(torch.from_numpy(np.ascontiguousarray(feeds[info.name])).to(self._device) for info in self.inputs))
        tensors = result if isinstance(result, (tuple, list)) else (result,)
        if len(tensors) != len(self.outputs):
            raise ValueError(f"{self.name}: the module gave {len(tensors)} outputs, wanted {[info.name for info in self.outputs]}")
        outputs = {info.name: tensor.cpu().numpy() for info, tensor in zip(self.outputs, tensors, strict=True)}
        check_finite(self.name, outputs)
        return outputs

    def close(self) -> None:
        """Let go of the module; safe to call twice."""
        self._module = None
