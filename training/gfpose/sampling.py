"""Samples of a task by one of three samplers: the published predictor-corrector, the exact flow in few steps, or an adaptive ODE solver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pose_rt.diffusion.sde import Sde
from pose_rt.diffusion.sde_samplers import Known, flow_solver, flow_velocity, imputed, mean_and_std, predictor_corrector, prior
from pose_rt.errors import InputError, UsageError
from pose_rt.models.gfpose import score_function

from .config import TrainConfig
from .tasks import start_and_mask


@dataclass(frozen=True)
class Sampler:
    """How a task is sampled.

    Attributes:
        kind: "published" (Euler-Maruyama in `steps`; with `pflow` without its noise), "flow" (the exact flow by DPM-Solver++ in `steps`),
            "ode" (the exact flow by Dormand-Prince with `tolerance`).
        start: time at which the flow starts from noise.
    """

    kind: str = "published"
    steps: int = 1000
    pflow: bool = False
    tolerance: float = 1e-4
    start: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("published", "flow", "ode"):
            raise UsageError(f"sampler is {self.kind!r}, wanted published, flow or ode")
        if self.steps < 1 or not 0 < self.start <= 1:
            raise UsageError(f"got {self.steps} steps from time {self.start:g}, wanted at least 1 and a time in (0, 1]")


@torch.no_grad()
def sample(
    network: nn.Module,
    config: TrainConfig,
    task: str,
    condition: Tensor,
    sampler: Sampler,
    generator: torch.Generator,
    *,
    missing: Sequence[Sequence[int]] = (),
    noisy: Tensor | None = None,
    time: float = 0.05,
    noise_level: float = 0.0,
    trajectory: list[Tensor] | None = None,
) -> Tensor:
    """Poses (B, 17, 3) in the data's unit.

    Args:
        network: in eval mode, on the device of `condition`.
        condition: (B, 17, 3) in the data's unit; see `start_and_mask`.
        generator: of all draws, on the CPU.
        missing: of each pose, for comp2d and comp3d.
        noisy: (B, 17, 3), for den.
        time: den, published: the horizon from which it runs.
        noise_level: den, exact: standard deviation of the noise in the data's unit; 0 = it begins at `time`.
        trajectory: gets the state after each step (published and flow), in the data's unit.

    Raises:
        UsageError: a time outside (0, 1].
        InputError: a condition that is not finite.
    """
    if not 0 < time <= 1:
        raise UsageError(f"t is {time:g}, wanted more than 0 and at most 1", "the paper denoises from --t 0.05")
    if not torch.isfinite(condition).all() or (noisy is not None and not torch.isfinite(noisy).all()):
        raise InputError("the poses hold values that are not finite", "take them out of the data")
    scale, device = config.data_scale, condition.device

    def draw() -> Tensor:
        return torch.randn(condition.shape, generator=generator).to(device)

    sde = config.diffusion(sampler.steps if sampler.kind == "published" else 1000, time if task == "den" else 1.0)
    dirty = None if noisy is None else noisy * scale
    start, given, mask = start_and_mask(task, condition * scale, prior(sde, draw()), missing=missing, noisy=dirty)
    score = score_function(network, sde, given, mask)
    known = Known(given, mask) if task in ("comp2d", "comp3d") else None
    states: list[Tensor] | None = None if trajectory is None else []
    if sampler.kind == "published":
        result: Tensor = predictor_corrector(
            sde, score, start, draw, flow="published" if sampler.pflow else "none", known=known, trajectory=states
        )
    else:
        result = _exact(sde, score, start, sampler, known, dirty, noise_level * scale, states)
    if trajectory is not None and states is not None:
        trajectory += [state / scale for state in states]
    return result / scale


def _exact(
    sde: Sde, score: Callable[[Tensor, Tensor], Tensor], start: Tensor, sampler: Sampler, known: Known | None, noisy: Tensor | None,
    noise_level: float, states: list[Tensor] | None,
) -> Tensor:  # fmt: skip
    """The flow from noise, or from a noisy pose at the time whose share of noise it has."""
    begin = sampler.start
    if known is not None:
        score = imputed(sde, score, known)
        start = start * (1.0 - known.mask)  # the published start has the clean condition in it; here known coordinates start as noise
    if noisy is not None:
        begin = time_of_noise(sde, noise_level) if noise_level > 0 else sde.horizon
        start = noisy * mean_and_std(sde, begin)[0]

    def watched(x: Tensor, t: Tensor) -> Tensor:
        if states is not None:
            states.append(x.clone())
        return score(x, t)

    if sampler.kind == "flow":
        result: Tensor = flow_solver(sde, watched, start, sampler.steps, start_time=begin)
        if states is not None:
            states.append(result)
        return result
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise UsageError("--ode needs the package torchdiffeq", "pip install 'pose-rt[train]'") from error
    velocity = flow_velocity(sde, watched)  # the solver steps past the end and looks back, and before eps there is no score
    times = torch.tensor([begin, sde.eps], dtype=torch.float64)
    ends: Tensor = odeint(
        lambda t, x: velocity(max(float(t), sde.eps), x.float()).double(),
        start.double(),
        times,
        rtol=sampler.tolerance,
        atol=sampler.tolerance,
        method="dopri5",
    )
    return ends[-1].to(start.dtype) / mean_and_std(sde, sde.eps)[0]


def time_of_noise(sde: Sde, noise: float) -> float:
    """The time at which there is so much noise for one unit of signal."""
    low, high = sde.eps, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        a, s = mean_and_std(sde, middle)
        low, high = (middle, high) if s / a < noise else (low, middle)
    return (low + high) / 2
