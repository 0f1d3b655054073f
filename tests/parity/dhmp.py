"""Golden vectors of DHMP's networks: DCT, graph convolutions, initial weights, CVAE, Gumbel coefficients, sampler."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.core import dct as core_dct
from tests.parity.check import Check, compare

Arrays = dict[str, np.ndarray]
NODES = {"h36m": 16, "humaneva": 14}
HISTORY = {"h36m": 25, "humaneva": 15}
FORWARD, GRADIENT = 1e-5, 1e-4


def load_vector(path: Path) -> tuple[Arrays, dict[str, Any]]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    return arrays, json.loads(str(arrays.pop("cfg_json")))


def close(name: str, got: Any, want: np.ndarray, relative: float = FORWARD) -> Check:
    """``max|got - want| <= relative * max|want| + 1e-6``."""
    array = got.detach().numpy() if hasattr(got, "detach") else np.asarray(got)
    scale = float(np.abs(want).max()) if want.size else 0.0
    return compare(name, array, want, atol=relative * scale + 1e-6)


def under(arrays: Mapping[str, np.ndarray], prefix: str) -> Arrays:
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    import torch

    return {key: torch.from_numpy(np.array(value)) for key, value in arrays.items()}


def recipe_state(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Arrays:
    """Weights the vectors do not store: a uniform stream a key, seeded by crc32(key) xor `seed`, mapped to a range by its kind."""
    state: Arrays = {}
    for key, shape in shapes.items():
        owner, _, leaf = key.rpartition(".")
        if leaf == "num_batches_tracked":
            state[key] = np.zeros(shape, np.int64)
            continue
        u = np.random.RandomState((zlib.crc32(key.encode()) ^ seed) & 0xFFFFFFFF).random_sample(shape)
        normalisation = f"{owner}.running_mean" in shapes
        if leaf == "running_var" or (normalisation and leaf == "weight"):
            value = 0.5 + u
        elif leaf == "running_mean" or (normalisation and leaf == "bias"):
            value = 0.2 * (u - 0.5)
        elif len(shape) >= 2:
            value = (2 * u - 1) / np.sqrt(shape[-1])
        else:
            value = 0.1 * (2 * u - 1)
        state[key] = value.astype(np.float32)
    return state


def _fill_by_recipe(network: Any, seed: int, want_sha256: np.ndarray, name: str) -> Check:
    """Load recipe weights into `network`; the check is that their checksum is the recorded one."""
    state = recipe_state({key: tuple(value.shape) for key, value in network.state_dict().items()}, seed)
    digest = hashlib.sha256()
    for key, value in state.items():
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    network.load_state_dict(tensors(state))
    return Check(f"{name} weights sha256", float(digest.hexdigest() != str(want_sha256)), 0.0)


def _gradients(network: Any, arrays: Mapping[str, np.ndarray], prefix: str, name: str) -> list[Check]:
    """Recorded gradients against those in `network`; the scale is the largest recorded gradient, since some are truly zero."""
    wanted = under(arrays, prefix)
    scale = max(float(np.abs(value).max()) for value in wanted.values())
    parameters = dict(network.named_parameters())
    checks = []
    for key, value in wanted.items():
        gradient = parameters[key].grad
        checks.append(compare(f"{name} grad {key}", gradient.numpy(), value, atol=GRADIENT * scale + 1e-6))
    return checks


def _running(network: Any, arrays: Mapping[str, np.ndarray], prefix: str, name: str) -> list[Check]:
    state = network.state_dict()
    return [close(f"{name} after {key}", state[key], value) for key, value in under(arrays, prefix).items()]


def check_dct(path: Path) -> list[Check]:
    """core.dct in float64 and float32, the torch twin, and the padded-history condition."""
    import torch

    from pose_rt.models.dhmp import MotionDCT, pad_last

    d, cfg = load_vector(path)
    n = cfg["dct_n"]
    checks = []
    for ds in ("h36m", "humaneva"):
        x, history = d[f"in/{ds}/x"], HISTORY[ds]
        frames = x.shape[-1]
        rows = len(d[f"out/{ds}/dct_rows"])
        checks.append(compare(f"{ds} dct rows", core_dct.dct_matrix(frames)[:rows], d[f"out/{ds}/dct_rows"], atol=1e-12))
        checks.append(compare(f"{ds} idct cols", core_dct.idct_matrix(frames)[:, :rows], d[f"out/{ds}/idct_cols"], atol=1e-12))
        twin = MotionDCT(frames, n)
        padded = pad_last(torch.from_numpy(x[..., :history]), frames - history)
        checks.append(compare(f"{ds} pad", core_dct.pad_last(x[..., :history], frames - history), padded.numpy()))
        checks.append(close(f"{ds} condition", twin.condition(torch.from_numpy(x[..., :history])), d[f"out/{ds}/cond_view"]))
        for kind, value in (("full", torch.from_numpy(x)), ("padded", padded)):
            key = f"out/{ds}/{kind}"
            checks.append(close(f"{ds} {kind} torch", twin.coefficients(value), d[f"{key}/coef_torch_f32"]))
            coefficients = torch.from_numpy(d[f"{key}/coef_torch_f32"])
            checks.append(close(f"{ds} {kind} torch inverse", twin.frames_of(coefficients), d[f"{key}/recon_torch_f32"]))
            wide = value.numpy().astype(np.float64)
            checks.append(compare(f"{ds} {kind} f64", core_dct.dct(wide, n), d[f"{key}/coef_numpy_f64"], atol=1e-12))
            narrow = core_dct.idct(core_dct.dct(value.numpy(), n), frames)
            checks.append(close(f"{ds} {kind} numpy f32", narrow, d[f"{key}/recon_torch_f32"]))
    extra = cfg["extra_N"]
    checks.append(compare("extra dct", core_dct.dct_matrix(extra), d["out/extra/dct"], atol=1e-12))
    checks.append(compare("extra idct", core_dct.idct_matrix(extra), d["out/extra/idct"], atol=1e-12))
    return checks


def check_gcn(path: Path) -> list[Check]:
    """GraphConv, GraphConvBlock and ResGCB: eval, train, gradients, running statistics."""
    import torch

    from pose_rt.models.dhmp import GraphConv, GraphConvBlock, ResGCB

    d, cfg = load_vector(path)
    i, o, n, n2 = cfg["i"], cfg["o"], cfg["n"], cfg["n2"]
    modules = {
        "conv": GraphConv(i, o, n, n2),
        "conv_nobias": GraphConv(i, o, n, n2, bias=False),
        "block": GraphConvBlock(i, o, n, n2),
        "block_res": GraphConvBlock(i, i, n, n, skip=True),
        "res": ResGCB(i, i, n, n, skip=True),
        "res_nores": ResGCB(i, o, n, n2),
    }
    checks = []
    for name, module in modules.items():
        module.load_state_dict(tensors(under(d, f"w/{name}.")))
        x = torch.from_numpy(d["in/x"]).requires_grad_()
        checks.append(close(f"{name} eval", module.eval()(x), d[f"out/{name}/eval"]))
        y = module.train()(x)
        checks.append(close(f"{name} train", y, d[f"out/{name}/train"]))
        (y * torch.from_numpy(d[f"in/gy/{name}"])).sum().backward()
        checks.append(close(f"{name} grad x", x.grad, d[f"out/{name}/grad_x"], GRADIENT))
        checks += _gradients(module, d, f"out/{name}/grad/", name)
        checks += _running(module, d, f"out/{name}/after/", name)
    return checks


def check_init_order(path: Path) -> list[Check]:
    """A seed gives the published initial weights: the order of the random draws."""
    import torch

    from pose_rt.models.dhmp import CVAE, DiverseSampling

    d, c = load_vector(path)
    checks = []
    for prefix, build in (
        ("out/cvae/", lambda: CVAE(c["node_n"], c["dct_n"], c["hidden"], c["z"])),
        ("out/ds/", lambda: DiverseSampling(c["node_n"], c["dct_n"], c["hidden"], c["base_dim"], c["base_num"], c["z"])),
    ):
        wanted = under(d, prefix)
        torch.manual_seed(c["seed"])
        state = build().state_dict()
        checks.append(Check(f"{prefix}keys", float(list(state) != list(wanted)), 0.0))
        checks += [compare(f"{prefix}{key}", state[key].numpy(), value, atol=1e-7) for key, value in wanted.items()]
    return checks


def check_cvae(path: Path) -> list[Check]:
    """The stage-1 network: forward in eval and train mode, inference(z), gradients, running statistics."""
    from pose_rt.models.dhmp import CVAE
    from training.dhmp.losses import kl

    d, c = load_vector(path)
    cvae = CVAE(NODES[c["d"]], c["dct_n"], c["hidden"], c["z"])
    checks = []
    if "meta/weights_sha256" in d:
        checks.append(_fill_by_recipe(cvae, c["recipe_seed"], d["meta/weights_sha256"], "cvae"))
    else:
        cvae.load_state_dict(tensors(under(d, "w/")))
    t = tensors({**under(d, "in/"), **{k: d[k] for k in ("noise/000", "noise/001")}})
    cvae.eval()
    for name, value in zip(("out", "mean", "logvar"), cvae(t["condition"], t["data"], t["noise/000"]), strict=True):
        checks.append(close(f"eval {name}", value, d[f"out/eval/{name}"]))
    checks.append(close("eval inference", cvae.inference(t["condition"], t["z"]), d["out/eval/inference"]))
    cvae.train()
    out, mean, logvar = cvae(t["condition"], t["data"], t["noise/001"])
    for name, value in (("out", out), ("mean", mean), ("logvar", logvar)):
        checks.append(close(f"train {name}", value, d[f"out/train/{name}"]))
    divergence = kl(mean, logvar)
    if "out/train/kl" in d:
        checks.append(close("train kl", divergence, d["out/train/kl"]))
        ((out * t["gy"]).sum() + divergence).backward()
        checks += _gradients(cvae, d, "out/train/grad/", "train")
        checks += _running(cvae, d, "out/train/after/", "train")
    return checks


def check_gumbel(path: Path) -> list[Check]:
    """Gumbel-softmax coefficients of recorded uniforms, those at the ends of the range included."""
    import torch

    from pose_rt.models.dhmp import gumbel_coefficients

    d, _ = load_vector(path)
    uniform = torch.from_numpy(d["in/U"])
    checks = []
    for key, want in under(d, "out/").items():
        _, kind, temperature = key.split("/")
        logits = torch.from_numpy(d[f"in/logits_{kind}"])
        got = gumbel_coefficients(uniform, float(temperature.removeprefix("temp")), logits)
        checks.append(close(key, got, want))
        if kind == "const":
            checks.append(close(f"{key} without logits", gumbel_coefficients(uniform, float(temperature[4:])), want))
    return checks


def check_diverse(path: Path) -> list[Check]:
    """The sampler, the frozen decoder behind it, and the futures in metres."""
    import torch

    from pose_rt.models.dhmp import CVAE, DiverseSampling, MotionDCT, gumbel_coefficients

    d, c = load_vector(path)
    ds, n = c["d"], NODES[c["d"]]
    sampler = DiverseSampling(n, c["dct_n"], c["hidden"], c["base_dim"], c["base_num"], c["z"])
    cvae = CVAE(n, c["dct_n"], c["hidden"], c["z"])
    checks = []
    if "meta/ds/weights_sha256" in d:
        checks.append(_fill_by_recipe(sampler, c["recipe_seed"], d["meta/ds/weights_sha256"], "sampler"))
        checks.append(_fill_by_recipe(cvae, c["recipe_seed"] + 7, d["meta/t1/weights_sha256"], "cvae"))
    else:
        sampler.load_state_dict(tensors(under(d, "w/ds.")))
        cvae.load_state_dict(tensors(under(d, "w/t1.")))
    cvae.eval().requires_grad_(False)
    frames = {"h36m": 125, "humaneva": 75}[ds]
    dct = MotionDCT(frames, c["dct_n"])
    t = tensors(under(d, "in/"))
    coefficients = gumbel_coefficients(t["U"], c["temp"])
    checks.append(close("coefficients", coefficients, d["out/many_weights"]))
    repeated = t["condition"].repeat_interleave(c["nk"], dim=0)
    for mode in ("eval", "train"):
        if f"out/{mode}/z" not in d:
            continue
        sampler.train(mode == "train")
        sampler.zero_grad(set_to_none=True)
        z, mean, logvar = sampler(t["condition"], coefficients.view(c["b"], c["nk"], -1), t["eps"])
        decoded = cvae.inference(repeated, z)
        motion = dct.decode(decoded).unflatten(0, (c["b"], c["nk"]))
        every5 = motion[..., ::5]
        for name, value in (("z", z), ("mean", mean), ("logvar", logvar), ("dct", decoded), ("futures_every5", every5)):
            checks.append(close(f"{mode} {name}", value, d[f"out/{mode}/{name}"]))
        if under(d, f"out/{mode}/grad/"):
            ((z * t["gz"]).sum() + 0.01 * torch.square(motion).sum()).backward()
            checks += _gradients(sampler, d, f"out/{mode}/grad/", mode)
        checks += _running(sampler, d, f"out/{mode}/after/", mode)
    return checks


HANDLERS: list[tuple[str, Callable[[Path], list[Check]]]] = [
    ("dhmp/dct.npz", check_dct),
    ("dhmp/gcn.npz", check_gcn),
    ("dhmp/init_order.npz", check_init_order),
    ("dhmp/cvae_*.npz", check_cvae),
    ("dhmp/gumbel.npz", check_gumbel),
    ("dhmp/diverse_*.npz", check_diverse),
]
