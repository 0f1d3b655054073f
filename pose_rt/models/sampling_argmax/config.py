"""Sizes and choices of a sampling-argmax head, and the temperature rules."""

from __future__ import annotations

from dataclasses import dataclass

BASES = ("uniform", "triangular", "gaussian")
NORMS = ("sampling", "softmax", "soft-argmax", "heatmap")
INITIAL_TEMPERATURE = 2.0
_FLOOR = 0.5


def temperature_2d(epoch: int) -> float:
    """max(0.5, 2 - 3 epoch / 50), used in that epoch: the rule of the 2D pose and the face model; the floor comes at epoch 25."""
    return max(_FLOOR, INITIAL_TEMPERATURE - 3.0 * epoch / 50.0)


def temperature_3d(epoch: int) -> float:
    """max(0.5, 5 - epoch / 50), used from the call AFTER the one that passed `epoch`: the rule of the 3D model."""
    return max(_FLOOR, 5.0 - epoch / 50.0)


@dataclass(frozen=True)
class HeadConfig:
    """What a head reads from its logits and how it is trained.

    Attributes:
        joints: K.
        grid: cells of a joint's heatmap, (H, W) or (D, H, W).
        basis: kernel on every cell, one of `BASES`.
        samples: S, draws a joint and training step; not used by the softmax norm.
        norm: "sampling" draws S relaxed cells with Gumbel noise; "softmax" takes softmax(logits) and has no sample axis, with the noise
            of the basis. Baselines: "soft-argmax" trains the mean without any noise, "heatmap" trains the map itself (Gaussian targets)
            and reads off its highest cell.
        sign_gradient: the product of weight and location has the gradient of `SignGradientProduct` (the 2D pose model only).
        anneal: the temperature follows the epoch; otherwise it stays at 2.

    Raises:
        ValueError: for a size below 1 or an unknown name.
    """

    joints: int
    grid: tuple[int, ...]
    basis: str = "triangular"
    samples: int = 30
    norm: str = "sampling"
    sign_gradient: bool = False
    anneal: bool = False

    def __post_init__(self) -> None:
        if len(self.grid) not in (2, 3) or min(self.grid) < 1:
            raise ValueError(f"grid: got {self.grid}, wanted (H, W) or (D, H, W) of at least one cell an axis")
        for name in ("joints", "samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, wanted at least 1")
        if self.basis not in BASES:
            raise ValueError(f"basis: got {self.basis!r}, wanted one of {', '.join(BASES)}")
        if self.norm not in NORMS:
            raise ValueError(f"norm: got {self.norm!r}, wanted one of {', '.join(NORMS)}")
        if self.norm == "heatmap" and len(self.grid) != 2:
            raise ValueError(f"norm: heatmap needs a flat grid, got {self.grid}")

    @property
    def noisy(self) -> bool:
        """Whether training draws random numbers."""
        return self.norm in ("sampling", "softmax")


PUBLISHED = {
    "coco": HeadConfig(17, (64, 48), sign_gradient=True, anneal=True),
    "h36m": HeadConfig(18, (32, 64, 64), samples=10),
    "mtfl": HeadConfig(5, (64, 64), anneal=True),
}
"""The heads of the paper's models: 2D pose, 3D pose, face landmarks."""
