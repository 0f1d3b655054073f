"""The score network of GFPose (Ci et al., "GFPose: Learning 3D Human Pose Prior with Gradient Fields", CVPR 2023).

One pose at a time: fully connected, time and condition are added inside every block. State-dict keys are the published ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pose_rt.core.skeleton import H36M17
from pose_rt.diffusion.sde import Sde

BODY_PARTS = ((1, 2, 3), (4, 5, 6), (11, 12, 13), (14, 15, 16), (0, 7, 8, 9, 10))
"""Right leg, left leg, left arm, right arm, trunk and head: what part masking hides at once."""

_GROUPS = 32
_SIGMA_RANGE = (50.0, 0.01)
_LABELS = 1000

Bernoulli = Callable[[tuple[int, ...]], Tensor]
"""Draws zeros and ones of a shape, 1 = hidden."""


class GaussianFourier(nn.Module):
    """Frozen random frequencies of ``log(label)``."""

    def __init__(self, width: int, scale: float = 30.0) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(width // 2) * scale, requires_grad=False)

    def forward(self, label: Tensor) -> Tensor:
        angle = torch.log(label)[:, None] * self.W[None] * 2 * math.pi
        return torch.cat([angle.sin(), angle.cos()], -1)


def positional_embedding(label: Tensor, width: int) -> Tensor:
    """``[sin(label w_k), cos(label w_k)]``, ``w_k = 10000^(-k / (width // 2 - 1))``, zero padded to an odd width: (B,) -> (B, width)."""
    half = width // 2
    frequency = torch.exp(torch.arange(half, dtype=torch.float32, device=label.device) * -(math.log(10000.0) / (half - 1)))
    angle = label.float()[:, None] * frequency[None]
    return F.pad(torch.cat([angle.sin(), angle.cos()], -1), (0, width % 2))


class ScoreNetwork(nn.Module):
    """Noise (VP, sub-VP) or score (VE) of a noisy pose, given a condition that may be partly hidden.

    Args:
        hidden: width, a multiple of 32 with at least 4 channels a group.
        embed: width of the time embedding.
        blocks: residual blocks.
        embedding: "positional" or "fourier".
        scale_by_sigma: divide the output by the sigma that belongs to the label.
        dropout: in training.
        hide_pose, hide_part, hide_joint: rates at which training hides the whole condition, body parts, joints.
        second_input: the network also gets `second` of `answer`; the published one has no such input.

    Raises:
        ValueError: a width that the normalisation cannot group, or an unknown embedding.
    """

    def __init__(
        self,
        hidden: int = 1024,
        embed: int = 512,
        blocks: int = 2,
        *,
        embedding: str = "positional",
        scale_by_sigma: bool = False,
        dropout: float = 0.25,
        hide_pose: float = 0.1,
        hide_part: float = 0.1,
        hide_joint: float = 0.1,
        second_input: bool = False,
    ) -> None:
        super().__init__()
        if hidden % _GROUPS or hidden < 2 * _GROUPS:
            raise ValueError(
                f"hidden: got {hidden}, wanted a multiple of {_GROUPS} from {2 * _GROUPS} on (a group of one channel is constant)"
            )
        if embedding not in ("positional", "fourier"):
            raise ValueError(f"embedding: got {embedding!r}, wanted positional or fourier")
        size = H36M17.num_joints * 3
        self.hidden, self.embed, self.blocks, self.embedding = hidden, embed, blocks, embedding
        self.scale_by_sigma, self.dropout, self.second_input = scale_by_sigma, dropout, second_input
        self.hide_rates = (hide_pose, hide_part, hide_joint)
        self.pre_dense = nn.Linear(size, hidden)
        self.pre_dense_t = nn.Linear(embed, hidden)
        self.pre_dense_cond = nn.Linear(hidden, hidden)
        self.pre_gnorm = nn.GroupNorm(_GROUPS, hidden)
        if embedding == "fourier":
            self.gauss_proj = GaussianFourier(embed)
        self.shared_time_embed = nn.Sequential(nn.Linear(embed, embed), nn.SiLU())
        self.cond_embed = nn.Sequential(nn.Linear(size * (2 if second_input else 1), hidden), nn.SiLU())
        for block in range(1, blocks + 1):
            for n in (1, 2):
                self.add_module(f"b{block}_dense{n}", nn.Linear(hidden, hidden))
                self.add_module(f"b{block}_dense{n}_t", nn.Linear(embed, hidden))
                self.add_module(f"b{block}_dense{n}_cond", nn.Linear(hidden, hidden))
                self.add_module(f"b{block}_gnorm{n}", nn.GroupNorm(_GROUPS, hidden))
        self.post_dense = nn.Linear(hidden, size)
        low, high = math.log(_SIGMA_RANGE[0]), math.log(_SIGMA_RANGE[1])
        self.register_buffer("sigmas", torch.exp(torch.linspace(low, high, _LABELS, dtype=torch.float64)))
        parts = torch.zeros(len(BODY_PARTS), H36M17.num_joints)
        for row, joints in enumerate(BODY_PARTS):
            parts[row, list(joints)] = 1.0
        self.register_buffer("_parts", parts, persistent=False)

    def forward(self, x: Tensor, label: Tensor, condition: Tensor, mask: Tensor | None = None, hide: Bernoulli | None = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: (B, 17, 3) noisy pose in the network's units.
            label: (B,) from `Sde.label`.
            condition: (B, 17, 3); all z of a sample zero = it is a 2D condition.
            mask: (B, 17, 3), 1 = that coordinate of the condition counts; used in evaluation only.
            hide: draws the three masks of training, in the order pose (B,), parts (B, 5), joints (B, 17, 1); None: by the rates.

        Returns:
            (B, 17, 3).

        Raises:
            ValueError: a condition of another shape.
        """
        if condition.shape != x.shape:
            raise ValueError(f"condition: got {tuple(condition.shape)}, wanted {tuple(x.shape)} (a 2D condition has z = 0)")
        known = self.known(condition, mask, hide)
        return self.answer(x, label, self.residual(x, condition) * known)

    def answer(self, x: Tensor, label: Tensor, first: Tensor, second: Tensor | None = None) -> Tensor:
        """The layers themselves, given x and what is known of it, one or two arrays of its shape: (B, 17, 3)."""
        time = self.shared_time_embed(self._embed(label))
        k = self.cond_embed((first if second is None else torch.cat([first, second], 1)).flatten(1))
        h = self.pre_dense(x.flatten(1)) + self.pre_dense_t(time) + self.pre_dense_cond(k)
        h = self._activate(self.pre_gnorm(h))
        for block in range(1, self.blocks + 1):
            inner = h
            for n in (1, 2):
                dense, dense_t, dense_cond, norm = (
                    self.get_submodule(f"b{block}_{name}") for name in (f"dense{n}", f"dense{n}_t", f"dense{n}_cond", f"gnorm{n}")
                )
                inner = self._activate(norm(dense(inner) + dense_t(time) + dense_cond(k)))
            h = h + inner
        out = self.post_dense(h).reshape(x.shape)
        if self.scale_by_sigma:
            sigma = label if self.embedding == "fourier" else self.get_buffer("sigmas")[label.long()]
            out = out / sigma.reshape(-1, 1, 1)
        return out.to(x.dtype)

    @staticmethod
    def residual(x: Tensor, condition: Tensor) -> Tensor:
        """``x - condition``, without z where the condition is a 2D one: (B, 17, 3)."""
        difference = x - condition
        return torch.cat([difference[..., :2], difference[..., 2:] * has_depth(condition)], -1)

    def known(self, condition: Tensor, mask: Tensor | None, hide: Bernoulli | None) -> Tensor:
        """1 where the condition counts: in training whatever the draws leave, in evaluation the mask: (B, 17, 3)."""
        if self.training:
            return self._hide(condition, hide)
        return torch.ones_like(condition) if mask is None else mask

    def ema_names(self) -> list[str]:
        """Trainable parameters in the order in which a published checkpoint lists their averages."""
        return [name for name, parameter in self.named_parameters() if parameter.requires_grad]

    def _embed(self, label: Tensor) -> Tensor:
        if self.embedding == "fourier":
            embedded: Tensor = self.gauss_proj(label)
            return embedded
        return positional_embedding(label, self.embed)

    def _activate(self, h: Tensor) -> Tensor:
        return F.dropout(F.silu(h), self.dropout, self.training)

    def _hide(self, condition: Tensor, draw: Bernoulli | None) -> Tensor:
        """What is left when the whole pose, parts and joints are hidden at the three rates: (B, 17, 3)."""
        count = len(condition)
        shapes: Sequence[tuple[int, ...]] = ((count,), (count, len(BODY_PARTS)), (count, condition.shape[1], 1))
        pose, part, joint = (
            draw(shape) if draw is not None else torch.bernoulli(condition.new_full(shape, rate))
            for shape, rate in zip(shapes, self.hide_rates, strict=True)
        )
        in_hidden_part = (part @ self.get_buffer("_parts")).clamp(max=1.0)
        return torch.ones_like(condition) * (1.0 - pose)[:, None, None] * (1.0 - in_hidden_part)[..., None] * (1.0 - joint)


def has_depth(condition: Tensor) -> Tensor:
    """1 for samples whose condition is a 3D one, that is has a z other than 0: (B, 17, 3) -> (B, 1, 1)."""
    return (condition[..., 2].abs().sum(1) > 0).to(condition.dtype)[:, None, None]


def score_function(network: nn.Module, sde: Sde, condition: Tensor, mask: Tensor | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    """``score(x, t)`` for the samplers, with the condition and its mask bound.

    A network that prepares what it is given (`Preconditioned.given`) does so once.
    """
    given: Callable[[Tensor, Tensor | None], Callable[[Tensor, Tensor], Tensor]] | None = getattr(network, "given", None)
    answer = (lambda x, label: network(x, label, condition, mask)) if given is None else given(condition, mask)

    def score(x: Tensor, t: Tensor) -> Tensor:
        result: Tensor = sde.score(answer(x, sde.label(t)), t)
        return result

    return score
