"""Golden vectors of DHMP: DCT, graph convolutions, CVAE, sampler, losses, angles, metrics, evaluation."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.core import dct as core_dct
from pose_rt.metrics import diversity
from tests.parity.check import Check, compare

Arrays = dict[str, np.ndarray]
_NODES = {"h36m": 16, "humaneva": 14}
_PARENTS = {
    "h36m": (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    "humaneva": (-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1),
}
_HISTORY = {"h36m": 25, "humaneva": 15}
_DCT_N = 10
_FORWARD, _GRADIENT = 1e-5, 1e-4


def _load(path: Path) -> tuple[Arrays, dict[str, Any]]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    return arrays, json.loads(str(arrays.pop("cfg_json")))


def _close(name: str, got: Any, want: np.ndarray, relative: float = _FORWARD) -> Check:
    """``max|got - want| <= relative * max|want| + 1e-6``."""
    array = got.detach().numpy() if hasattr(got, "detach") else np.asarray(got)
    scale = float(np.abs(want).max()) if want.size else 0.0
    return compare(name, array, want, atol=relative * scale + 1e-6)


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> Arrays:
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
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
    network.load_state_dict(_tensors(state))
    return Check(f"{name} weights sha256", float(digest.hexdigest() != str(want_sha256)), 0.0)


def _gradients(network: Any, arrays: Mapping[str, np.ndarray], prefix: str, name: str) -> list[Check]:
    """Recorded gradients against those in `network`; the scale is the largest recorded gradient, since some are truly zero."""
    wanted = _under(arrays, prefix)
    scale = max(float(np.abs(value).max()) for value in wanted.values())
    parameters = dict(network.named_parameters())
    checks = []
    for key, value in wanted.items():
        gradient = parameters[key].grad
        checks.append(compare(f"{name} grad {key}", gradient.numpy(), value, atol=_GRADIENT * scale + 1e-6))
    return checks


def _running(network: Any, arrays: Mapping[str, np.ndarray], prefix: str, name: str) -> list[Check]:
    state = network.state_dict()
    return [_close(f"{name} after {key}", state[key], value) for key, value in _under(arrays, prefix).items()]


def check_dct(path: Path) -> list[Check]:
    """core.dct in float64 and float32, the torch twin, and the padded-history condition."""
    import torch

    from pose_rt.models.dhmp import MotionDCT, pad_last

    d, cfg = _load(path)
    n = cfg["dct_n"]
    checks = []
    for ds in ("h36m", "humaneva"):
        x, history = d[f"in/{ds}/x"], _HISTORY[ds]
        frames = x.shape[-1]
        rows = len(d[f"out/{ds}/dct_rows"])
        checks.append(compare(f"{ds} dct rows", core_dct.dct_matrix(frames)[:rows], d[f"out/{ds}/dct_rows"], atol=1e-12))
        checks.append(compare(f"{ds} idct cols", core_dct.idct_matrix(frames)[:, :rows], d[f"out/{ds}/idct_cols"], atol=1e-12))
        twin = MotionDCT(frames, n)
        padded = pad_last(torch.from_numpy(x[..., :history]), frames - history)
        checks.append(compare(f"{ds} pad", core_dct.pad_last(x[..., :history], frames - history), padded.numpy()))
        checks.append(_close(f"{ds} condition", twin.condition(torch.from_numpy(x[..., :history])), d[f"out/{ds}/cond_view"]))
        for kind, value in (("full", torch.from_numpy(x)), ("padded", padded)):
            key = f"out/{ds}/{kind}"
            checks.append(_close(f"{ds} {kind} torch", twin.coefficients(value), d[f"{key}/coef_torch_f32"]))
            coefficients = torch.from_numpy(d[f"{key}/coef_torch_f32"])
            checks.append(_close(f"{ds} {kind} torch inverse", twin.frames_of(coefficients), d[f"{key}/recon_torch_f32"]))
            wide = value.numpy().astype(np.float64)
            checks.append(compare(f"{ds} {kind} f64", core_dct.dct(wide, n), d[f"{key}/coef_numpy_f64"], atol=1e-12))
            narrow = core_dct.idct(core_dct.dct(value.numpy(), n), frames)
            checks.append(_close(f"{ds} {kind} numpy f32", narrow, d[f"{key}/recon_torch_f32"]))
    extra = cfg["extra_N"]
    checks.append(compare("extra dct", core_dct.dct_matrix(extra), d["out/extra/dct"], atol=1e-12))
    checks.append(compare("extra idct", core_dct.idct_matrix(extra), d["out/extra/idct"], atol=1e-12))
    return checks


def check_gcn(path: Path) -> list[Check]:
    """GraphConv, GraphConvBlock and ResGCB: eval, train, gradients, running statistics."""
    import torch

    from pose_rt.models.dhmp import GraphConv, GraphConvBlock, ResGCB

    d, cfg = _load(path)
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
        module.load_state_dict(_tensors(_under(d, f"w/{name}.")))
        x = torch.from_numpy(d["in/x"]).requires_grad_()
        checks.append(_close(f"{name} eval", module.eval()(x), d[f"out/{name}/eval"]))
        y = module.train()(x)
        checks.append(_close(f"{name} train", y, d[f"out/{name}/train"]))
        (y * torch.from_numpy(d[f"in/gy/{name}"])).sum().backward()
        checks.append(_close(f"{name} grad x", x.grad, d[f"out/{name}/grad_x"], _GRADIENT))
        checks += _gradients(module, d, f"out/{name}/grad/", name)
        checks += _running(module, d, f"out/{name}/after/", name)
    return checks


def check_init_order(path: Path) -> list[Check]:
    """A seed gives the published initial weights: the order of the random draws."""
    import torch

    from pose_rt.models.dhmp import CVAE, DiverseSampling

    d, c = _load(path)
    checks = []
    for prefix, build in (
        ("out/cvae/", lambda: CVAE(c["node_n"], c["dct_n"], c["hidden"], c["z"])),
        ("out/ds/", lambda: DiverseSampling(c["node_n"], c["dct_n"], c["hidden"], c["base_dim"], c["base_num"], c["z"])),
    ):
        wanted = _under(d, prefix)
        torch.manual_seed(c["seed"])
        state = build().state_dict()
        checks.append(Check(f"{prefix}keys", float(list(state) != list(wanted)), 0.0))
        checks += [compare(f"{prefix}{key}", state[key].numpy(), value, atol=1e-7) for key, value in wanted.items()]
    return checks


def check_cvae(path: Path) -> list[Check]:
    """The stage-1 network: forward in eval and train mode, inference(z), gradients, running statistics."""
    from pose_rt.models.dhmp import CVAE
    from training.dhmp.losses import kl

    d, c = _load(path)
    cvae = CVAE(_NODES[c["d"]], c["dct_n"], c["hidden"], c["z"])
    checks = []
    if "meta/weights_sha256" in d:
        checks.append(_fill_by_recipe(cvae, c["recipe_seed"], d["meta/weights_sha256"], "cvae"))
    else:
        cvae.load_state_dict(_tensors(_under(d, "w/")))
    t = _tensors({**_under(d, "in/"), **{k: d[k] for k in ("noise/000", "noise/001")}})
    cvae.eval()
    for name, value in zip(("out", "mean", "logvar"), cvae(t["condition"], t["data"], t["noise/000"]), strict=True):
        checks.append(_close(f"eval {name}", value, d[f"out/eval/{name}"]))
    checks.append(_close("eval inference", cvae.inference(t["condition"], t["z"]), d["out/eval/inference"]))
    cvae.train()
    out, mean, logvar = cvae(t["condition"], t["data"], t["noise/001"])
    for name, value in (("out", out), ("mean", mean), ("logvar", logvar)):
        checks.append(_close(f"train {name}", value, d[f"out/train/{name}"]))
    divergence = kl(mean, logvar)
    if "out/train/kl" in d:
        checks.append(_close("train kl", divergence, d["out/train/kl"]))
        ((out * t["gy"]).sum() + divergence).backward()
        checks += _gradients(cvae, d, "out/train/grad/", "train")
        checks += _running(cvae, d, "out/train/after/", "train")
    return checks


def check_gumbel(path: Path) -> list[Check]:
    """Gumbel-softmax coefficients of recorded uniforms, those at the ends of the range included."""
    import torch

    from pose_rt.models.dhmp import gumbel_coefficients

    d, _ = _load(path)
    uniform = torch.from_numpy(d["in/U"])
    checks = []
    for key, want in _under(d, "out/").items():
        _, kind, temperature = key.split("/")
        logits = torch.from_numpy(d[f"in/logits_{kind}"])
        got = gumbel_coefficients(uniform, float(temperature.removeprefix("temp")), logits)
        checks.append(_close(key, got, want))
        if kind == "const":
            checks.append(_close(f"{key} without logits", gumbel_coefficients(uniform, float(temperature[4:])), want))
    return checks


def check_diverse(path: Path) -> list[Check]:
    """The sampler, the frozen decoder behind it, and the futures in metres."""
    import torch

    from pose_rt.models.dhmp import CVAE, DiverseSampling, MotionDCT, gumbel_coefficients

    d, c = _load(path)
    ds, n = c["d"], _NODES[c["d"]]
    sampler = DiverseSampling(n, c["dct_n"], c["hidden"], c["base_dim"], c["base_num"], c["z"])
    cvae = CVAE(n, c["dct_n"], c["hidden"], c["z"])
    checks = []
    if "meta/ds/weights_sha256" in d:
        checks.append(_fill_by_recipe(sampler, c["recipe_seed"], d["meta/ds/weights_sha256"], "sampler"))
        checks.append(_fill_by_recipe(cvae, c["recipe_seed"] + 7, d["meta/t1/weights_sha256"], "cvae"))
    else:
        sampler.load_state_dict(_tensors(_under(d, "w/ds.")))
        cvae.load_state_dict(_tensors(_under(d, "w/t1.")))
    cvae.eval().requires_grad_(False)
    frames = {"h36m": 125, "humaneva": 75}[ds]
    dct = MotionDCT(frames, c["dct_n"])
    t = _tensors(_under(d, "in/"))
    coefficients = gumbel_coefficients(t["U"], c["temp"])
    checks.append(_close("coefficients", coefficients, d["out/many_weights"]))
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
            checks.append(_close(f"{mode} {name}", value, d[f"out/{mode}/{name}"]))
        if _under(d, f"out/{mode}/grad/"):
            ((z * t["gz"]).sum() + 0.01 * torch.square(motion).sum()).backward()
            checks += _gradients(sampler, d, f"out/{mode}/grad/", mode)
        checks += _running(sampler, d, f"out/{mode}/after/", mode)
    return checks


def _time_first(x: np.ndarray) -> np.ndarray:
    """(..., 3V, T) -> (..., T, 3V)."""
    return np.swapaxes(x, -1, -2)


def check_metrics(path: Path) -> list[Check]:
    """APD, ADE, FDE, MMADE, MMFDE, bone and angle errors."""
    import torch

    from training.dhmp.angles import valid_angle

    d, c = _load(path)
    truth, futures, similar = (_time_first(d[f"in/{name}"]) for name in ("gt", "pred", "gt_multi"))
    side = isqrt(len(d["out/diversity_twopart"]))
    crossed = diversity.cross_distances(futures[:side], futures[side : 2 * side]).ravel()
    checks = [
        _close("pair distances", diversity.pair_distances(futures), d["out/diversity_pairs"]),
        _close("cross distances", crossed, d["out/diversity_twopart"]),
        _close("apd", diversity.apd(futures), d["out/apd"]),
        _close("ade", diversity.ade(futures, truth[0]), d["out/ade"]),
        _close("fde", diversity.fde(futures, truth[0]), d["out/fde"]),
    ]
    for key, want in _under(d, "out/mmade_").items():
        count = int(key)
        checks.append(_close(f"mmade {key}", diversity.mmade(futures, truth[0], similar[:count]), want))
        checks.append(_close(f"mmfde {key}", diversity.mmfde(futures, truth[0], similar[:count]), d[f"out/mmfde_{key}"]))

    def joints(x: np.ndarray) -> np.ndarray:
        nodes = x.reshape(*x.shape[:-1], -1, 3)
        return np.concatenate([np.zeros_like(nodes[..., :1, :]), nodes], axis=-2)

    bone = diversity.bone_percent_error(joints(futures), joints(truth[0]), c["parents"])
    checks.append(_close("bone", [bone.mean(), bone.min(), bone.max()], d["out/bone_percent_error_avg_min_max"]))
    poses = torch.from_numpy(np.ascontiguousarray(futures.reshape(-1, futures.shape[-1])))
    checks.append(_close("angle", valid_angle(poses, _limits(d)), d["out/angle_error"]))
    return checks


def _limits(d: Arrays) -> dict[str, tuple[float, float]]:
    return {name: (float(low), float(high)) for name, (low, high) in _under(d, "in/valid_ang/").items()}


def check_angles(path: Path) -> list[Check]:
    """All cosines, in float32 with the selected spine entries and in float64 with both rows."""
    import torch

    from training.dhmp.angles import COSINES

    d, c = _load(path)
    pose = torch.from_numpy(d["in/pose_flat"])
    cosines = COSINES[_NODES[c["d"]]]
    checks = []
    for prefix, got in (("out/torch/", cosines(pose)), ("out/numpy_f64/", cosines(pose.double(), select=False))):
        wanted = _under(d, prefix)
        checks.append(Check(f"{prefix}names", float(set(wanted) != set(got)), 0.0))
        checks += [_close(prefix + name, got[name], want) for name, want in wanted.items()]
    return checks


# Constants of the published repulsion variants; the vectors record results for these only.
_ENERGY_SCALE, _ENERGY_THRESHOLD = 50.0, 100.0


def _value_and_gradient(
    name: str, function: Callable[[Any], Any], argument: np.ndarray, d: Arrays, time_step: int | None = 7
) -> list[Check]:
    """The value, the recorded part of its gradient and the norm of the whole gradient."""
    import torch

    x = torch.from_numpy(np.array(argument)).requires_grad_()
    value = function(x)
    value.backward()
    assert x.grad is not None
    checks = [
        _close(name, value, d[f"out/{name}"]),
        _close(f"{name} gradient", x.grad[..., ::time_step], d[f"out/grad/{name}_every7"], _GRADIENT),
    ]
    return [*checks, _close(f"{name} gradient norm", x.grad.double().norm(), d[f"out/grad_norm/{name}"], _GRADIENT)]


def check_losses(path: Path) -> list[Check]:
    """Every loss of both stages: values and gradients."""
    import torch

    from training.dhmp import losses
    from training.dhmp.angles import valid_angle

    d, c = _load(path)
    history, parents, threshold, group = _HISTORY[c["d"]], c["parents"], float(c["minth"]), c["sep"]
    gt, similar = torch.from_numpy(d["in/gt"]), torch.from_numpy(d["in/similars"])
    future_gt, future_similar = gt[..., history:], similar[..., history:]
    one, many = d["in/pred_t1"], d["in/pred_t2"]
    limits = _limits(d)

    def poses(x: torch.Tensor) -> torch.Tensor:
        return x[..., history:].transpose(-1, -2).flatten(0, -2)

    functions: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
        "recons": (lambda x: losses.recons(x, gt, history), one),
        "vec": (lambda x: losses.first_step(x, gt, history), one),
        "recover_history_t1": (lambda x: losses.recover_history(x, gt, history), one),
        "limb_length_t1": (lambda x: losses.limb_length(x, gt, parents), one),
        "valid_angle_t1": (lambda x: valid_angle(poses(x), limits), one),
        "recover_history_t2": (lambda x: losses.recover_history(x, gt, history), many),
        "limb_length_t2": (lambda x: losses.limb_length(x, gt, parents), many),
        "valid_angle_t2": (lambda x: valid_angle(poses(x), limits), many),
        "recons_adelike": (lambda x: losses.recons_best(x[..., history:], future_gt), many),
        "recons_mmadelike": (lambda x: losses.recons_best_multimodal(x[..., history:], future_similar), many),
        "hinge_divide": (lambda x: losses.hinge_diversity(x[..., history:], threshold, group), many),
        "likedlow_divide": (
            lambda x: losses.energy(losses.pair_distances(x[..., history:]), _ENERGY_SCALE).mean(), many
        ),
    }  # fmt: skip
    known = {key.removeprefix("out/") for key in d if key.startswith("out/") and key.count("/") == 1}
    checks = []
    for name, (function, argument) in functions.items():
        if name in known:
            checks += _value_and_gradient(name, function, argument, d)
    futures = torch.from_numpy(many[..., history:])
    pairs = losses.pair_distances(futures)
    side = isqrt(d["out/hinge_two_part"].shape[-1])
    crossed = losses.cross_distances(futures[:, :side], futures[:, side : 2 * side])
    for suffix, distance in (("pairs", pairs), ("two_part", crossed)):
        checks.append(_close(f"hinge_{suffix}", torch.relu(threshold - distance), d[f"out/hinge_{suffix}"]))
    for prefix, distance in (("", pairs), ("two_part_", crossed)):
        hinged = losses.hinge_energy(distance, _ENERGY_THRESHOLD, _ENERGY_SCALE)
        checks.append(_close(f"hinge_{prefix}v2", hinged, d[f"out/hinge_{prefix}v2_likedlow"]))
        checks.append(_close(f"{prefix}v2", losses.energy(distance, _ENERGY_SCALE), d[f"out/{prefix}v2_likedlow"]))
    mu, logvar = (torch.from_numpy(d[f"in/{name}"]).requires_grad_() for name in ("mu", "logvar"))
    divergence = losses.kl(mu, logvar)
    divergence.backward()
    checks.append(_close("kl", divergence, d["out/kl"]))
    checks.append(_close("kl grad mu", mu.grad, d["out/grad/kl_mu"], _GRADIENT))
    checks.append(_close("kl grad logvar", logvar.grad, d["out/grad/kl_logvar"], _GRADIENT))
    done = {name for name in functions if name in known} | {"kl"}
    done |= {f"{a}{b}" for a in ("hinge_", "") for b in ("two_part_v2_likedlow", "v2_likedlow")} | {"hinge_pairs", "hinge_two_part"}
    checks.append(Check(f"not covered: {sorted(known - done)}", float(len(known - done)), 0.0))
    return checks


def _networks(d: Arrays, c: dict[str, Any], stage: int) -> tuple[Any, Any]:
    """(CVAE, sampler or None) with the stored weights."""
    from pose_rt.models.dhmp import CVAE, DiverseSampling

    o, nodes = c["override"], _NODES[c["d"]]
    cvae = CVAE(nodes, _DCT_N, o["hidden_dim"], o["z_dim"])
    if stage == 1:
        cvae.load_state_dict(_tensors(_under(d, "w/model.")))
        return cvae, None
    cvae.load_state_dict(_tensors(_under(d, "w/t1.")))
    sampler = DiverseSampling(nodes, _DCT_N, o["hidden_dim"], o["base_dim"], o["base_num_p1"], o["z_dim"])
    sampler.load_state_dict(_tensors(_under(d, "w/model.")))
    return cvae, sampler


def _tape(d: Arrays) -> list[Any]:
    import torch

    return [torch.from_numpy(d[key]) for key in sorted(k for k in d if k.startswith("noise/"))]


def check_eval(path: Path) -> list[Check]:
    """The published evaluation over a few windows, with its divisor (`divisor="reference"`)."""
    import torch

    from pose_rt.models.dhmp import MotionDCT, gumbel_coefficients
    from training.dhmp.objective import decode_futures

    d, c = _load(path)
    stage = 2 if any(key.startswith("w/t1.") for key in d) else 1
    cvae, sampler = _networks(d, c, stage)
    noise = _tape(d)
    windows, counts = d["in/windows"], d["in/similar_counts"]
    history = _HISTORY[c["d"]]
    dct = MotionDCT(windows.shape[-1], _DCT_N)
    cvae.eval()
    starts = np.concatenate([[0], np.cumsum(counts)])
    scores = []
    with torch.no_grad():
        for i, window in enumerate(windows):
            if counts[i] == 0:
                continue
            condition = dct.condition(torch.from_numpy(window[None, :, :history]))
            z = noise.pop(0)
            if sampler is not None:
                coefficients = gumbel_coefficients(noise.pop(0), 0.85).view(1, len(z), -1)
                z = sampler.eval()(condition, coefficients, z)[0]
            futures = decode_futures(cvae, dct, condition, z)[0, ..., history:].numpy()
            similar = d["in/similars"][starts[i] : starts[i + 1]]
            scores.append(
                diversity.score_window(_time_first(futures), _time_first(window[:, history:]), _time_first(similar))
            )  # fmt: skip
    got = diversity.average(scores, len(windows), divisor="reference")
    return [_close(name, getattr(got, name), want) for name, want in _under(d, "out/").items()]


HANDLERS: list[tuple[str, Callable[[Path], list[Check]]]] = [
    ("dhmp/dct.npz", check_dct),
    ("dhmp/gcn.npz", check_gcn),
    ("dhmp/init_order.npz", check_init_order),
    ("dhmp/cvae_*.npz", check_cvae),
    ("dhmp/gumbel.npz", check_gumbel),
    ("dhmp/diverse_*.npz", check_diverse),
    ("dhmp/losses_*.npz", check_losses),
    ("dhmp/metrics_*.npz", check_metrics),
    ("dhmp/angles_*.npz", check_angles),
    ("dhmp/eval_t*.npz", check_eval),
]
