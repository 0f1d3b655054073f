"""What a training run of the lifter is made of; stored in its checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pose_rt.core.skeleton import SKELETONS
from pose_rt.errors import InputError
from pose_rt.models.d3dp import MixSTEConfig


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run. Lengths the network sees are metres / `unit_m`, so that its clamp at 1.1 never cuts a raised arm.

    `minutes` is the budget of wall time that the learning rate follows; None follows `steps` instead, and with `epochs` the steps are
    counted when the data are known. `input` is "view" (a window turned and scaled as at run time, `pose_rt.core.viewpoint`) or
    "screen" (normalised screen coordinates, as published). `loss_unit` is the unit of the loss in network units: 1000 = millimetres.
    """

    dataset: str = "cmu17"
    keypoints: str = ""
    input: str = "view"
    skeleton_in: str = "h36m17"
    skeleton_out: str = "h36m17"
    mirror: bool = True

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
    loss_unit: float = 1.0
    lr_decay: float | None = None
    steps_per_epoch: int = 1000
    minutes: float | None = 95.0
    steps: int = 20000
    epochs: int | None = None
    keep_every: int = 20
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("optimizer", self.optimizer, ("adamw", "muon")),
            ("steps_like", self.steps_like, ("late", "uniform")),
            ("dataset", self.dataset, ("cmu17", "h36m", "3dhp")),
            ("input", self.input, ("view", "screen")),
            ("skeleton_in", self.skeleton_in, tuple(SKELETONS)),
            ("skeleton_out", self.skeleton_out, tuple(SKELETONS)),
        ):
            if value not in allowed:
                raise ValueError(f"{name}: got {value!r}, wanted one of {', '.join(allowed)}")
        for name, number in (("frames", self.frames), ("batch", self.batch), ("depth", self.depth), ("timesteps", self.timesteps)):
            if number < 1:
                raise ValueError(f"{name}: got {number}, wanted at least 1")

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


def published(frames: int = 243, width: int = 512, depth: int = 8, *, dataset: str = "h36m") -> TrainConfig:
    """The recipe of the paper: AdamW 6e-5, decay 0.993 an epoch, no clipping, no averaging, gradients scaled by the loss.

    On cmu17 the windows are drawn endlessly: an epoch is 1000 steps.
    """
    config = TrainConfig(
        frames=frames, rate_hz=50.0, width=width, depth=depth, heads=8, drop_path=0.1, unit_m=1.0, batch=max(1024 // max(frames, 1), 1),
        optimizer="adamw", lr=6e-5, weight_decay=0.1, clip=0.0, ema=0.0, steps_like="uniform", loss_scaled_gradient=True,
        lr_decay=0.993, minutes=None, steps=400 * 1000,
    )  # fmt: skip
    if dataset == "cmu17":
        return config
    config = replace(config, dataset=dataset, input="screen", epochs=400, keypoints="cpn_ft_h36m_dbb")
    if dataset == "3dhp":
        return replace(config, keypoints="", rate_hz=25.0, skeleton_in="mpi17", skeleton_out="mpi17", loss_unit=1000.0)
    return config
