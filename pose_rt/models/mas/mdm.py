"""MDM, the motion diffusion model of MAS: the clean 2D motion from a noisy one (Tevet et al. 2023; Kapon et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .layers import InputProcess, OutputProcess, PositionalEncoding, TimestepEmbedder, decoder, encoder, padding_mask

Arch = Literal["trans_enc", "trans_dec", "gru"]
Cond = Literal["no_cond", "text", "action"]
TEXT_FEATURES = 512


@dataclass(frozen=True)
class MDMConfig:
    """Sizes of the network; the defaults are the published ones.

    Attributes:
        joints, dims: of a pose.
        arch: trans_enc, trans_dec or gru.
        emb_trans_dec: trans_dec only: the time token is also the first target position.
        over_time: gru only: the recurrence runs over the frames of a sample. Off, it runs over the batch, as published.
        mask_padding: trans_dec only: frames after a sample's length are not attended to. Off, they are, as published.
    """

    joints: int = 16
    dims: int = 2
    latent_dim: int = 512
    ff_size: int = 1024
    layers: int = 8
    num_heads: int = 4
    dropout: float = 0.1
    activation: str = "gelu"
    arch: Arch = "trans_enc"
    emb_trans_dec: bool = False
    cond: Cond = "no_cond"
    num_actions: int = 1
    cond_mask_prob: float = 0.1
    over_time: bool = True
    mask_padding: bool = True


class EmbedAction(nn.Module):
    """Row `action[:, 0]` of a learnt table (A, D)."""

    def __init__(self, actions: int, width: int) -> None:
        super().__init__()
        self.action_embedding = nn.Parameter(torch.randn(actions, width))

    def forward(self, action: Tensor) -> Tensor:
        return self.action_embedding[action[:, 0].long()]


class MDM(nn.Module):
    """The network; tensors are named as in the published checkpoints.

    Raises:
        ValueError: an unknown architecture or condition.
    """

    def __init__(self, config: MDMConfig) -> None:
        super().__init__()
        if config.arch not in ("trans_enc", "trans_dec", "gru"):
            raise ValueError(f"arch: got {config.arch!r}, wanted trans_enc, trans_dec or gru")
        if config.cond not in ("no_cond", "text", "action"):
            raise ValueError(f"cond: got {config.cond!r}, wanted no_cond, text or action")
        self.config = config
        c, width = config, config.latent_dim
        sizes = (width, c.num_heads, c.ff_size, c.layers, c.dropout, c.activation)
        self.input_process = InputProcess(c.joints * c.dims, width, extra=width if c.arch == "gru" else 0)
        self.sequence_pos_encoder = PositionalEncoding(width, c.dropout)
        if c.arch == "trans_enc":
            self.seqTransEncoder = encoder(*sizes)
        elif c.arch == "trans_dec":
            self.seqTransDecoder = decoder(*sizes)
        else:
            self.gru = nn.GRU(width, width, c.layers, batch_first=not c.over_time)
        self.embed_timestep = TimestepEmbedder(width, self.sequence_pos_encoder)
        if c.cond == "text":
            self.embed_text = nn.Linear(TEXT_FEATURES, width)
        if c.cond == "action":
            self.embed_action = EmbedAction(c.num_actions, width)
        self.output_process = OutputProcess(c.joints, c.dims, width)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        lengths: Tensor | None = None,
        condition: Tensor | None = None,
        *,
        uncond: bool = False,
        keep: Tensor | None = None,
    ) -> Tensor:
        """Predict.

        Args:
            x: (B, J, C, T) noisy motion, normalised.
            t: (B,) diffusion steps.
            lengths: (B,) frames of each sample; default all.
            condition: actions (B, 1) or CLIP text features (B, 512), where the network has one.
            uncond: leave the condition out.
            keep: (B,) bool, whose condition is kept in training; default by `cond_mask_prob`.

        Returns:
            (B, J, C, T) prediction: the clean motion, or the noise, as it was trained.
        """
        frames = x.shape[-1]
        embedding = self.embed_timestep(t) + self._condition(condition, uncond, keep, x)
        if lengths is None:
            lengths = torch.full((len(x),), frames, device=x.device)
        body = {"trans_enc": self._encoder, "trans_dec": self._decoder, "gru": self._gru}[self.config.arch]
        out: Tensor = self.output_process(body(x, embedding, lengths))
        return out

    def _encoder(self, x: Tensor, embedding: Tensor, lengths: Tensor) -> Tensor:
        sequence = self.sequence_pos_encoder(torch.cat([embedding, self.input_process(x)]))
        hidden: Tensor = self.seqTransEncoder(sequence, src_key_padding_mask=padding_mask(lengths + 1, sequence.shape[0]))
        return hidden[1:]

    def _decoder(self, x: Tensor, embedding: Tensor, lengths: Tensor) -> Tensor:
        token = int(self.config.emb_trans_dec)
        frames = self.input_process(x)
        sequence = self.sequence_pos_encoder(torch.cat([embedding, frames]) if token else frames)
        mask = padding_mask(lengths + token, sequence.shape[0]) if self.config.mask_padding else None
        hidden: Tensor = self.seqTransDecoder(sequence, embedding, tgt_key_padding_mask=mask)
        return hidden[token:]

    def _gru(self, x: Tensor, embedding: Tensor, lengths: Tensor) -> Tensor:
        hidden: Tensor = self.gru(self.sequence_pos_encoder(self.input_process(x, embedding)))[0]
        return hidden

    def _condition(self, condition: Tensor | None, uncond: bool, keep: Tensor | None, x: Tensor) -> Tensor:
        """(1, B, D), or a zero without a condition."""
        c = self.config
        if c.cond == "no_cond":
            return x.new_zeros(1, 1, 1)
        if condition is None:
            raise ValueError(f"condition: got none, wanted what a network conditioned on {c.cond} needs")
        embedded: Tensor = self.embed_text(condition) if c.cond == "text" else self.embed_action(condition)
        if uncond:
            embedded = torch.zeros_like(embedded)
        elif self.training:
            if keep is None:
                keep = torch.rand(len(x), device=x.device) >= c.cond_mask_prob
            embedded = embedded * keep[:, None].to(embedded)
        return embedded[None]


def guided(network: MDM, condition: Tensor, scale: Tensor) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """Classifier-free guidance ``u + s (c - u)`` of the predictions with (c) and without (u) the condition; scale s (B,)."""

    def predict(x: Tensor, t: Tensor, lengths: Tensor | None = None) -> Tensor:
        without: Tensor = network(x, t, lengths, condition, uncond=True)
        factor = scale.to(x).reshape(-1, 1, 1, 1)
        return without + factor * (network(x, t, lengths, condition) - without)

    return predict
