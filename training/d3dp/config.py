"""What a training run of the lifter is made of; stored in its checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from pose_rt.errors import InputError
from pose_rt.models.d3dp import MixSTEConfig


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run. Lengths the network sees are metres / `unit_m`, so that its clamp at 1.1 never cuts a raised arm.

    `minutes` is the budget of wall time that the learning rate follows; None follows `steps` instead.
    """

    frames: int = 9
    rate_hz: float = 12.5
    width: int = 96
    depth: int = 3
    heads: int = 4
    drop_path: float = 0.0
    timesteps: int = 1000
    scale: float = 1.0
    unit_m: float = 1.25
    batch: int = 64
    optimizer: str = "muon"
    lr: float = 3e-3
    weight_decay: float = 0.02
    clip: float = 1.0
    ema: float = 0.9995
    steps_like: str = "late"
    loss_scaled_gradient: bool = False
    lr_decay: float | None = None
    steps_per_epoch: int = 1000
    minutes: float | None = 95.0
    steps: int = 20000
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("optimizer", self.optimizer, ("adamw", "muon")),
            ("steps_like", self.steps_like, ("late", "uniform")),
        ):
            if value not in allowed:
                raise ValueError(f"{name}: got {value!r}, wanted one of {', '.join(allowed)}")

    def model(self) -> MixSTEConfig:
        return MixSTEConfig(self.frames, self.width, self.depth, self.heads, drop_path=self.drop_path)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> TrainConfig:
        """Raises InputError where the file has settings this version does not know."""
        known = {f.name for f in fields(TrainConfig)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"the checkpoint has settings this version does not know: {', '.join(unknown)}")
        return TrainConfig(**values)


def published(frames: int = 243, width: int = 512, depth: int = 8) -> TrainConfig:
    """The recipe of the paper: AdamW 6e-5, decay 0.993 an epoch, no clipping, no averaging, gradients scaled by the loss."""
    return TrainConfig(
        frames=frames, rate_hz=50.0, width=width, depth=depth, heads=8, drop_path=0.1, unit_m=1.0, batch=4, optimizer="adamw",
        lr=6e-5, weight_decay=0.1, clip=0.0, ema=0.0, steps_like="uniform", loss_scaled_gradient=True, lr_decay=0.993,
        minutes=None, steps=400 * 1000,
    )  # fmt: skip
