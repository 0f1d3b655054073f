"""How well hidden joints are guessed: error on joints hidden on purpose, for one network (quick) or several guessers (evaluate_cmu17)."""

from __future__ import annotations

import numpy as np
import torch

from pose_rt.diffusion.sde import Sde
from pose_rt.diffusion.sde_samplers import Known, flow_solver, imputed
from pose_rt.models.gfpose import Preconditioned, ScoreNetwork, score_function

START = 0.9
"""Time at which the flow is started: noise outweighs the poses there, and the score is known better than at 1."""

LEFT_LEG, RIGHT_LEG, LEFT_ARM = (5, 6), (2, 3), (12, 13)
PATTERNS: dict[str, tuple[int, ...] | int] = {
    "1 joint": 1, "2 joints": 2, "3 joints": 3, "one leg": (4, *LEFT_LEG), "both legs": (1, 2, 3, 4, 5, 6), "one arm": (11, *LEFT_ARM),
    "below the thorax": tuple(range(8)),
}  # fmt: skip
"""What is hidden: so many of the limbs' joints drawn for each pose, or these."""


def hidden_joints(rng: np.random.Generator, pattern: tuple[int, ...] | int, count: int) -> np.ndarray:
    """(count, 17) bool; a number draws from elbows, wrists, knees and ankles as the published evaluation does."""
    hidden = np.zeros((count, 17), bool)
    if isinstance(pattern, int):
        from .tasks import RANDOM_JOINTS

        for row in hidden:
            row[rng.choice(RANDOM_JOINTS, pattern, replace=False)] = True
    else:
        hidden[:, list(pattern)] = True
    return hidden


@torch.no_grad()
def completed(
    network: ScoreNetwork | Preconditioned,
    sde: Sde,
    scale: float,
    condition: np.ndarray,
    hidden: np.ndarray,
    *,
    hypotheses: int,
    steps: int,
    seed: int = 0,
) -> np.ndarray:
    """(H, B, 17, 3) samples of poses given their shown joints, by the exact flow in few steps; what is shown is imputed."""
    rng = torch.Generator().manual_seed(seed)
    shown = torch.from_numpy(np.repeat(~hidden[..., None], 3, -1)).float()
    given = torch.from_numpy(condition).float() * scale * shown
    score = imputed(sde, score_function(network, sde, given, shown), Known(given, shown))
    out = []
    for _ in range(hypotheses):
        start = torch.randn(given.shape, generator=rng)
        out.append(flow_solver(sde, score, start, steps, start_time=START).numpy() / scale)
    return np.stack(out)
