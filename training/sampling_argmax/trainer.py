"""One training run: network, Adam, position. A step is a function of the state and (seed, epoch, step) alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from pose_rt.errors import InputError, UsageError
from pose_rt.models.sampling_argmax import NETWORKS, joint_accuracy, random_noise
from pose_rt.models.sampling_argmax.checkpoint import KIND, Trained, load_state
from training.common import checkpoint

from .annotations import Annotations
from .config import TrainConfig
from .data import enlargement
from .dataset import Batch
from .objective import loss_of
from .preprocess import preprocess_of


class Trainer:
    """State of a run and its step.

    Attributes:
        epoch, place: epochs done, and batches done of the next one.
        broken: files that could not be read so far.
    """

    def __init__(self, config: TrainConfig, annotations: Annotations, fabric: Fabric) -> None:
        torch.manual_seed(config.seed)
        self.config, self.fabric = config, fabric
        try:
            network = NETWORKS[config.task](config.network(len(annotations.names)))
        except ValueError as error:
            raise UsageError(str(error)) from error
        pixels = preprocess_of(config.task, config.reference)
        self.trained = Trained(
            network, config.task, annotations.names, annotations.pairs, annotations.edges, pixels.mean, pixels.deviation,
            enlargement(config.task),
        )  # fmt: skip
        self.network = network
        self.optimizer = torch.optim.Adam(network.parameters(), lr=config.lr)
        # The wrapped forms move data, cast and synchronise; state is kept under the plain names of the network itself.
        self._forward, self._wrapped = fabric.setup(network, self.optimizer)
        self.epoch, self.place, self.steps, self.seconds = 0, 0, 0, 0.0
        self.broken: set[str] = set()
        self._sums = [0.0, 0.0, 0.0]

    def images(self, batch: Batch) -> Tensor:
        """(B, 3, H, W) float32 on the device, as the network takes them."""
        return normalised(self.fabric.to_device(batch.images), self.trained)

    def train_step(self, batch: Batch) -> float:
        """One optimiser step; returns the loss. A batch of unreadable pictures alone is passed over (NaN)."""
        self.broken.update(batch.broken)
        started = time.monotonic()
        loss_value = float("nan")
        if len(batch.row):
            self.network.train()
            config = self.network.config.head
            generator = torch.Generator().manual_seed((self.config.seed * 1_000_003 + self.steps) * 64 + self.fabric.global_rank)
            noise = random_noise(config, len(batch.row), generator=generator) if config.noisy else None
            target, weight = self.fabric.to_device(batch.target), self.fabric.to_device(batch.weight)
            predicted = self._forward(self.images(batch), noise, epoch=self.epoch)
            loss = loss_of(predicted, target, weight, config)
            self.optimizer.zero_grad(set_to_none=True)
            self.fabric.backward(loss)
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.learning_rate(self.epoch)
            self._wrapped.step()
            loss_value = float(loss.detach())
            accuracy = joint_accuracy(predicted.pred_jts.detach(), target, weight, config.grid)
            self._sums = [self._sums[0] + loss_value, self._sums[1] + accuracy, self._sums[2] + 1]
        self.place, self.steps = self.place + 1, self.steps + 1
        self.seconds += time.monotonic() - started
        return loss_value

    def end_epoch(self) -> tuple[float, float]:
        """Count the epoch; returns mean loss and accuracy of its steps.

        Raises:
            InputError: no picture of the epoch could be read.
        """
        loss, accuracy, count = self._sums
        self._sums, self.epoch, self.place = [0.0, 0.0, 0.0], self.epoch + 1, 0
        if count == 0:
            first = min(self.broken, default="?")
            raise InputError(f"none of the pictures can be read, such as {first}", "give the folder of the pictures with --images")
        return loss / count, accuracy / count

    def save(self, path: Path) -> None:
        """Everything that the run needs to go on, and that evaluation and export need."""
        if self.fabric.is_global_zero:
            checkpoint.save(path, {
                "kind": KIND, "config": self.config.to_dict(), "about": self.trained.about(), "weights": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(), "epoch": self.epoch, "place": self.place, "steps": self.steps,
                "seconds": self.seconds, "temperature": self.network.head.temperature, "sums": self._sums, "broken": sorted(self.broken),
            })  # fmt: skip

    def restore(self, path: Path) -> None:
        """Continue where `save` was called."""
        values: dict[str, Any] = checkpoint.load(path, ("weights", "optimizer", "epoch", "place"))
        load_state(self.network, values["weights"], path)
        self.optimizer.load_state_dict(values["optimizer"])
        self.epoch, self.place, self.steps = int(values["epoch"]), int(values["place"]), int(values["steps"])
        self.seconds, self._sums, self.broken = float(values["seconds"]), list(values["sums"]), set(values["broken"])
        self.network.head.temperature = float(values["temperature"])


def normalised(images: Tensor, trained: Trained) -> Tensor:
    """(B, 3, H, W) uint8 RGB -> float32 by the means and deviations of a network."""
    mean, deviation = (torch.tensor(v, device=images.device)[:, None, None] for v in (trained.mean, trained.deviation))
    return (images.float() / 255 - mean) / deviation
