"""MAS motion model -> ONNX, one denoising step: ``python -m exporters mas --checkpoint FILE --out motion.onnx``.

Inputs `x` (N, J, 2, T) float32 noisy normalised motion, `t` (N,) int64 diffusion steps, `lengths` (N,) int64 frames; output
`prediction` (N, J, 2, T) float32; N and T are free up to the longest motion of the training; opset 17; metadata entry `pose_rt` as
JSON: data set, skeleton, rate, camera, schedule, mean and standard deviation, so that the file alone is enough to sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pose_rt.models.mas import MDM
from training.mas.load import Trained, load_motion_model, metadata

from . import torch_export

_INPUTS = ("x", "t", "lengths")
_TOLERANCE, _HALF_TOLERANCE = 2e-4, 5e-2


class Step(nn.Module):
    """The network with the positional table that it needs and no more, its attention written out.

    torch's own attention keeps the number of frames of the traced input in the graph.
    """

    def __init__(self, network: MDM, rows: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("rows", network.sequence_pos_encoder.pe[:rows].clone())

    def forward(self, x: Tensor, t: Tensor, lengths: Tensor) -> Tensor:
        net, rows = self.network, self.get_buffer("rows")
        time = net.embed_timestep.time_embed(rows[t, 0])[None]
        frames = net.input_process(x, time if net.config.arch == "gru" else None)
        token = net.config.arch == "trans_enc" or (net.config.arch == "trans_dec" and net.config.emb_trans_dec)
        hidden = torch.cat([time, frames]) if token else frames
        hidden = hidden + rows[: hidden.shape[0]]
        if net.config.arch == "gru":
            hidden = net.gru(hidden)[0]
        else:
            hidden, memory = hidden.transpose(0, 1), time.transpose(0, 1)
            visible = torch.arange(hidden.shape[1])[None] < lengths[:, None] + int(token)
            every = visible if net.config.arch == "trans_enc" or net.config.mask_padding else torch.ones_like(visible)
            for layer in (net.seqTransEncoder if net.config.arch == "trans_enc" else net.seqTransDecoder).layers:
                hidden = _layer(layer, hidden, memory, every)
            hidden = hidden.transpose(0, 1)
        out: Tensor = net.output_process(hidden[1:] if token else hidden)
        if net.config.arch == "gru":  # what comes after a sample's length is nothing; and the graph keeps its input
            out = out * (torch.arange(x.shape[-1])[None] < lengths[:, None])[:, None, None]
        return out


def _layer(layer: Any, x: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
    """One post-norm layer of the encoder or decoder over (B, T, D); `visible` (B, T) are the keys that count."""
    x = layer.norm1(x + _attend(layer.self_attn, x, x, visible))
    if hasattr(layer, "multihead_attn"):
        x = layer.norm2(x + _attend(layer.multihead_attn, x, memory, None))
    last = layer.norm3 if hasattr(layer, "multihead_attn") else layer.norm2
    out: Tensor = last(x + layer.linear2(layer.activation(layer.linear1(x))))
    return out


def _attend(attention: nn.MultiheadAttention, x: Tensor, memory: Tensor, visible: Tensor | None) -> Tensor:
    """``softmax(q k^T / sqrt(d)) v`` of (B, T, D) on (B, S, D)."""
    heads, d = attention.num_heads, attention.head_dim
    wq, wk, wv = attention.in_proj_weight.chunk(3)
    bq, bk, bv = attention.in_proj_bias.chunk(3)

    def split(y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return nn.functional.linear(y, weight, bias).unflatten(-1, (heads, d)).transpose(1, 2)

    scores = split(x, wq, bq) * d**-0.5 @ split(memory, wk, bk).transpose(-1, -2)
    if visible is not None:
        scores = scores.masked_fill(~visible[:, None, None], -1e9)
    out: Tensor = attention.out_proj((scores.softmax(-1) @ split(memory, wv, bv)).transpose(1, 2).flatten(2))
    return out


def job_of(trained: Trained) -> torch_export.Export:
    """What `torch_export.export` needs of a motion model."""
    about = metadata(trained)
    joints, longest, steps = trained.spec.joints, about["longest"], about["steps"]

    def trial(seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        count, frames = ((2, min(16, longest)), (1, 1), (3, longest), (7, max(longest // 2, 1)))[seed]
        lengths = rng.integers(1, frames + 1, count)
        lengths[0] = frames
        x = rng.standard_normal((count, joints, 2, frames), np.float32)
        return {"x": x, "t": rng.integers(0, steps, count), "lengths": lengths}

    # Both the time steps and the frames look their rows up in the table.
    flat = Step(trained.network, max(steps, longest + 1)).eval()
    free = {0: "N", 3: "T"}
    return torch_export.Export(
        trained.network, _INPUTS, "prediction", {"x": free, "t": {0: "N"}, "lengths": {0: "N"}, "prediction": free}, about, trial,
        "1", 1.0, _TOLERANCE, _HALF_TOLERANCE, 1024, flat,
    )  # fmt: skip


def main(argv: list[str]) -> int:
    """The command line; returns the exit status."""
    options = torch_export.arguments("mas", "MAS motion model -> ONNX, one denoising step").parse_args(argv)
    return torch_export.command(options, lambda: job_of(load_motion_model(options.checkpoint)))
