"""DHMP checkpoint of stage 2 -> ONNX: ``python -m exporters dhmp CHECKPOINT --out forecaster.onnx``.

One graph does everything between the lifter's window and the futures: body axes, linear extension, DCT, sampler, decoder, inverse DCT,
handover and bone lengths. Inputs `history` (N, T_his, 17, 3) root-relative metres in camera axes (root row 0), `weights` (N, K, M)
Gumbel-softmax coefficients, `eps` (N, K, z) standard normal draws, all float32; output `futures` (N, K, T_pred, 17, 3), root 0; N and
K are free; opset 17; metadata entry `pose_rt` as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from pose_rt.core.skeleton import H36M17
from pose_rt.errors import InputError, PoseRtError
from pose_rt.models.dhmp import DHMPConfig, Forecaster
from training.dhmp.networks import load_networks

from .d3dp import store_half
from .report import Parity, compare, run_onnx, sha256, write_report

OPSET = 17
_NAMES = ("history", "weights", "eps")
_TOLERANCE, _HALF_TOLERANCE = 2e-5, 5e-3
# Only the layer that makes the bases is this large; the linear extension and the DCT keep float32.
_HALF_FROM = 500_000


def read_checkpoint(path: Path) -> Forecaster:
    """The whole forecaster of a stage-2 checkpoint, in eval mode.

    Raises:
        InputError: a checkpoint of stage 1, or none of ours.
    """
    trained = load_networks(path)
    if trained.sampler is None:
        raise InputError(f"{path}: holds stage 1 only", "train stage 2 with python -m training.dhmp.train --stage 2")
    return Forecaster(trained.config, H36M17.parents or (), trained.cvae, trained.sampler, trained.basis).eval()


def metadata(config: DHMPConfig) -> dict[str, Any]:
    """What the run time must know."""
    return {
        "kind": "dhmp", "history": config.history, "future": config.future, "rate_hz": config.rate_hz, "bases": config.bases,
        "z": config.z, "temperature": config.temperature, "skeleton": "h36m17",
    }  # fmt: skip


def trial_inputs(config: DHMPConfig, people: int, k: int, seed: int) -> dict[str, np.ndarray]:
    """People in random but body-like poses that move a little, and random draws."""
    rng = np.random.default_rng(seed)
    pose = np.zeros((people, 1, config.nodes + 1, 3), np.float32)
    for joint, parent in enumerate(H36M17.parents or ()):
        if parent >= 0:
            pose[:, 0, joint] = pose[:, 0, parent] + rng.normal(0, 0.2, (people, 3)).astype(np.float32)
    drift = rng.normal(0, 0.01, (people, config.history, config.nodes + 1, 3)).astype(np.float32).cumsum(1)
    drift[:, :, 0] = 0
    weights = rng.dirichlet(np.full(config.bases, 0.3), (people, k)).astype(np.float32)
    return {"history": pose + drift, "weights": weights, "eps": rng.standard_normal((people, k, config.z), np.float32)}


def export(network: Forecaster, out: Path, *, half: bool = False) -> Parity:
    """Write the ONNX file and compare it with the network for several numbers of people and futures.

    Args:
        half: store the one large weight as float16 with a cast after it (half the file; the arithmetic stays float32).
    """
    config = network.config
    feeds = trial_inputs(config, 2, 3, 0)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(out.name + ".part")
    axes = {"history": {0: "N"}, "weights": {0: "N", 1: "K"}, "eps": {0: "N", 1: "K"}, "futures": {0: "N", 1: "K"}}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, tuple(torch.from_numpy(feeds[name]) for name in _NAMES), str(temporary), input_names=list(_NAMES),
            output_names=["futures"], opset_version=OPSET, dynamo=False, dynamic_axes=axes,
        )  # fmt: skip
    model = onnx.load(str(temporary))
    if half:
        store_half(model, _HALF_FROM)
    entry = model.metadata_props.add()
    entry.key, entry.value = "pose_rt", json.dumps(metadata(config))
    onnx.checker.check_model(model)
    onnx.save(model, str(temporary))
    pairs = []
    for seed, people, k in ((1, 1, 1), (2, 1, 10), (3, 3, 50)):
        feeds = trial_inputs(config, people, k, seed)
        with torch.no_grad():
            wanted = network(*(torch.from_numpy(feeds[name]) for name in _NAMES)).numpy()
        pairs.append((wanted, run_onnx(temporary, feeds)[0]))
    temporary.replace(out)
    return compare("futures", pairs, _HALF_TOLERANCE if half else _TOLERANCE)


def main(argv: list[str]) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m exporters dhmp", description="DHMP checkpoint -> ONNX")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--half", action="store_true", help="store the one large weight as float16")
    args = parser.parse_args(argv)
    try:
        network = read_checkpoint(args.checkpoint)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    parity = export(network, args.out, half=args.half)
    write_report(args.out.with_suffix(".json"), args.out, args.checkpoint.name, [parity])
    verdict = "ok" if parity.ok else "FAIL"
    print(f"{verdict}  {args.out}  sha256 {sha256(args.out)}  largest difference {parity.max_abs:.2e} m (tolerance {parity.tolerance:.0e})")
    return 0 if parity.ok else 1
