"""MAS vectors of the diffusion process, the cameras, the consistency block, 2D generation and whole runs of every method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pose_rt.core.motion_sets import MOTION_SETS
from pose_rt.core.rotations import axis_matrix
from pose_rt.diffusion import gaussian, gaussian_samplers
from pose_rt.diffusion.gaussian import Known, MeanType, Moments, Variance, make_betas, make_tables, space_steps
from pose_rt.diffusion.mas import Observation, Scene, Settings, generate2d, generate3d
from pose_rt.diffusion.multiview import AdamTriangulation, Views, circle
from tests.parity.check import Check
from tests.parity.gfpose import Vectors
from tests.parity.mas_models import motion_model

_TABLES = (
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "alphas_cumprod_next", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
    "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2",
)  # fmt: skip
_SPACED, _LOOKED_UP = ("cosine_tau_2", 100), ("cosine_tau_2", 10)
"""The schedule that the re-spacing vectors are made of, and the one at whose steps values are looked up."""


def _schedules(path: Path) -> list[Check]:
    v = Vectors(path)
    checks = []
    for name in v.cfg["schedules"]:
        for steps in v.cfg["steps"]:
            if f"out__{name}_{steps}_raw_betas" not in v.arrays:
                continue
            checks.append(v.check(f"{name}_{steps}_raw_betas", make_betas(name, steps)))
            tables = make_tables(name, steps)
            checks += [v.check(f"{name}_{steps}_{key}", getattr(tables, key)) for key in _TABLES]
    for spacing in v.cfg["respace"]:
        checks.append(v.check(f"respace_{spacing}_map", space_steps(_SPACED[1], spacing)))
        checks.append(v.check(f"respace_{spacing}_betas", make_tables(*_SPACED, spacing).betas))
    tables = make_tables(*_LOOKED_UP)
    x0, x, noise, t = (v.arrays["in__" + name] for name in ("x0", "xt", "noise", "t"))
    zero = np.zeros_like(x)
    return [
        *checks,
        v.check("q_sample", gaussian.q_sample(tables, x0, t, noise)),
        v.check("post_mean", gaussian.posterior_mean(tables, x0, x, t)),
        v.check("post_var", gaussian.at(tables.posterior_variance, t, x) + zero),
        v.check("post_logvar", gaussian.at(tables.posterior_log_variance_clipped, t, x) + zero),
        v.check("x0_from_eps", gaussian.clean_from_noise(tables, x, t, noise)),
        v.check("eps_from_x0", gaussian.noise_from_clean(tables, x, t, x0)),
    ]


@torch.no_grad()
def _diffusion_steps(path: Path) -> list[Check]:
    v = Vectors(path)
    network, tables = motion_model(v), make_tables(v.cfg["noise_schedule"], v.cfg["T"])
    x, lengths, t = v.input("x"), v.input("lengths"), v.arrays["in__t"]
    output = network(x, torch.from_numpy(t), lengths)
    checks: list[Check] = []
    kinds: tuple[tuple[MeanType, Variance], ...] = (("x_start", "small"), ("epsilon", "small"), ("x_start", "large"))
    for mean_type, variance in kinds:
        name = f"{mean_type}_{variance}"
        for clip in (True, False):
            m = gaussian.p_moments(tables, output, x, t, mean_type=mean_type, variance=variance, clip=clip)
            parts = {"mean": m.mean, "variance": m.variance, "log_variance": m.log_variance, "pred_xstart": m.clean}
            checks += [v.check(f"{name}_clip{int(clip)}_{key}", value) for key, value in parts.items()]
        m = gaussian.p_moments(tables, output, x, t, mean_type=mean_type, variance=variance, clip=False)
        noise = v.noise(name + "_ddim_eta05")
        checks += [
            v.check(name + "_p_sample", gaussian_samplers.ancestral_step(m, t, v.noise(name + "_p_sample"))),
            v.check(name + "_ddim_eta0", gaussian_samplers.ddim_step(tables, m.clean, x, t)),
            v.check(name + "_ddim_eta05", gaussian_samplers.ddim_step(tables, m.clean, x, t, noise, eta=0.5)),
            v.check(name + "_ddim_reverse", gaussian_samplers.ddim_reverse_step(tables, m.clean, x, t)),
        ]
    m = gaussian.p_moments(tables, output, x, t, clip=False, known=Known(v.input("inp_mask"), v.input("inp_motion")))

    def predict(noisy: torch.Tensor, step: int, clip: bool = False) -> Moments:
        out = network(noisy, torch.full((len(noisy),), step), lengths)
        return gaussian.p_moments(tables, out, noisy, step, clip=clip)

    rest = list(v.noise("p_loop_skip"))
    skipping = gaussian_samplers.ancestral_loop(
        tables, partial(predict, clip=True), x, rest, skip=len(tables) - len(rest), start=v.input("inp_motion")
    )
    return [
        *checks,
        v.check("inpaint_p_sample", gaussian_samplers.ancestral_step(m, t, v.noise("inpaint"))),
        v.check("p_loop", gaussian_samplers.ancestral_loop(tables, predict, x, list(v.noise("p_loop")))),
        v.check("p_loop_skip", skipping),
        v.check("ddim_loop", gaussian_samplers.ddim_loop(tables, predict, x)),
        v.check("plms_loop", gaussian_samplers.plms_loop(tables, predict, x)),
    ]


def _unscaled(v: Vectors, horizontal: np.ndarray, vertical: np.ndarray) -> Views:
    """Cameras whose picture is the plain ``xy / (z + d)``."""
    return Views(horizontal, vertical, v.cfg["distance"], v.cfg["distance"])


def _frames_first(seen: np.ndarray) -> np.ndarray:
    """(V, B, J, 2, T) -> (V, B, T, J, 2)."""
    return seen.transpose(0, 1, 4, 2, 3)


def _projection(path: Path) -> list[Check]:
    v = Vectors(path)
    motion, upstream = v.arrays["in__motion3d"], v.arrays["in__grad_out"].transpose(0, 1, 3, 4, 2)
    views = _unscaled(v, v.arrays["in__hor"], v.arrays["in__ver"])
    seen, rotation = _frames_first(views.perspective(motion)), views.rotation[:, None, None]
    checks = [v.check("rot", views.rotation), v.check("rotated", motion @ rotation), v.check("persp", seen)]
    # Orthographic pictures have the gradient of a camera at an infinite distance.
    far = Views(views.horizontal, views.vertical, 1e9, 1.0)
    checks += [v.check("axis_" + axis, axis_matrix(axis, views.horizontal[0])) for axis in "xyz"]
    return [
        *checks,
        v.check("persp_zdetached", seen),
        v.check("persp_zdetached_grad", views.depth_free_gradient(motion, upstream)),
        v.check("persp_grad", views.gradient(motion, upstream)),
        v.check("ortho", _frames_first(views.orthographic(motion))),
        v.check("ortho_grad", far.depth_free_gradient(motion, upstream)),
    ]


def _triangulate(path: Path) -> list[Check]:
    v = Vectors(path)
    spec = MOTION_SETS[v.cfg["dataset"]]
    truth = v.arrays["in__gt3d"]
    views = circle(v.cfg["num_views"], spec.vertical[0], spec.distance, spec.scale)
    target = views.perspective(truth) + v.arrays["in__view_noise"]
    block = AdamTriangulation(truth.shape, v.cfg["optimize_steps"])
    checks = [v.check("target", target), v.check("hor_angles", views.horizontal), v.check("motions_final", block(views, target))]
    checks.append(v.check("loss_curve_200", block.losses[:200]))
    checks.append(_counted(v, "first_call_iters", len(block.losses)))
    # Adam's moments carry over to a second call, whose target is the exact view of the motion enlarged by a tenth.
    second = views.perspective(truth * np.float32(1.1))
    snapshots: dict[int, np.ndarray | None] = {1: None, 2: None, 10: None, 50: None, 200: None}
    block.on_step = lambda count, motion: snapshots.__setitem__(count, motion) if count in snapshots else None
    checks.append(v.check("motions_second", block(views, second)))
    checks.append(v.check("second_loss_first20", block.losses[:20]))
    checks.append(_counted(v, "second_call_iters", len(block.losses)))
    return checks + [v.check(f"motions_after_{count}", motion) for count, motion in snapshots.items()]


def _counted(v: Vectors, name: str, got: int | list[int]) -> Check:
    """Counts of an early stop hang on rounding: a quarter more or less, and two."""
    want = np.asarray(v.arrays["out__" + name], np.float64)
    excess = np.abs(np.asarray(got) - want) - (0.25 * want + 2)
    return Check(name, max(float(excess.max()), 0.0), 0.0)


def _scene(v: Vectors, views: Views, shape: tuple[int, int, int, int]) -> Scene:
    """The run that a file describes, with the published network of its weights."""
    network, lengths = motion_model(v), v.input("lengths")

    @torch.no_grad()
    def denoise(x: np.ndarray, t: int) -> np.ndarray:
        repeated = lengths.repeat(len(x) // len(lengths))
        out: np.ndarray = network(torch.from_numpy(x), torch.full((len(x),), t), repeated).numpy()
        return out

    mean, std = (v.arrays["in__data_" + name].astype(np.float32)[..., None] for name in ("mean", "std"))
    return Scene(denoise, make_tables(v.cfg["noise_schedule"], v.cfg["T"]), views, mean, std, shape)


def _generate2d(path: Path) -> list[Check]:
    v = Vectors(path)
    first, noises = v.arrays["noise__x_T"], iter(v.arrays["noise__step"])
    count, joints, _, frames = first.shape
    scene = _scene(v, circle(2, 0.0, 7.0), (count, frames, joints, 3))
    trace: list[np.ndarray] = []
    settings = Settings(published=True)
    motions = generate2d(scene, settings, first, lambda: next(noises), observe=trace.append)
    k = scene.tables
    return [
        v.check("motions", motions),
        v.check("x_t_trace", np.stack(trace)),
        v.check("coef1", k.posterior_mean_coef1.astype(np.float32)),
        v.check("coef2", k.posterior_mean_coef2.astype(np.float32)),
        v.check("std", np.sqrt(k.posterior_variance).astype(np.float32)),
    ]


class Tape:
    """The recorded draws of a run, each kind from its own stack; those that the original throws away are not asked for."""

    def __init__(self, v: Vectors) -> None:
        names = [key[7:] for key in v.arrays if key.startswith("noise__") and not key.endswith("unused")]
        self._stacks = {name: iter(v.arrays["noise__" + name]) for name in names}
        self._annealed = "t_schedule_annealed" in names

    def volume(self) -> np.ndarray:
        return np.asarray(next(self._stacks["noise3d"]))

    def pictures(self) -> np.ndarray:
        return np.asarray(next(self._stacks["noise2d" if "noise2d" in self._stacks else "noise2d_used"]))

    def uniform(self) -> float:
        return float(next(self._stacks["angle_offset_u" if "angle_offset_u" in self._stacks else "hor_angle"]))

    def integer(self, low: int, high: int) -> int:
        if "prominent_index" in self._stacks:
            return int(next(self._stacks["prominent_index"]))
        value = int(next(self._stacks["t_schedule_annealed" if self._annealed else "t_schedule"]))
        assert low <= value < high, f"recorded draw {value} is outside [{low}, {high})"
        return value


def _run(path: Path) -> list[Check]:
    v = Vectors(path)
    spec = MOTION_SETS[v.cfg["dataset"]]
    views = circle(v.cfg["num_views"], spec.vertical[0], spec.distance, spec.scale)
    scene = _scene(v, views, v.arrays["out__motions_3d"].shape)
    settings = Settings(
        v.cfg["ablation"], solver="adam", inner_steps=v.cfg["optimize_steps"], published=True, iterations=v.cfg["dreamfusion_iters"]
    )
    seen: list[Observation] = []
    motion = generate3d(scene, settings, Tape(v), observe=seen.append)
    steps = [seen[i] for i in v.arrays["out__trace_steps"].tolist()]
    checks = [
        v.check("motions_3d", motion),
        v.check("schedule", [o.t for o in seen]),
        v.check("hor_angles", np.stack([o.views.horizontal for o in seen])),
        v.check("ver_angles", seen[-1].views.vertical),
        v.check("distance", int(spec.distance)),
        v.check("trace_motions_3d", np.stack([o.motion for o in steps])),
        v.check("trace_pred_x0_unnormalised", np.stack([o.seen for o in steps])),
        v.check("trace_x_t_before", np.stack([o.noisy for o in steps])),
        _counted(v, "inner_iters", [o.inner for o in seen]),
    ]
    if "out__view_weights" in v.arrays:
        checks.append(v.check("view_weights", seen[-1].weights))
    return checks


HANDLERS: list[tuple[str, Callable[[Path], list[Check]]]] = [
    ("gfmas/mas_schedules.npz", _schedules),
    ("gfmas/mas_diffusion_steps.npz", _diffusion_steps),
    ("gfmas/mas_projection.npz", _projection),
    ("gfmas/mas_triangulate.npz", _triangulate),
    ("gfmas/mas_generate2d.npz", _generate2d),
    ("gfmas/mas_run_*.npz", _run),
]
