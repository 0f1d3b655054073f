"""MAS: 3D motion by denoising several 2D views of it at once (Kapon et al., CVPR 2024, algorithm 1), and the paper's ablations.

NumPy only: the network is a function from noisy to clean 2D motions. Arrays are as in `multiview`: 3D (B, T, J, 3), views (V, B, J, 2, T).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np

from .gaussian import MeanType, Tables, clean_from_noise, q_sample
from .multiview import AdamTriangulation, Views, triangulate

Method = Literal[
    "mas", "dreamfusion", "dreamfusion_annealed", "no_3d_noise", "prominent_angle", "prominent_angle_no_3d_noise", "random_angles"
]
METHODS: tuple[str, ...] = get_args(Method)

Denoise = Callable[[np.ndarray, int], np.ndarray]
"""``denoise(x (N, J, 2, T), t) -> prediction`` of the network at its own diffusion step t; samples are view by view."""

PROMINENT = 1000.0
"""Weight of the prominent view against 1 of each other."""


class Draws(Protocol):
    """The random numbers of a run, in the order in which they are asked for."""

    def volume(self) -> np.ndarray:
        """(B, T, J, 3) standard normal."""
        ...

    def pictures(self) -> np.ndarray:
        """(V, B, J, 2, T) standard normal."""
        ...

    def uniform(self) -> float:
        """In [0, 1)."""
        ...

    def integer(self, low: int, high: int) -> int:
        """In [low, high)."""
        ...


class SeededDraws:
    """Every sample has its own stream, so that it is the same motion whatever is generated beside it."""

    def __init__(self, seed: int, samples: range, frames: int, joints: int, views: int) -> None:
        self._each = [np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, i)))) for i in samples]
        self._shared = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, 2**31))))
        self._frames, self._joints, self._views = frames, joints, views

    def volume(self) -> np.ndarray:
        return np.stack([g.standard_normal((self._frames, self._joints, 3), np.float32) for g in self._each])

    def pictures(self) -> np.ndarray:
        shape = (self._views, self._joints, 2, self._frames)
        return np.stack([g.standard_normal(shape, np.float32) for g in self._each], 1)

    def uniform(self) -> float:
        return float(self._shared.random())

    def integer(self, low: int, high: int) -> int:
        return int(self._shared.integers(low, high))


class Observation(NamedTuple):
    """One step of a run: diffusion step, cameras, what went into the network, what it saw there, and the motion made of it.

    `weights` are those of the views, (V,) float32 or None; `inner` counts Adam's iterations.
    """

    t: int
    views: Views
    noisy: np.ndarray
    seen: np.ndarray
    motion: np.ndarray
    weights: np.ndarray | None = None
    inner: int = 0


@dataclass(frozen=True)
class Settings:
    """How a run is done.

    Attributes:
        method: MAS or one of its ablations.
        mean_type: what the network predicts.
        solver: "solve" finds the motion that agrees best in closed form; "adam" descends to it as published.
        inner_steps: of Adam, at most.
        published: every deviation of the published code: step 0 is never evaluated, the cameras of dreamfusion turn by at most
            one radian, weights of views as a mean.
        iterations: of the dreamfusion methods.
        clip: bound on normalised clean samples that follow from a predicted noise, whose error the first steps magnify.
    """

    method: Method = "mas"
    mean_type: MeanType = "x_start"
    solver: Literal["solve", "adam"] = "solve"
    inner_steps: int = 1000
    published: bool = False
    iterations: int = 1000
    clip: float = 6.0


PUBLISHED = Settings(solver="adam", published=True)
"""The published formula."""


@dataclass(frozen=True)
class Scene:
    """What a run is about.

    Attributes:
        denoise: the network.
        tables: of its schedule, possibly respaced.
        views: the cameras.
        mean, std: (J, 2, 1) float32 of the data set.
        shape: (B, T, J, 3) of the motions.
    """

    denoise: Denoise
    tables: Tables
    views: Views
    mean: np.ndarray
    std: np.ndarray
    shape: tuple[int, int, int, int]


OnStep = Callable[[int, int], None]
Observe = Callable[[Observation], None]


def _predict(scene: Scene, settings: Settings, noisy: np.ndarray, t: int) -> np.ndarray:
    """Clean views (V, B, J, 2, T) in the data's unit from normalised noisy ones, all in one batch."""
    flat = noisy.reshape(-1, *noisy.shape[2:])
    out = scene.denoise(flat, int(scene.tables.steps[t]))
    if settings.mean_type == "epsilon":
        out = clean_from_noise(scene.tables, flat, t, out).clip(-settings.clip, settings.clip)
    return out.reshape(noisy.shape) * scene.std + scene.mean


def _backward(tables: Tables, t: int, clean: np.ndarray, noisy: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """``coef1 x0 + coef2 x_t + sqrt(posterior variance) n``."""
    first, second = np.float32(tables.posterior_mean_coef1[t]), np.float32(tables.posterior_mean_coef2[t])
    return first * clean + second * noisy + np.float32(np.sqrt(tables.posterior_variance[t])) * noise


def _steps(tables: Tables, settings: Settings) -> list[int]:
    return list(range(1 if settings.published else 0, len(tables)))[::-1]


class _Run:
    """The state that the methods share."""

    def __init__(self, scene: Scene, settings: Settings, draws: Draws, on_step: OnStep | None, observe: Observe | None) -> None:
        if len(scene.views) < 2 and not settings.method.startswith("dreamfusion"):
            raise ValueError(f"views: got {len(scene.views)}, wanted at least 2: one view does not tell the depth")
        self.scene, self.settings, self.draws = scene, settings, draws
        self._on_step, self._observe = on_step, observe
        self.adam = AdamTriangulation(scene.shape, settings.inner_steps)
        self.motion = self.adam.motion
        self.weights: np.ndarray | None = None

    def predict(self, noisy: np.ndarray, t: int) -> np.ndarray:
        return _predict(self.scene, self.settings, noisy, t)

    def normalised(self, motion: np.ndarray, views: Views) -> np.ndarray:
        return (views.perspective(motion) - self.scene.mean) / self.scene.std

    def agree(self, views: Views, seen: np.ndarray, start_from: np.ndarray, steps: int | None = None) -> np.ndarray:
        """The 3D motion that agrees with the views."""
        if self.settings.solver == "adam" or len(views) < 2:
            return self.adam(views, seen, self.weights, steps).copy()
        return triangulate(views, seen, start_from, self.weights)

    def step_noise(self, views: Views) -> np.ndarray:
        """Noise for every view: of one 3D noise, or independent."""
        if self.settings.method in ("no_3d_noise", "prominent_angle_no_3d_noise"):
            return self.draws.pictures()
        return views.orthographic(self.draws.volume())

    def backward(self, t: int, clean: np.ndarray, noisy: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return _backward(self.scene.tables, t, clean, noisy, noise)

    def report(self, done: int, total: int, t: int, views: Views, noisy: np.ndarray, seen: np.ndarray) -> None:
        if self._observe is not None:
            self._observe(Observation(t, views, noisy, seen, self.motion, self.weights, len(self.adam.losses)))
        if self._on_step is not None:
            self._on_step(done, total)


def generate3d(scene: Scene, settings: Settings, draws: Draws, on_step: OnStep | None = None, observe: Observe | None = None) -> np.ndarray:
    """Make 3D motions.

    Args:
        on_step: called with (done, total) after every step.
        observe: called with every step's arrays.

    Returns:
        (B, T, J, 3) float32 in the data's unit.

    Raises:
        ValueError: an unknown method, or one view.
    """
    if settings.method not in METHODS:
        raise ValueError(f"method: got {settings.method!r}, wanted one of {', '.join(METHODS)}")
    run = _Run(scene, settings, draws, on_step, observe)
    if settings.method.startswith("dreamfusion"):
        return _dreamfusion(run)
    if settings.method == "random_angles":
        return _random_angles(run)
    if settings.method.startswith("prominent_angle"):
        weights = np.ones(len(scene.views))
        weights[draws.integer(0, len(scene.views))] = PROMINENT
        run.weights = (weights / weights.sum()).astype(np.float32)
    return _mas(run)


def _mas(run: _Run) -> np.ndarray:
    """Algorithm 1."""
    views, steps = run.scene.views, _steps(run.scene.tables, run.settings)
    noisy = run.step_noise(views)
    for done, t in enumerate(steps, 1):
        seen = run.predict(noisy, t)
        run.motion = run.agree(views, seen, run.motion)
        run.report(done, len(steps), t, views, noisy, seen)
        if t > 0:
            noisy = run.backward(t, run.normalised(run.motion, views), noisy, run.step_noise(views))
    return run.motion


def _random_angles(run: _Run) -> np.ndarray:
    """All cameras turn together after every step, and what the new ones would have seen is made again from the beginning."""
    count, steps = len(run.scene.views), _steps(run.scene.tables, run.settings)

    def turned() -> Views:
        return run.scene.views.facing(run.draws.uniform() * 2 * np.pi - np.pi + 2 * np.pi * np.arange(count) / count)

    views, past = turned(), [run.draws.volume()]
    motions: list[np.ndarray] = []
    for done, t in enumerate(steps, 1):
        noisy = views.orthographic(past[0])
        for earlier, motion, noise in zip(steps, motions, past[1:], strict=False):
            noisy = run.backward(earlier, run.normalised(motion, views), noisy, views.orthographic(noise))
        seen = run.predict(noisy, t)
        run.motion = run.agree(views, seen, run.motion)
        run.report(done, len(steps), t, views, noisy, seen)
        motions.append(run.motion)
        past.append(run.draws.volume())
        views = turned()
    return run.motion


def _dreamfusion(run: _Run) -> np.ndarray:
    """One Adam step a time towards what the network makes of noised projections from random angles (score distillation)."""
    count, tables, iterations = len(run.scene.views), run.scene.tables, run.settings.iterations
    steps = len(tables)
    reach = 1.0 if run.settings.published else 2 * np.pi

    def draw(i: int) -> int:
        low = int(steps - 1 - i * steps / iterations) if run.settings.method == "dreamfusion_annealed" else 1
        return run.draws.integer(min(low, steps - 1), steps)

    schedule = [draw(i) for i in range(iterations)]
    for done, t in enumerate(schedule, 1):
        views = run.scene.views.facing(np.array([run.draws.uniform() for _ in range(count)]) * reach)
        noisy = q_sample(tables, run.normalised(run.motion, views), t, run.draws.pictures()).astype(np.float32)
        seen = run.predict(noisy, t)
        run.motion = run.adam(views, seen, None, steps=1).copy()
        run.report(done, iterations, t, views, noisy, seen)
    return run.motion


def generate2d(
    scene: Scene,
    settings: Settings,
    first: np.ndarray,
    noises: Callable[[], np.ndarray],
    on_step: OnStep | None = None,
    observe: Callable[[np.ndarray], None] | None = None,
) -> np.ndarray:
    """Ancestral sampling of 2D motions: (B, J, 2, T) in the data's unit, the last clean prediction.

    Args:
        scene: its views are not used.
        first: (B, J, 2, T) standard normal.
        noises: gives the noise of each step.
        observe: told the noisy motions after each step.
    """
    x, clean, steps = first[None], first[None], _steps(scene.tables, settings)
    for done, t in enumerate(steps, 1):
        clean = _predict(scene, settings, x, t)
        if t > 0:
            x = _backward(scene.tables, t, (clean - scene.mean) / scene.std, x, noises()[None])
        if observe is not None:
            observe(x[0])
        if on_step is not None:
            on_step(done, len(steps))
    return np.asarray(clean[0])
