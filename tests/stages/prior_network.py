"""A pose prior without a network: the score of a mixture of Gaussians over whole poses, behind the backend contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pose_rt.diffusion.guess import Mixture, to_text
from tests.io.packets import BODY_M

SCALE = 30.0


def standing() -> Mixture:
    """People who stand as in `tests.io.packets`, turned by up to half a turn: eight Gaussians, network units."""
    rng = np.random.default_rng(0)
    means, covariances = [], []
    for k in range(8):
        poses = []
        for _ in range(200):
            angle = (k + rng.uniform(-0.5, 0.5)) * np.pi / 4
            turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
            poses.append((BODY_M * rng.uniform(0.9, 1.1)) @ turn.T + rng.normal(0, 0.02, (17, 3)))
        flat = SCALE * np.array(poses).reshape(200, -1)
        means.append(flat.mean(0))
        covariances.append(np.cov(flat.T) + 0.1 * np.eye(51))
    return Mixture(np.log(np.full(8, 1 / 8)), np.array(means), np.array(covariances))


class GaussianPrior:
    """``noise`` as a preconditioned network gives it whose answer is zero: the score of the first guess."""

    name = "gaussian prior"
    inputs = outputs = ()

    def __init__(self, **metadata: Any) -> None:
        self.metadata: dict[str, Any] = {
            "kind": "gfpose", "sde": "subvp", "data_scale": SCALE, "skeleton": "h36m17", "known_deviation": 0.03,
            "mixture": to_text(standing()), **metadata,
        }  # fmt: skip
        self.runs = self.closed = 0

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        from pose_rt.diffusion.sde import SubVpSde

        self.runs += 1
        a, s = SubVpSde().marginal(np.ones((len(feeds["x"]), 1, 1)), feeds["label"] / 999)
        s = s.reshape(-1, 1, 1)
        v = s**2 + (a * feeds["deviation"]) ** 2
        return {"noise": (s / v * (feeds["x"] - a * feeds["guess"])).astype(np.float32)}

    def close(self) -> None:
        self.closed += 1
