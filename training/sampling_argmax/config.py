"""Settings of a run, the published ones, and files of settings."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pose_rt.errors import UsageError
from pose_rt.models.sampling_argmax import HeadConfig, NetworkConfig

TASKS = ("coco", "h36m", "mtfl", "images")


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        task: coco, h36m, mtfl or images.
        layers, width, filters: of the network (`NetworkConfig`).
        image: (height, width) px of the input; the heatmap has a quarter of it.
        depth: cells on z of the 3D head.
        norm, basis, samples, anneal, sign_gradient: of the head (`HeadConfig`).
        batch: pictures a step, over all devices.
        lr, milestones, decay: Adam's rate, multiplied by `decay` at each of these epochs.
        restart, restart_milestones: epoch at which the rate starts anew, and the milestones counted from it.
        snapshot: epochs from one evaluation and kept checkpoint to the next.
        reference: pixels as the published code normalises them.
    """

    task: str = "coco"
    layers: int = 50
    width: int = 64
    filters: int = 256
    image: tuple[int, int] = (256, 192)
    depth: int = 32
    norm: str = "sampling"
    basis: str = "triangular"
    samples: int = 30
    anneal: bool = True
    sign_gradient: bool = True
    batch: int = 128
    epochs: int = 140
    lr: float = 1e-3
    milestones: tuple[int, ...] = (90, 120)
    decay: float = 0.1
    restart: int | None = None
    restart_milestones: tuple[int, ...] = ()
    seed: int = 123123
    snapshot: int = 2
    reference: bool = False

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise UsageError(f"task: got {self.task!r}, wanted one of {', '.join(TASKS)}")
        for name in ("batch", "epochs", "snapshot", "width", "filters"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}: got {getattr(self, name)}, wanted at least 1")
        if not self.lr > 0:
            raise UsageError(f"lr: got {self.lr}, wanted more than 0")
        if len(self.image) != 2 or any(n < 32 or n % 32 for n in self.image):
            raise UsageError(f"image: got {self.image}, wanted height and width in multiples of 32")

    def network(self, joints: int) -> NetworkConfig:
        """Sizes of the network.

        Raises:
            UsageError: sizes or names that no network has.
        """
        cells = (self.image[0] // 4, self.image[1] // 4)
        grid = (self.depth, *cells) if self.task == "h36m" else cells
        try:
            head = HeadConfig(joints, grid, self.basis, self.samples, self.norm, self.sign_gradient, self.anneal)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return NetworkConfig(head, self.layers, self.width, self.filters)

    def learning_rate(self, epoch: int) -> float:
        """Of an epoch, counted from 0."""
        if self.restart is not None and epoch >= self.restart:
            return self.lr * self.decay ** sum(epoch - self.restart >= m for m in self.restart_milestones)
        return self.lr * self.decay ** sum(epoch >= m for m in self.milestones)

    def to_dict(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return replace(cls(), **plain)


_COCO = TrainConfig()
PUBLISHED = {
    "coco": _COCO,
    "images": replace(_COCO, task="images"),
    "h36m": TrainConfig(
        task="h36m", image=(256, 256), samples=10, anneal=False, sign_gradient=False, batch=64, epochs=200, restart=140,
        restart_milestones=(20, 50),
    ),
    "mtfl": TrainConfig(task="mtfl", layers=18, image=(256, 256), sign_gradient=False, batch=128, epochs=30, milestones=(10, 20)),
}  # fmt: skip
"""The published recipes; one's own pictures are trained as COCO is."""


def read_settings(path: Path) -> dict[str, Any]:
    """Settings from a TOML or JSON file, by the names of `TrainConfig`.

    Raises:
        UsageError: no such file, another format, or a name that is no setting.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file of settings", "wanted TOML or JSON") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: neither TOML nor JSON ({error})") from error
    known = {f.name for f in fields(TrainConfig)}
    wrong = sorted(values.keys() - known)
    if wrong:
        raise UsageError(f"{path}: unknown settings {', '.join(wrong)}", f"known: {', '.join(sorted(known))}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
