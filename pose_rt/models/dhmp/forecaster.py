"""The whole DHMP forecast as one network: history -> condition -> latent codes -> decoder -> finished futures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .canonical import body_axes
from .config import DHMPConfig
from .cvae import CVAE
from .representation import Basis, MotionDCT, to_channels
from .sampler import DiverseSampling


def build_cvae(config: DHMPConfig) -> CVAE:
    """The stage-1 network of `config`."""
    return CVAE(config.nodes, config.dct_n, config.hidden, config.z)


def build_sampler(config: DHMPConfig) -> DiverseSampling:
    """The stage-2 network of `config`."""
    return DiverseSampling(config.nodes, config.dct_n, config.sampler_hidden, config.base_dim, config.bases, config.z)


class FinishStep(nn.Module):
    """Ties decoded futures to what was observed: continuity in time, and the person's own bone lengths.

    1. ``future_t = near_t + (decoded_t - near_t) (1 - exp(-(t / blend_frames)^blend_power))``, t = 1, 2, ...: right after the present
       the futures are the linear extension of the history, then the networks take over. A truncated DCT and a random code pass neither
       through the last pose nor at its velocity.
    2. Every bone keeps its direction and gets the mean length it had over the history.

    Args:
        parents: of the skeleton with its root at index 0 (parent -1).
        future: frames.
        blend_frames, blend_power: time constant and shape of the handover.
    """

    handover: Tensor
    bones: Tensor
    joints: Tensor
    spread: Tensor

    def __init__(self, parents: Sequence[int], future: int, blend_frames: float, blend_power: float) -> None:
        super().__init__()
        nodes = len(parents) - 1
        bones = torch.eye(nodes, dtype=torch.float64)
        for joint, parent in enumerate(parents):
            if parent > 0:
                bones[joint - 1, parent - 1] = -1.0
        time = torch.arange(1, future + 1, dtype=torch.float64)
        handover = 1.0 - torch.exp(-((time / blend_frames) ** blend_power))
        joints = torch.cat([torch.zeros(1, nodes, dtype=torch.float64), torch.linalg.inv(bones)])
        axes = torch.eye(3, dtype=torch.float64)
        self.future = future
        # Poses are rows of 3V numbers, so that each step over all futures and frames is one large matrix product.
        self.register_buffer("handover", handover.float(), persistent=False)
        self.register_buffer("bones", torch.kron(bones.T.contiguous(), axes).float(), persistent=False)
        self.register_buffer("joints", joints.T.contiguous().float(), persistent=False)
        self.register_buffer("spread", torch.kron(torch.eye(nodes), torch.ones(3, 3)).float(), persistent=False)

    def forward(self, motion: Tensor, near: Tensor, history: Tensor) -> Tensor:
        """Finished futures (B, K, T_pred, V, 3).

        Args:
            motion: (B, K, 3V, T) decoded motions.
            near: (B, 3V, T) linear extension of the history (`MotionDCT.near`).
            history: (B, T_his, V, 3) as observed.
        """
        base = near[..., -self.future :].unsqueeze(1)
        blended = base + (motion[..., -self.future :] - base) * self.handover
        rows = blended.transpose(2, 3).reshape(blended.shape[0], -1, blended.shape[2])
        finished = self.rigid(rows, history, None)[..., 3:]
        return finished.reshape(*blended.shape[:2], self.future, -1, 3)

    def rigid(self, poses: Tensor, history: Tensor, axes: Tensor | None) -> Tensor:
        """Every bone of the poses (B, n, 3V) at the length it had over the history, with the root in front: (B, n, 3(V + 1)).

        Args:
            history: (B, T_his, V, 3) as observed.
            axes: (B, 3, 3) that the result is turned by, or None.
        """
        bones = torch.matmul(poses, self.bones)
        measured = self._lengths(torch.matmul(history.flatten(2), self.bones)).mean(1, keepdim=True)
        turn = torch.eye(3).unsqueeze(0) if axes is None else axes
        # (v, a) -> (j, c): joint j is the sum of the bones v on its way to the root, each turned.
        back = (self.joints[:, None, :, None] * turn[:, None, :, None, :]).reshape(turn.shape[0], poses.shape[-1], -1)
        return torch.matmul(bones * (measured / self._lengths(bones)), back)

    def _lengths(self, bones: Tensor) -> Tensor:
        """The length of each bone at each of its three coordinates: (..., 3V) twice."""
        return (torch.matmul(bones * bones, self.spread) + 1e-12).sqrt()


class Forecaster(nn.Module):
    """History, Gumbel coefficients and noise in, futures out; what the exporter writes as one ONNX graph.

    Args:
        config: sizes.
        parents: of the skeleton with its root at index 0.
        cvae, sampler: trained networks; only the decoder of the CVAE is used.
        basis: what the networks were trained with.
    """

    def __init__(self, config: DHMPConfig, parents: Sequence[int], cvae: CVAE, sampler: DiverseSampling, basis: Basis | None) -> None:
        super().__init__()
        self.config = config
        self.cvae, self.sampler = cvae, sampler
        self.dct = MotionDCT(config.frames, config.dct_n, basis)
        self.finish = FinishStep(parents, config.future, config.blend_frames, config.blend_power) if config.finish else None

    def decode(self, history: Tensor, z: Tensor) -> Tensor:
        """Finished futures of latent codes `z` (N, K, z); shapes as in `forward`."""
        nodes, axes = self._observed(history)
        return self._finished(nodes, axes, self.dct.condition(to_channels(nodes)), z.reshape(-1, z.shape[-1]), z.shape[1])

    def forward(self, history: Tensor, weights: Tensor, eps: Tensor) -> Tensor:
        """Futures of N people.

        Args:
            history: (N, T_his, V + 1, 3) root-relative metres, the root (zeros) first.
            weights: (N, K, M) Gumbel-softmax coefficients.
            eps: (N, K, z) standard normal draws.

        Returns:
            (N, K, T_pred, V + 1, 3), the root (zeros) first.
        """
        nodes, axes = self._observed(history)
        condition = self.dct.condition(to_channels(nodes))
        z, _, _ = self.sampler(condition, weights, eps.reshape(-1, eps.shape[-1]))
        return self._finished(nodes, axes, condition, z, weights.shape[1])

    def _observed(self, history: Tensor) -> tuple[Tensor, Tensor | None]:
        """The nodes (N, T_his, V, 3) in the axes the networks work in, and those axes (N, 3, 3)."""
        nodes = history[:, :, 1:]
        if not self.config.canonical:
            return nodes, None
        axes = body_axes(nodes)
        return torch.matmul(nodes, axes.transpose(1, 2).unsqueeze(1)), axes

    def _finished(self, nodes: Tensor, axes: Tensor | None, condition: Tensor, z: Tensor, k: int) -> Tensor:
        people, nodes_n, _ = condition.shape
        decoded = self.cvae.inference_many(condition, z.reshape(people, k, -1)).reshape(people * k, 3 * nodes_n, self.config.dct_n)
        back = self.dct.inverse_matrix[:, self.config.history :].transpose(0, 1)
        if self.finish is None:
            poses = torch.matmul(back, decoded.transpose(1, 2)).reshape(people, -1, 3 * nodes_n)
            if axes is not None:
                poses = torch.matmul(poses.reshape(people, -1, 3), axes).reshape(poses.shape)
            futures = torch.cat([torch.zeros_like(poses[..., :3]), poses], dim=-1)
        else:
            # What `FinishStep.forward` does, with the handover folded into the inverse transform.
            share = self.finish.handover.unsqueeze(1)
            base = self.dct.near(to_channels(nodes))[..., self.config.history :].transpose(1, 2).unsqueeze(1) * (1 - share)
            blended = torch.matmul(back * share, decoded.transpose(1, 2)).reshape(people, k, self.config.future, 3 * nodes_n) + base
            futures = self.finish.rigid(blended.reshape(people, -1, 3 * nodes_n), nodes, axes)
        return futures.reshape(people, k, self.config.future, nodes_n + 1, 3)
