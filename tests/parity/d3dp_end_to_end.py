"""The published scripts as a whole: files written in the published formats, converted, loaded, trained on and evaluated."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.models.d3dp import MixSTE
from tests.parity.check import Check, compare, load
from tests.parity.d3dp_model import Tape, network_of
from tests.training.published_files import write_h36m
from training.d3dp.config import TrainConfig, published
from training.d3dp.datasets import lifter_of, load_data, quick_error
from training.d3dp.protocol import Protocol
from training.d3dp.tables import h36m_table, lift_h36m
from training.d3dp.trainer import Trainer
from training.data.chunks import Chunks, ChunkStream
from training.data.convert import PATTERNS, convert

_TOLERANCE_MM = 0.02
_PARAMETERS = 2e-6


def _files(z: dict[str, np.ndarray], folder: Path) -> None:
    """Write the synthetic data set, in the order of the vector's keys, and convert it."""
    poses: dict[str, dict[str, np.ndarray]] = {}
    points: dict[str, dict[str, list[np.ndarray]]] = {}
    for key, value in z.items():
        parts = key.split("/")
        if key.startswith("in/positions_3d/"):
            poses.setdefault(parts[2], {})[parts[3]] = value
        elif key.startswith("in/positions_2d/"):
            points.setdefault(parts[2], {}).setdefault(parts[3], []).append(value)
    write_h36m(folder, poses, points)
    for pattern in PATTERNS:
        for path in folder.glob(pattern):
            convert(path)


def _options(folder: Path, cfg: dict[str, Any]) -> argparse.Namespace:
    shared = {"actions": "*", "downsample": 1, "subset": 1.0}
    return argparse.Namespace(data=folder, subjects_train=cfg["train"], subjects_test=cfg["test"], **shared)


def _config(cfg: dict[str, Any]) -> TrainConfig:
    return published(cfg["frames"], cfg["width"], cfg["depth"])


def _evaluation(path: Path) -> list[Check]:
    z, cfg = load(path)
    if cfg["mode"] == "train":
        return _training(z, cfg)
    config, tape = _config(cfg), Tape(z)
    lifter = lifter_of(network_of(z, cfg), config)
    protocol = Protocol(cfg["H"], cfg["K"], cfg["b"], "batch", cfg["flip"], True)
    with tempfile.TemporaryDirectory() as folder:
        _files(z, Path(folder))
        data = load_data(_options(Path(folder), cfg), config, "test")
        lifted = lift_h36m(lifter, data, config.frames, protocol, lambda shape: tape.draw("randn").reshape(shape))
        table = h36m_table(lifted)
    checks = []
    for key, want in z.items():
        if key.startswith("out/"):
            _, action, number, selection = key.split("/")
            checks.append(compare(key, 1000.0 * table[action][number][selection], want, atol=_TOLERANCE_MM))
    return checks


def _training(z: dict[str, np.ndarray], cfg: dict[str, Any]) -> list[Check]:
    tape = Tape(z)
    with tempfile.TemporaryDirectory() as folder:
        _files(z, Path(folder))
        options, config = _options(Path(folder), cfg), replace(_config(cfg), batch=cfg["b"] // cfg["frames"])
        train, test = load_data(options, config, "train"), load_data(options, config, "test")
        stream = ChunkStream(Chunks(train, config.frames), config.batch)
    config = replace(config, steps_per_epoch=stream.steps_per_epoch, steps=cfg["epochs"] * stream.steps_per_epoch)
    trainer = Trainer(config)
    trainer.network.load_state_dict(network_of(z, cfg).state_dict())
    tape.feed(trainer.network)
    trainer.draw = lambda count, shape: tape.steps_and_noise(count)  # type: ignore[method-assign]
    log, rates, weights = [], [], []
    for _ in range(cfg["epochs"]):
        rates.append(trainer.learning_rate())
        for _ in range(stream.steps_per_epoch):
            trainer.train_step(*stream(trainer.step))
        lifter = lifter_of(trainer.averaged(), config)
        error = quick_error(lifter, config, test, lambda shape: tape.draw("randn").reshape(shape))
        log.append((1000.0 * trainer.mean_loss(), 1000.0 * error))
        weights.append((trainer.learning_rate(), trainer.averaged()))
    best = int(np.argmin([error for _, error in log]))
    rate, network = weights[best]
    return [
        compare("train and valid error", log, z["out/log_train_valid_mm"], atol=_TOLERANCE_MM),
        compare("learning rate", rates, z["out/log_lr"], atol=5.1e-7),  # the log has six decimals
        compare("best epoch", best + 1, z["out/best_epoch"]),
        compare("learning rate of the best", rate, z["out/best_lr"], rtol=1e-12),
        *_weights(network, z),
    ]


def _weights(network: MixSTE, z: dict[str, np.ndarray]) -> list[Check]:
    state = network.state_dict()
    start = "out/best/"
    keys = [key for key in z if key.startswith(start)]
    names = [key.removeprefix(start).removeprefix("pose_estimator.") for key in keys]
    return [compare(name, state[name].numpy(), z[key], atol=_PARAMETERS) for name, key in zip(names, keys, strict=True)]


HANDLERS: list[tuple[str, Callable[[Path], list[Check]]]] = [("d3dp/e2e_main_*.npz", _evaluation)]
