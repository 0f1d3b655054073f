"""GFPose vectors: diffusion tables, network, losses, training steps and every sampler and task."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose_rt.diffusion.sde import Flow, Sde, SubVpSde, VeSde, VpSde, reverse, reverse_discretised
from pose_rt.diffusion.sde_samplers import Known, predictor_corrector, prior, time_grid
from pose_rt.models.gfpose import ScoreNetwork, positional_embedding, score_function
from tests.parity.check import Check
from training.common.ema import Ema
from training.gfpose.objective import score_matching_loss
from training.gfpose.tasks import start_and_mask
from training.gfpose.train import make_optimizer, optimizer_step

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
    tape, trajectory = Tape(v), []
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


HANDLERS: list[tuple[str, Callable[[Path], list[Check]]]] = [
    ("gfmas/gfpose_sde.npz", _sde),
    ("gfmas/gfpose_time_embedding.npz", _embedding),
    ("gfmas/gfpose_forward_*.npz", _forward),
    ("gfmas/gfpose_loss.npz", _loss),
    ("gfmas/gfpose_train_steps.npz", _train),
    ("gfmas/gfpose_sample_*.npz", _sample),
]
