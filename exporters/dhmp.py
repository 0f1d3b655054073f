"""DHMP checkpoint of stage 2 -> ONNX: ``python -m exporters dhmp --checkpoint FILE --out forecaster.onnx``.

Reads checkpoints of `training.dhmp` and the published ``.pth`` files, whose two stages are two files (``--cvae`` names the first).

One graph does everything between the lifter's window and the futures: body axes, linear extension, DCT, sampler, decoder, inverse DCT,
handover and bone lengths. Inputs `history` (N, T_his, 17, 3) root-relative metres in camera axes (root row 0), `weights` (N, K, M)
Gumbel-softmax coefficients, `eps` (N, K, z) standard normal draws, all float32; output `futures` (N, K, T_pred, 17, 3), root 0; N and
K are free; opset 17; metadata entry `pose_rt` as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pose_rt.core.skeleton import H36M17
from pose_rt.errors import InputError
from pose_rt.models.dhmp import PUBLISHED, DHMPConfig, Forecaster, build_cvae, build_sampler
from training.dhmp.networks import load_networks

from . import checkpoint, torch_export
from .report import Parity

_NAMES = ("history", "weights", "eps")
_TOLERANCE, _HALF_TOLERANCE = 2e-5, 5e-3
# Only the layer that makes the bases is this large; the linear extension and the DCT keep float32.
_HALF_FROM = 500_000
_SKELETONS = {16: "h36m17", 14: "humaneva15"}
PARENTS = {16: H36M17.parents or (), 14: (-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1)}
"""Parents by number of nodes (joints without the root): Human3.6M and HumanEva."""
_COUNTS = {0: (2, 3), 1: (1, 1), 2: (1, 10), 3: (3, 50)}
"""People and futures in the trial of each seed."""


def read_checkpoint(path: Path, cvae: Path | None = None) -> Forecaster:
    """The whole forecaster of a stage-2 checkpoint, in eval mode.

    Args:
        path: ours (both stages in one file), or a published ``*_t2.pth``, the sampler alone.
        cvae: the published stage-1 file that goes with it.

    Raises:
        InputError: a checkpoint of stage 1, one stage without the other, or a tensor that does not fit (the first is named).
    """
    values = checkpoint.read(path)
    if "config" in values:
        trained = load_networks(path)
        if trained.sampler is None:
            raise InputError(f"{path}: holds stage 1 only", "train stage 2 with python -m training.dhmp.train --stage 2")
        return Forecaster(trained.config, PARENTS[trained.config.nodes], trained.cvae, trained.sampler, trained.basis).eval()
    state = checkpoint.state_of(values, "model", path)
    if "bases_p1.0.weight" not in state:
        stage1 = any(name.startswith("dec.") for name in state)
        cure = f"give both: --checkpoint STAGE2.pth --cvae {path}" if stage1 else None
        raise InputError(f"{path}: {'holds stage 1 only' if stage1 else 'tensor bases_p1.0.weight is missing: not a DHMP sampler'}", cure)
    if cvae is None:
        raise InputError(f"{path}: a published sampler, which needs its stage-1 networks", "give them with --cvae STAGE1.pth")
    decoder = checkpoint.state_of(checkpoint.read(cvae), "model", cvae)
    return _published(state, path, decoder, cvae)


def _published(sampler: Mapping[str, Tensor], path: Path, cvae: Mapping[str, Tensor], cvae_path: Path) -> Forecaster:
    """Sizes are read off the tensors, then all of them must fit."""
    config = _sizes(sampler, path, cvae, cvae_path)
    networks = build_cvae(config), build_sampler(config)
    checkpoint.load_into(networks[0], cvae, cvae_path)
    checkpoint.load_into(networks[1], sampler, path)
    return Forecaster(config, PARENTS[config.nodes], *networks, None).eval()


def _sizes(sampler: Mapping[str, Tensor], path: Path, cvae: Mapping[str, Tensor], cvae_path: Path) -> DHMPConfig:
    def shape(state: Mapping[str, Tensor], name: str, where: Path) -> tuple[int, ...]:
        if name not in state or state[name].ndim != 2:
            raise InputError(f"{where}: tensor {name} is missing or no matrix")
        return tuple(state[name].shape)

    hidden, features = shape(cvae, "dec.5.weight", cvae_path)
    nodes = shape(cvae, "dec.5.att", cvae_path)[0]
    base_dim = shape(sampler, "mean_p1.0.weight", path)[1]
    known = {published.nodes: published for published in PUBLISHED.values()}
    if nodes not in known:
        raise InputError(f"{cvae_path}: tensor dec.5.att is for {nodes} joints, wanted {' or '.join(map(str, known))} (without the root)")
    return replace(
        known[nodes], dct_n=features // 3, hidden=hidden, z=shape(cvae, "mean.weight", cvae_path)[0], base_dim=base_dim,
        sampler_hidden=shape(sampler, "condition_enc.0.gcn.weight", path)[1],
        bases=shape(sampler, "bases_p1.0.weight", path)[0] // base_dim,
    )  # fmt: skip


def metadata(config: DHMPConfig) -> dict[str, Any]:
    """What the run time must know."""
    return {
        "kind": "dhmp", "history": config.history, "future": config.future, "rate_hz": config.rate_hz, "bases": config.bases,
        "z": config.z, "temperature": config.temperature, "skeleton": _SKELETONS[config.nodes],
    }  # fmt: skip


def trial_inputs(config: DHMPConfig, people: int, k: int, seed: int) -> dict[str, np.ndarray]:
    """People in random but body-like poses that move a little, and random draws."""
    rng = np.random.default_rng(seed)
    pose = np.zeros((people, 1, config.nodes + 1, 3), np.float32)
    for joint, parent in enumerate(PARENTS[config.nodes]):
        if parent >= 0:
            pose[:, 0, joint] = pose[:, 0, parent] + rng.normal(0, 0.2, (people, 3)).astype(np.float32)
    drift = rng.normal(0, 0.01, (people, config.history, config.nodes + 1, 3)).astype(np.float32).cumsum(1)
    drift[:, :, 0] = 0
    weights = rng.dirichlet(np.full(config.bases, 0.3), (people, k)).astype(np.float32)
    return {"history": pose + drift, "weights": weights, "eps": rng.standard_normal((people, k, config.z), np.float32)}


def job_of(network: Forecaster) -> torch_export.Export:
    """What `torch_export.export` needs of a forecaster."""
    config, axes = network.config, {0: "N", 1: "K"}
    return torch_export.Export(
        network, _NAMES, "futures", {"history": {0: "N"}, "weights": axes, "eps": axes, "futures": axes}, metadata(config),
        lambda seed: trial_inputs(config, *_COUNTS[seed], seed), "mm", 1000.0, _TOLERANCE, _HALF_TOLERANCE, _HALF_FROM,
    )  # fmt: skip


def export(network: Forecaster, out: Path, *, half: bool = False, precision: str = "fp32") -> Parity:
    """Write the ONNX file, its report and its safetensors; compare it with the network for several numbers of people and futures."""
    return torch_export.export(job_of(network), out, source="", half=half, precision=precision)


def main(argv: list[str]) -> int:
    """The command line; returns the exit status."""
    parser = torch_export.arguments("dhmp", "DHMP checkpoint -> ONNX")
    parser.add_argument("--cvae", type=Path, help="stage-1 file of a published checkpoint")
    options = parser.parse_args(argv)
    return torch_export.command(options, lambda: job_of(read_checkpoint(options.checkpoint, options.cvae)))
