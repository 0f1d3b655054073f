"""The variational autoencoder of 2D motions in whose latent space generated and real motions are compared (MAS, section on metrics)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .layers import InputProcess, OutputProcess, PositionalEncoding, decoder, encoder, padding_mask


@dataclass(frozen=True)
class EvaluatorConfig:
    """Sizes; the defaults are the published ones."""

    joints: int = 16
    dims: int = 2
    e_latent_dim: int = 256
    e_ff_size: int = 1024
    e_num_layers: int = 6
    e_num_heads: int = 4
    e_dropout: float = 0.1
    e_activation: str = "gelu"


class MotionEncoder(nn.Module):
    """(B, J, C, T) -> mean and log variance of the latent, each (B, D): what two learnt query tokens read."""

    def __init__(self, c: EvaluatorConfig) -> None:
        super().__init__()
        self.input_process = InputProcess(c.joints * c.dims, c.e_latent_dim)
        self.mu_query = nn.Parameter(torch.randn(c.e_latent_dim))
        self.sigma_query = nn.Parameter(torch.randn(c.e_latent_dim))
        self.sequence_pos_encoder = PositionalEncoding(c.e_latent_dim, c.e_dropout)
        self.seqTransEncoder = encoder(c.e_latent_dim, c.e_num_heads, c.e_ff_size, c.e_num_layers, c.e_dropout, c.e_activation)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        queries = torch.stack([self.mu_query, self.sigma_query])[:, None].expand(-1, len(x), -1)
        sequence = self.sequence_pos_encoder(torch.cat([queries, self.input_process(x)]))
        hidden = self.seqTransEncoder(sequence, src_key_padding_mask=padding_mask(lengths + 2, len(sequence)))
        return hidden[0], hidden[1]


class MotionDecoder(nn.Module):
    """A latent (B, D) -> (B, J, C, T) with T the longest of the lengths."""

    def __init__(self, c: EvaluatorConfig) -> None:
        super().__init__()
        self.sequence_pos_encoder = PositionalEncoding(c.e_latent_dim, c.e_dropout)
        self.seqTransDecoder = decoder(c.e_latent_dim, c.e_num_heads, c.e_ff_size, c.e_num_layers, c.e_dropout, c.e_activation)
        self.output_process = OutputProcess(c.joints, c.dims, c.e_latent_dim)

    def forward(self, latent: Tensor, lengths: Tensor) -> Tensor:
        frames = int(lengths.max())
        time = self.sequence_pos_encoder(latent.new_zeros(frames, *latent.shape))
        out: Tensor = self.output_process(self.seqTransDecoder(time, latent[None], tgt_key_padding_mask=padding_mask(lengths, frames)))
        return out


class Evaluator(nn.Module):
    """Encoder and decoder; tensors are named as in the published checkpoints."""

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = MotionEncoder(config)
        self.decoder = MotionDecoder(config)

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, D) of motions (B, J, C, T).

        Raises:
            ValueError: T is not the longest length.
        """
        if x.shape[-1] != int(lengths.max()):
            raise ValueError(f"x: got {x.shape[-1]} frames, wanted the longest of the lengths, {int(lengths.max())}")
        mean, log_variance = self.encoder(x, lengths)
        return mean, log_variance

    def reconstruct(self, x: Tensor, lengths: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction (B, J, C, T), mean and log variance, with latent ``mu + exp(logvar / 2) noise``."""
        mean, log_variance = self.encode(x, lengths)
        decoded: Tensor = self.decoder(mean + torch.exp(log_variance / 2) * noise, lengths)
        return decoded, mean, log_variance


KL_WEIGHT = 1e-5


def evaluator_loss(network: Evaluator, x: Tensor, lengths: Tensor, noise: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared error of the reconstruction plus 1e-5 times the KL divergence summed over batch and latent.

    Args:
        mask: (B, J, C, T) of what counts; None counts padding and unseen joints too, as published.
    """
    out, mean, log_variance = network.reconstruct(x, lengths, noise)
    squared = (out - x).square()
    error = squared.mean() if mask is None else (squared * mask).sum() / mask.sum().clamp(min=1)
    kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
    loss: Tensor = error + KL_WEIGHT * kl
    return loss
