"""What a training run of the score network is made of; stored in its checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from pose_rt.diffusion.sde import SubVpSde, VeSde, VpSde
from pose_rt.errors import InputError
from pose_rt.models.gfpose import Preconditioned, ScoreNetwork

SDES: dict[str, type[VpSde | SubVpSde | VeSde]] = {"subvp": SubVpSde, "vp": VpSde, "ve": VeSde}

TIME_FOCUS = (0.25, 0.95)
"""Two centimetres of noise for a metre of pose, and four metres of it (sub-VP)."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run; the defaults are the recipe of the bundled network on cmu17, `published` is the paper's.

    Attributes:
        dataset: "cmu17" or "h36m".
        hidden, embed, blocks, embedding, dropout: of the network.
        hide_pose, hide_part, hide_joint: rates at which the condition is hidden.
        hide_below: cmu17: rate at which everything below the thorax is hidden, as by a desk or the edge of the picture.
        condition_3d: share of poses that are conditioned on 3D instead of 2D.
        deviation: of the data's coordinates, in their unit: inputs and output are scaled by it (`Preconditioned`); None = the network
            predicts the noise itself, as published.
        components: Gaussians of the first guess (`training.gfpose.mixture`).
        time_focus: share of the times that are drawn from TIME_FOCUS, where noise is as large as a pose is uncertain.
        known_deviation: of the coordinates that a condition shows from the truth, in the data's unit.
        data_scale: network units for one unit of the data.
        sde: the diffusion.
        batch, lr, warmup, clip, ema: of the optimiser; `warmup` in steps.
        weight_decay: 0 = Adam, else AdamW.
        minutes: budget of training time over which the rate falls along half a cosine; None = a constant rate for `epochs`.
        epochs: where the data have an end.
        evaluate_every: epochs between two evaluations.
        mirror: cmu17 mirrors its motion always; h36m: mirror poses (`--flip`).
        reference: mirror condition and target by coins of their own, as published (half of the mirrored ones do not belong together).
        seed: of all draws.
    """

    dataset: str = "cmu17"
    hidden: int = 192
    embed: int = 64
    blocks: int = 2
    embedding: str = "positional"
    dropout: float = 0.0
    hide_pose: float = 0.1
    hide_part: float = 0.2
    hide_joint: float = 0.1
    hide_below: float = 0.1
    condition_3d: float = 0.7
    data_scale: float = 30.0
    deviation: float | None = 0.3
    known_deviation: float = 0.03
    components: int = 8
    time_focus: float = 0.7
    sde: str = "subvp"
    batch: int = 256
    lr: float = 1.5e-3
    warmup: int = 0
    clip: float = 1.0
    ema: float = 0.999
    weight_decay: float = 0.01
    minutes: float | None = 45.0
    epochs: int = 20000
    evaluate_every: int = 5
    mirror: bool = False
    reference: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("dataset", self.dataset, ("cmu17", "h36m")),
            ("sde", self.sde, tuple(SDES)),
            ("embedding", self.embedding, ("positional", "fourier")),
        ):
            if value not in allowed:
                raise ValueError(f"{name}: got {value!r}, wanted one of {', '.join(allowed)}")
        for name in ("hide_pose", "hide_part", "hide_joint", "hide_below", "condition_3d", "dropout", "time_focus"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, wanted 0 to 1")
        for name in ("batch", "epochs", "evaluate_every", "components"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, wanted at least 1")

    def network(self) -> ScoreNetwork | Preconditioned:
        """A fresh network of this size."""
        network = ScoreNetwork(
            self.hidden, self.embed, self.blocks, embedding=self.embedding, dropout=self.dropout,
            hide_pose=self.hide_pose, hide_part=self.hide_part, hide_joint=self.hide_joint, second_input=self.deviation is not None,
        )  # fmt: skip
        sde = self.diffusion()
        if self.deviation is None or isinstance(sde, VeSde):
            return network
        return Preconditioned(network, sde, self.deviation * self.data_scale, self.known_deviation * self.data_scale, self.components)

    def diffusion(self, steps: int = 1000, horizon: float = 1.0) -> VpSde | SubVpSde | VeSde:
        """The diffusion, with N and T."""
        return SDES[self.sde](steps=steps, horizon=horizon)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> TrainConfig:
        """Raises InputError where the file has settings this version does not know."""
        unknown = sorted(set(values) - {f.name for f in fields(TrainConfig)})
        if unknown:
            raise InputError(f"the checkpoint has settings this version does not know: {', '.join(unknown)}")
        return TrainConfig(**values)


def published(dataset: str = "h36m") -> TrainConfig:
    """The recipe of the paper's code: width 1024, Adam at 2e-4 after a warm-up of 5000 steps, batches of 1000, 0.1 at every rate."""
    return TrainConfig(
        dataset=dataset, hidden=1024, embed=512, dropout=0.25, hide_part=0.1, hide_below=0.0, condition_3d=0.1,
        deviation=None, time_focus=0.0, batch=1000, lr=2e-4,
        warmup=5000, ema=0.9999, weight_decay=0.0, minutes=None,
    )  # fmt: skip
