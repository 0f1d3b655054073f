"""Sampling-argmax vectors through the torch layer and, where it has the case, through the op of the run-time path.

The heads (recorded noise, loss, gradient), the decodes (soft-argmax, flip test, image coordinates, argmax) and the losses. One output
is left out on purpose: `maxvals_shape` of a training pass, a maximum over the samples that means nothing and that the layer has not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose_rt import ops
from pose_rt.models.sampling_argmax import (
    HeadConfig,
    Noise,
    SamplingArgmax,
    argmax_decode,
    heatmap_mse,
    joint_accuracy,
    l1_joint_regression,
    l1_loss_dim,
    merge_flipped,
    to_image,
)
from pose_rt.models.sampling_argmax.noise import gumbel_from_uniform
from pose_rt.ops import reference
from tests.parity.check import Check, compare, load

BASIS = {"uni": "uniform", "tri": "triangular", "gaussian": "gaussian"}
FACES = (("kernels", ops), ("definition", reference))
MIRROR_PAIRS = {
    "pose": [(i, i + 1) for i in range(1, 17, 2)],
    "pose3d": [(1, 4), (2, 5), (3, 6), (14, 11), (15, 12), (16, 13)],
    "face": [(0, 1), (3, 4)],
}
OP_ATOL = 2e-6  # float32 softmax over up to 3072 cells

Arrays = dict[str, np.ndarray]


def _head(cfg: dict[str, Any], samples: int) -> SamplingArgmax:
    config = HeadConfig(
        cfg["joints"], tuple(cfg["hm"]), basis=BASIS[cfg.get("basis", "tri")], samples=samples, norm=cfg.get("norm", "sampling"),
        sign_gradient=cfg["kind"] == "pose", anneal=cfg.get("anneal", False),
    )  # fmt: skip
    return SamplingArgmax(config)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _axes(weights: tuple[Tensor, ...], z: Arrays, atol: float) -> list[Check]:
    return [compare(f"hm_{axis}", p.detach(), z[f"out/hm_{axis}"], atol=atol) for axis, p in zip("xyz", weights, strict=False)]


def _head_layer(z: Arrays, cfg: dict[str, Any]) -> list[Check]:
    axes = [_tensor(z[f"in/eps_{axis}"]) for axis in "xyz"[: len(cfg["hm"])]]
    gumbel = gumbel_from_uniform(_tensor(z["in/gumbel_uniform"])) if "in/gumbel_uniform" in z else None
    head = _head(cfg, cfg["samples"])
    logits = _tensor(z["in/logits"]).requires_grad_()
    sampled = head(logits, Noise(gumbel, tuple(axes)), epoch=cfg.get("epoch"))
    target, weight = _tensor(z["in/target"]), _tensor(z["in/target_weight"])
    loss = (l1_loss_dim if cfg["kind"] == "pose3d" else l1_joint_regression)(sampled.pred_jts, target, weight)
    loss.backward()
    assert logits.grad is not None
    pred = sampled.pred_jts.detach()
    return [
        compare("pred_jts", pred, z["out/pred_jts"], atol=1e-5),
        *_axes(sampled.weights, z, 1e-5),
        compare("temperature", head.temperature, z["out/tau_used"], rtol=1e-12),
        compare("loss", loss.detach(), z["out/loss"], rtol=1e-5),
        compare("gradient of the logits", logits.grad, z["out/grad_logits"], atol=1e-6, rtol=1e-4),
        compare("accuracy", joint_accuracy(pred, target, weight, cfg["hm"]), z["out/acc"], atol=1e-6),
    ]


def _head_op(z: Arrays, cfg: dict[str, Any]) -> list[Check]:
    logits = z["in/logits"]
    batch, joints, h, w = logits.shape
    count = batch * joints
    draw_x, draw_y = z["in/eps_x"], z["in/eps_y"]
    relaxed = "in/gumbel_uniform" in z
    samples = draw_x.shape[2] if relaxed else 1
    uniform = z["in/gumbel_uniform"] if relaxed else np.full((count, samples, h * w), 0.5, np.float32)
    with np.errstate(divide="ignore"):
        gumbel = -np.log(-np.log(uniform.astype(np.float64))).astype(np.float32).reshape(count, samples, h * w)
    kernel = np.concatenate([draw_x.reshape(count, samples, w), draw_y.reshape(count, samples, h)], -1).astype(np.float32)
    scale = 1.0 / float(z["out/tau_used"]) if relaxed else 0.0
    checks = []
    for name, face in FACES:
        points = face.sample_coordinates(
            logits.reshape(count, h, w), samples, basis=BASIS[cfg["basis"]], noise_scale=scale, noise=(gumbel, kernel)
        )[0]
        got = (points / np.array([w, h], np.float32) - np.float32(0.5)).reshape(z["out/pred_jts"].shape)
        checks.append(compare(f"pred_jts, {name}", got, z["out/pred_jts"], atol=OP_ATOL))
    return checks


def _heads(path: Path) -> list[Check]:
    z, cfg = load(path)
    checks = _head_layer(z, cfg)
    # The op has no depth axis.
    return checks if cfg["kind"] == "pose3d" else checks + _head_op(z, cfg)


def _decode_layer(z: Arrays, cfg: dict[str, Any]) -> list[Check]:
    head = _head(cfg, 1).eval()
    box = _tensor(z["in/bbox"])
    straight, flipped = head(_tensor(z["in/logits"])), head(_tensor(z["in/logits_of_flipped_image"]))
    mirror = list(range(cfg["joints"]))
    for left, right in MIRROR_PAIRS[cfg["kind"]]:
        mirror[left], mirror[right] = right, left
    results = {"": (straight.pred_jts, straight.maxvals)}
    for shift in (True, False):
        results[f"flip_shift{shift:d}/"] = merge_flipped(
            straight.pred_jts, straight.maxvals, flipped.pred_jts, flipped.maxvals, mirror=mirror, width=cfg["hm"][-1], shift=shift
        )
    checks = [
        compare("softmax_pred_jts", straight.pred_jts, z["out/softmax_pred_jts"], atol=2e-6),
        *_axes(straight.marginals, z, 2e-6),
    ]
    for name, (pred, maxvals) in results.items():
        checks.append(compare(f"{name}pred_jts", pred, z[f"out/{name}pred_jts"], atol=2e-6))
        checks.append(compare(f"{name}maxvals", maxvals, z[f"out/{name}maxvals"], atol=2e-6))
        checks.append(compare(f"{name}image_coords", to_image(pred, box, cfg["hm"]), z[f"out/{name}image_coords"], atol=2e-3))
    if "out/simple/coords" in z:
        points, maxima, cells = argmax_decode(_tensor(z["in/logits"]), box)
        checks.append(compare("simple/coords", points, z["out/simple/coords"], atol=2e-3))
        checks.append(compare("simple/maxvals", maxima, z["out/simple/maxvals"], atol=2e-6))
        checks.append(compare("simple/argmax", cells, z["out/simple/argmax"]))
    return checks


def _decode_op(z: Arrays) -> list[Check]:
    logits = z["in/logits"]
    batch, joints, h, w = logits.shape
    count = batch * joints
    checks = []
    for name, face in FACES:
        mean = face.sample_coordinates(logits.reshape(count, h, w), 0)[1]
        got = (mean / np.array([w, h], np.float32) - np.float32(0.5)).reshape(batch, joints, 2)
        for key in ("out/pred_jts", "out/softmax_pred_jts"):
            checks.append(compare(f"{key[4:]}, {name}", got, z[key], atol=OP_ATOL))
        p = face.gumbel_softmax(logits.reshape(count, h * w), 1, temperature=1.0, noise_scale=0.0)
        checks.append(compare(f"maxvals, {name}", p.max(-1).reshape(batch, joints, 1), z["out/maxvals"], atol=OP_ATOL))
        grid = p.reshape(batch, joints, h, w)
        checks.append(compare(f"hm_x, {name}", grid.sum(2), z["out/hm_x"], atol=OP_ATOL))
        checks.append(compare(f"hm_y, {name}", grid.sum(3), z["out/hm_y"], atol=OP_ATOL))
    return checks


def _decodes(path: Path) -> list[Check]:
    z, cfg = load(path)
    checks = _decode_layer(z, cfg)
    return checks if cfg["kind"] == "pose3d" else checks + _decode_op(z)


def _losses(path: Path) -> list[Check]:
    z, _ = load(path)
    t = {key.removeprefix("in/"): _tensor(value) for key, value in z.items() if key.startswith("in/")}
    results = {
        "L1JointRegression/samples": l1_joint_regression(t["pred2_s"], t["uv"], t["uv_w"]),
        "L1JointRegression/single": l1_joint_regression(t["pred2"], t["uv"], t["uv_w"]),
        "L1JointRegression/no_average": l1_joint_regression(t["pred2_s"], t["uv"], t["uv_w"], average=False),
        "L1JointRegression/zero_weight": l1_joint_regression(t["pred2_s"], t["uv"], torch.zeros_like(t["uv_w"])),
        "L1LossDim/samples": l1_loss_dim(t["pred3_s"], t["uvd"], t["uvd_w"]),
        "L1LossDim/single": l1_loss_dim(t["pred3"], t["uvd"], t["uvd_w"]),
        "MSELoss": heatmap_mse(t["hm"], t["hm_gt"], t["hm_w"]),
    }
    return [compare(name, value, z[f"out/{name}"], rtol=1e-6) for name, value in results.items()]


HANDLERS = [
    ("d3dp/samax_head*.npz", _heads),
    ("d3dp/samax_decode_*.npz", _decodes),
    ("d3dp/samax_losses.npz", _losses),
]
