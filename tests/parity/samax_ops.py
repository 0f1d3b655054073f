"""Sampling-argmax vectors through the ops: the head's forward pass with recorded noise, and the soft-argmax decode.

Losses, gradients and the flip test of these files belong to the trained network and are not looked at here.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pose_rt import ops
from pose_rt.ops import reference
from tests.parity.check import Check, compare

BASIS = {"uni": "uniform", "tri": "triangular", "gaussian": "gaussian"}
FACES = (("kernels", ops), ("definition", reference))
ATOL = 2e-6  # heatmap widths; float32 softmax over up to 3072 cells


def _head(path: Path) -> list[Check]:
    with np.load(path, allow_pickle=False) as vector:
        data = {key: vector[key] for key in vector.files}
    config = json.loads(str(data["meta"]))["cfg"]
    logits = data["in/logits"]
    batch, joints, h, w = logits.shape
    count = batch * joints
    draw_x, draw_y = data["in/eps_x"], data["in/eps_y"]
    relaxed = "in/gumbel_uniform" in data
    samples = draw_x.shape[2] if relaxed else 1
    uniform = data["in/gumbel_uniform"] if relaxed else np.full((count, samples, h * w), 0.5, np.float32)
    with np.errstate(divide="ignore"):
        gumbel = -np.log(-np.log(uniform.astype(np.float64))).astype(np.float32).reshape(count, samples, h * w)
    kernel = np.concatenate([draw_x.reshape(count, samples, w), draw_y.reshape(count, samples, h)], -1).astype(np.float32)
    scale = 1.0 / float(data["out/tau_used"]) if relaxed else 0.0
    checks = []
    for name, face in FACES:
        points = face.sample_coordinates(
            logits.reshape(count, h, w), samples, basis=BASIS[config["basis"]], noise_scale=scale, noise=(gumbel, kernel)
        )[0]
        got = (points / np.array([w, h], np.float32) - np.float32(0.5)).reshape(data["out/pred_jts"].shape)
        checks.append(compare(f"pred_jts, {name}", got, data["out/pred_jts"], atol=ATOL))
    return checks


def _decode(path: Path) -> list[Check]:
    with np.load(path, allow_pickle=False) as vector:
        data = {key: vector[key] for key in vector.files}
    logits = data["in/logits"]
    batch, joints, h, w = logits.shape
    count = batch * joints
    checks = []
    for name, face in FACES:
        mean = face.sample_coordinates(logits.reshape(count, h, w), 0)[1]
        got = (mean / np.array([w, h], np.float32) - np.float32(0.5)).reshape(batch, joints, 2)
        for key in ("out/pred_jts", "out/softmax_pred_jts"):
            checks.append(compare(f"{key[4:]}, {name}", got, data[key], atol=ATOL))
        p = face.gumbel_softmax(logits.reshape(count, h * w), 1, temperature=1.0, noise_scale=0.0)
        checks.append(compare(f"maxvals, {name}", p.max(-1).reshape(batch, joints, 1), data["out/maxvals"], atol=ATOL))
        grid = p.reshape(batch, joints, h, w)
        checks.append(compare(f"hm_x, {name}", grid.sum(2), data["out/hm_x"], atol=ATOL))
        checks.append(compare(f"hm_y, {name}", grid.sum(3), data["out/hm_y"], atol=ATOL))
    return checks


HANDLERS = [
    ("d3dp/samax_head2d_*.npz", _head),
    ("d3dp/samax_headface_*.npz", _head),
    ("d3dp/samax_decode_2d*.npz", _decode),
    ("d3dp/samax_decode_face.npz", _decode),
]
