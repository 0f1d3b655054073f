"""Checkpoints of DHMP: plain tensors, numbers and names, so that ``torch.load(..., weights_only=True)`` reads them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pose_rt.errors import InputError
from pose_rt.models.dhmp import CVAE, DHMPConfig, DiverseSampling, build_cvae, build_sampler


def save(path: Path, values: dict[str, Any]) -> None:
    """Write beside `path`, flush, then move: an interrupted save leaves the previous checkpoint whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        torch.save(values, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint without unpickling code.

    Raises:
        InputError: not a checkpoint of ours.
    """
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such checkpoint", "train it with python -m training.dhmp.train") from error
    except Exception as error:
        raise InputError(f"{path}: not a checkpoint that loads with weights_only=True ({type(error).__name__})") from error
    if not isinstance(values, dict) or "model" not in values or "config" not in values:
        raise InputError(f"{path}: not a DHMP checkpoint (no 'model' and 'config')")
    return values


@dataclass(frozen=True)
class Trained:
    """The networks of a checkpoint, in eval mode; `sampler` is None after stage 1."""

    config: DHMPConfig
    cvae: CVAE
    sampler: DiverseSampling | None


def load_networks(path: Path) -> Trained:
    """Networks from a stage-1 or stage-2 checkpoint."""
    values = load(path)
    config = DHMPConfig.from_dict(values["config"])
    cvae = build_cvae(config)
    cvae.load_state_dict(values.get("cvae", values["model"]))
    sampler = None
    if "cvae" in values:
        sampler = build_sampler(config)
        sampler.load_state_dict(values["model"])
        sampler.eval()
    return Trained(config, cvae.eval(), sampler)
