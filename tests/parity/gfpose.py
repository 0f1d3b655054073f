"""GFPose vectors: data, metrics, diffusion tables, network, losses, training steps and every sampler and task."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose_rt.core.skeleton import H36M17
from pose_rt.diffusion.sde import Flow, Sde, SubVpSde, VeSde, VpSde, reverse, reverse_discretised
from pose_rt.diffusion.sde_samplers import Known, predictor_corrector, prior, time_grid
from pose_rt.models.gfpose import ScoreNetwork, positional_embedding, score_function
from tests.parity.check import Check
from training.common.ema import Ema
from training.gfpose import h36m
from training.gfpose.metrics import hypothesis_errors, image_to_camera, over_actions, procrustes, spread_xyz
from training.gfpose.objective import score_matching_loss
from training.gfpose.tasks import start_and_mask
from training.gfpose.trainer import make_optimizer, optimizer_step

SDES: dict[str, type[VpSde | SubVpSde | VeSde]] = {"vp": VpSde, "subvp": SubVpSde, "ve": VeSde}


class Vectors:
    """One file: settings, arrays by prefix, and the comparison with its tolerance."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as archive:
            self.arrays = {key: archive[key] for key in archive.files}
        self.cfg = {key[5:]: value.tolist() for key, value in self.arrays.items() if key.startswith("cfg__")}
        self.weights = {key: value for key, value in self.arrays.items() if key.split("__")[0] not in ("cfg", "in", "noise", "out")}

    def input(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays["in__" + name])

    def noise(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays["noise__" + name])

    def check(self, name: str, got: Any) -> Check:
        """``max |got - want| <= atol + rtol max |want|``, of whole arrays; whole numbers and names must be equal."""
        want = self.arrays["out__" + name]
        got = np.asarray(got.detach() if isinstance(got, torch.Tensor) else got)
        if got.shape != want.shape:
            raise ValueError(f"{name}: got shape {got.shape}, wanted {want.shape}")
        if want.dtype.kind not in "fc":
            return Check(name, float((got != want).sum()), 0.0)
        rtol = max(self.cfg["rtol"], 2e-6) if want.dtype == np.float32 else self.cfg["rtol"]
        largest = float(np.abs(want).max()) if want.size else 0.0
        return Check(name, float(np.abs(got.astype(np.float64) - want).max()) if want.size else 0.0, self.cfg["atol"] + rtol * largest)


def formula_weight(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Weights that a file names by their seed instead of storing them."""
    n = np.asarray(np.random.RandomState((zlib.crc32(key.encode()) + seed) % 2**32).standard_normal(shape))
    if len(shape) >= 2:
        return (n / np.sqrt(shape[-1])).astype(np.float32)
    return (0.1 * n + float(key.endswith("weight"))).astype(np.float32)


def fill_weights(network: torch.nn.Module, v: Vectors, keep: tuple[str, ...] = ("sigmas",)) -> None:
    """The file's weights, or those of its formula, under their names; `keep` and buffers `pe` stay as constructed."""
    state = {key: value for key, value in network.state_dict().items() if key not in keep and not key.endswith(".pe")}
    if "formula_seed" in v.cfg:
        new = {key: formula_weight(key, tuple(value.shape), v.cfg["formula_seed"]) for key, value in state.items()}
    else:
        new = {key: v.weights[key] for key in state}
    network.load_state_dict({key: torch.from_numpy(value) for key, value in new.items()}, strict=False)


def _network(v: Vectors, dropout: float = 0.25) -> ScoreNetwork:
    network = ScoreNetwork(
        v.cfg["hidden_dim"],
        v.cfg["embed_dim"],
        v.cfg["n_blocks"],
        embedding=v.cfg.get("embedding", "positional"),
        scale_by_sigma=v.cfg.get("scale_by_sigma", False),
        dropout=dropout,
    )
    fill_weights(network, v)
    return network.eval()


def _sde(path: Path) -> list[Check]:
    v = Vectors(path)
    x, score, t = v.input("x"), v.input("score"), v.input("t")
    checks = []
    for name, kind in SDES.items():
        sde = kind(steps=v.cfg["N"], horizon=v.cfg["T"])
        mean, std = sde.marginal(x, t)
        drift, diffusion = sde.forward(x, t)
        f, g = sde.discretised(x, t)
        parts = {"mean": mean, "std": std, "drift": drift, "diffusion": diffusion, "f": f, "G": g}
        flows: tuple[Flow, ...] = ("none", "published")
        for number, flow in enumerate(flows):
            drift, diffusion = reverse(sde, x, t, score, flow)
            f, g = reverse_discretised(sde, x, t, score, flow)
            diffusion = diffusion if flow == "none" else diffusion[:1]  # one zero for all samples
            parts |= {f"rev{number}_{key}": value for key, value in (("drift", drift), ("diffusion", diffusion), ("f", f), ("G", g))}
        checks += [v.check(f"{name}_{key}", value) for key, value in parts.items()]
    vp, ve = VpSde(steps=v.cfg["N"], horizon=v.cfg["T"]), VeSde(steps=v.cfg["N"], horizon=v.cfg["T"])
    return [
        *checks,
        v.check("vp_discrete_betas", vp.betas),
        v.check("vp_alphas_cumprod", np.cumprod(1.0 - vp.betas)),
        v.check("ve_discrete_sigmas", ve.sigmas),
        v.check("timesteps", time_grid(SubVpSde(steps=v.cfg["N"], horizon=v.cfg["T"]))),
    ]


def _embedding(path: Path) -> list[Check]:
    v = Vectors(path)
    widths = {"even": v.cfg["dim_even"], "odd": v.cfg["dim_odd"], "dim512": 512}
    return [v.check(name, positional_embedding(v.input("t"), width)) for name, width in widths.items()]


@torch.no_grad()
def _forward(path: Path) -> list[Check]:
    v = Vectors(path)
    network = _network(v)
    x, condition, mask, label, t = (v.input(name) for name in ("x", "cond", "mask", "label", "t"))
    got = {"nomask": network(x, label, condition), "mask": network(x, label, condition, mask)}
    got["zero_cond"] = network(x, label, condition, torch.zeros_like(mask))
    for name, kind in SDES.items():
        got[f"score_{name}"] = score_function(network, kind(), condition, mask)(x, t)
    return [v.check(name, value) for name, value in got.items() if "out__" + name in v.arrays]


def _draws(v: Vectors, names: str, index: int | None = None) -> Callable[[tuple[int, ...]], torch.Tensor]:
    masks = iter([v.noise(f"{names}mask_{part}") for part in ("pose", "part", "joint")])
    return lambda shape: (next(masks) if index is None else next(masks)[index]).reshape(shape)


def _loss(path: Path) -> list[Check]:
    v = Vectors(path)
    sde = SDES[v.cfg["sde"]]()
    checks = []
    for name in ("train_sum", "train_mean", "train_lw", "eval_sum"):
        network = _network(v, dropout=0.0).train(name != "eval_sum")
        loss = score_matching_loss(
            network,
            sde,
            v.input("batch"),
            v.input("cond"),
            v.noise(name + "_u"),
            v.noise(name + "_z"),
            hide=_draws(v, name + "_") if name != "eval_sum" else None,
            mean_over_joints=name == "train_mean",
            likelihood_weighting=name == "train_lw",
        )
        checks.append(v.check("loss_" + name, loss))
        if name == "train_sum":
            loss.backward()
            gradients = {key: p.grad for key, p in network.named_parameters() if p.grad is not None}
            total = np.sqrt(sum(float(g.double().square().sum()) for g in gradients.values()))
            checks.append(v.check("grad_norm_total", total))
            named = [key[10:] for key in v.arrays if key.startswith("out__grad_") and key != "out__grad_norm_total"]
            checks += [v.check("grad_" + key, gradients[key]) for key in named]
    return checks


def _train(path: Path) -> list[Check]:
    v = Vectors(path)
    network = _network(v, dropout=0.0).train()
    optimizer, ema = make_optimizer(network, v.cfg["lr"]), Ema(network, v.cfg["ema_rate"])
    sde, losses = SubVpSde(), []
    for i in range(len(v.arrays["in__batch"])):
        loss = score_matching_loss(
            network, sde, v.input("batch")[i], v.input("cond")[i], v.noise("u")[i], v.noise("z")[i], hide=_draws(v, "", i)
        )
        optimizer_step(network, optimizer, loss, step=i, lr=v.cfg["lr"], warmup=v.cfg["warmup"], clip=v.cfg["grad_clip"])
        ema.update(network)
        losses.append(loss.item())
    checks = [v.check("losses", losses), v.check("ema_order", network.ema_names()), v.check("ema_num_updates", ema.updates)]
    state = network.state_dict()
    for key in v.arrays:
        for start, weights in (("out__param_", state), ("out__ema_", ema.weights)):
            if key.startswith(start) and key.removeprefix(start) in weights:
                checks.append(v.check(key[5:], weights[key.removeprefix(start)]))
    return checks


class Tape:
    """The recorded draws in their order, each name's from its own stack."""

    def __init__(self, v: Vectors) -> None:
        names = [name for name in v.cfg["draw_order"] if name not in ("prior", "randj")]
        self._values = {name: iter(v.noise(name)) for name in set(names)}
        self._order = iter(names)

    def __call__(self) -> torch.Tensor:
        return next(self._values[next(self._order)])

    def used_up(self) -> bool:
        return next(self._order, None) is None


@torch.no_grad()
def _sample(path: Path) -> list[Check]:
    v = Vectors(path)
    cfg = v.cfg
    network = _network(v)
    sde: Sde = SDES[cfg["sde"]](steps=cfg["N"], horizon=cfg["T"], eps=cfg["eps"])
    missing: list[list[int]] = [[int(j) for j in cfg["jlist"].split(",")]] * len(v.input("cond")) if cfg["jlist"] else []
    if cfg["randj"]:
        missing = v.arrays["noise__randj"].tolist()
    noisy = v.input("denoise_x") if cfg["task"] == "den" else None
    start, condition, mask = start_and_mask(cfg["task"], v.input("cond"), prior(sde, v.noise("prior")), missing=missing, noisy=noisy)
    tape = Tape(v)
    trajectory: list[torch.Tensor] = []
    result = predictor_corrector(
        sde,
        score_function(network, sde, condition, mask),
        start,
        tape,
        predictor=cfg["predictor"],
        corrector=cfg["corrector"],
        flow="published" if cfg["pflow"] else "none",
        known=Known(condition, mask) if cfg["task"] in ("comp2d", "comp3d") else None,
        snr=cfg["snr"],
        corrector_steps=cfg["n_steps_each"],
        trajectory=trajectory,
    )
    assert tape.used_up(), "draws were left over"
    return [v.check("trajs", torch.stack(trajectory)), v.check("result", result)]


def _split(v: Vectors) -> h36m.Split:
    a = {key[4:]: value for key, value in v.arrays.items() if key.startswith("in__")}
    three_d = h36m.normalise(a["joint_3d_image"])
    return h36m.Split(
        three_d[..., :2], three_d, a["joint_3d_image"], a["joint_3d_camera"], a["box"], a["camera"], a["root_depth"], a["action"]
    )


def _data(path: Path) -> list[Check]:
    v = Vectors(path)
    split = _split(v)
    detected = h36m.normalise(v.arrays["in__dt2d"])
    thinned = replace(split, two_d=detected[:: v.cfg["sample"]], three_d=split.three_d[:: v.cfg["sample"]], repeat=3)
    last = thinned.pairs(np.array([len(thinned) - 1]))
    # The recorded run shows 3D to half of the items; the draws of an item follow each other.
    u = v.arrays["noise__item_u"].reshape(-1, 3)
    condition, target = replace(split, two_d=detected).pairs(v.arrays["in__idx"], u, condition_3d=0.5, mirror=True, reference=True)
    pixels = h36m.denormalise(split.three_d[:4])
    point = v.arrays["in__joint_3d_camera"][0]
    camera = v.arrays["in__cam_R"], v.arrays["in__cam_T"]
    checks = [
        v.check("gt2d_db2d", split.two_d),
        v.check("gt2d_db3d", split.three_d),
        v.check("dt2d_db2d", thinned.two_d),
        v.check("dt2d_len", len(thinned)),
        v.check("dt2d_item_last2d", last[0][0]),
        v.check("dt2d_item_last3d", last[1][0]),
        v.check("dt2d_conf_db2d", np.concatenate([detected, v.arrays["in__dt_conf"].astype(np.float32)], -1)),
        v.check("train_flip_cond_2d", condition),
        v.check("train_flip_cond_3d", target),
        v.check("denorm", pixels),
        v.check("norm", h36m.normalise(pixels)),
        v.check("noisy_gauss", h36m.with_noise(pixels, "gaussian", v.cfg["std"], v.arrays["noise__gauss"])),
        v.check("noisy_unif", h36m.with_noise(pixels, "uniform", v.cfg["std"], v.arrays["noise__unif"])),
        v.check("flip", h36m.mirrored_pair(v.arrays["in__flipdata"])),
        v.check("unflip", h36m.unmirrored_mean(v.arrays["in__unflip"])),
        v.check("w2c", h36m.world_to_camera(point, *camera)),
        v.check("c2w", h36m.camera_to_world(point, *camera)),
        v.check("skeleton", H36M17.edges),
    ]
    for key in v.arrays:
        if found := re.fullmatch(r"out__(evalsampler_n(\d+)_r(\d+)of(\d+))", key):
            checks.append(v.check(found[1], list(h36m.rank_slice(int(found[2]), int(found[3]), int(found[4])))))
    return checks


def _metrics(path: Path) -> list[Check]:
    v = Vectors(path)
    split, preds = _split(v), v.arrays["in__preds"]
    camera = image_to_camera(preds, split.box, split.camera, split.root_depth_mm)
    errors = {p: hypothesis_errors(camera, split.camera_mm, protocol=p, reference=True) for p in (1, 2)}
    first = [procrustes(t, p[0]).aligned for t, p in zip(split.camera_mm, camera, strict=True)]
    checks = [
        v.check("pred_cam", camera),
        v.check("diversity_std_xyz", spread_xyz(camera)),
        v.check("aligned_first", first),
    ]
    for p, error in errors.items():
        checks.append(v.check(f"min_err_p{p}", error.min(1)))
        checks.append(v.check(f"p{p}_multi", over_actions(error.min(1), split.action, reference=True)))
        checks.append(v.check(f"p{p}_single", over_actions(error[:, 0], split.action, reference=True)))
    for mirror in ("best", "noreflect"):
        for scale in ("scale", "noscale"):
            got = procrustes(split.camera_mm[0], camera[0, 0], scaling=scale == "scale", reflection=mirror == "best")
            names = dict(zip("dZRst", got, strict=True))
            checks += [v.check(f"procrustes_{mirror}_{scale}_{key}", value) for key, value in names.items()]
    return checks


HANDLERS: list[tuple[str, Callable[[Path], list[Check]]]] = [
    ("gfmas/gfpose_data.npz", _data),
    ("gfmas/gfpose_metrics.npz", _metrics),
    ("gfmas/gfpose_sde.npz", _sde),
    ("gfmas/gfpose_time_embedding.npz", _embedding),
    ("gfmas/gfpose_forward_*.npz", _forward),
    ("gfmas/gfpose_loss.npz", _loss),
    ("gfmas/gfpose_train_steps.npz", _train),
    ("gfmas/gfpose_sample_*.npz", _sample),
]
