"""Golden vectors of DHMP's measures: losses, angles, metrics and the published evaluation loop."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.metrics import diversity
from tests.parity.check import Check
from tests.parity.dhmp import GRADIENT, HISTORY, NODES, Arrays, close, load_vector, tensors, under

_DCT_N = 10
_TEMPERATURE = 0.85


def _time_first(x: np.ndarray) -> np.ndarray:
    """(..., 3V, T) -> (..., T, 3V)."""
    return np.swapaxes(x, -1, -2)


def check_metrics(path: Path) -> list[Check]:
    """APD, ADE, FDE, MMADE, MMFDE, bone and angle errors."""
    import torch

    from training.dhmp.angles import valid_angle

    d, c = load_vector(path)
    truth, futures, similar = (_time_first(d[f"in/{name}"]) for name in ("gt", "pred", "gt_multi"))
    side = isqrt(len(d["out/diversity_twopart"]))
    crossed = diversity.cross_distances(futures[:side], futures[side : 2 * side]).ravel()
    checks = [
        close("pair distances", diversity.pair_distances(futures), d["out/diversity_pairs"]),
        close("cross distances", crossed, d["out/diversity_twopart"]),
        close("apd", diversity.apd(futures), d["out/apd"]),
        close("ade", diversity.ade(futures, truth[0]), d["out/ade"]),
        close("fde", diversity.fde(futures, truth[0]), d["out/fde"]),
    ]
    for key, want in under(d, "out/mmade_").items():
        count = int(key)
        checks.append(close(f"mmade {key}", diversity.mmade(futures, truth[0], similar[:count]), want))
        checks.append(close(f"mmfde {key}", diversity.mmfde(futures, truth[0], similar[:count]), d[f"out/mmfde_{key}"]))

    def joints(x: np.ndarray) -> np.ndarray:
        nodes = x.reshape(*x.shape[:-1], -1, 3)
        return np.concatenate([np.zeros_like(nodes[..., :1, :]), nodes], axis=-2)

    bone = diversity.bone_percent_error(joints(futures), joints(truth[0]), c["parents"])
    checks.append(close("bone", [bone.mean(), bone.min(), bone.max()], d["out/bone_percent_error_avg_min_max"]))
    poses = torch.from_numpy(np.ascontiguousarray(futures.reshape(-1, futures.shape[-1])))
    checks.append(close("angle", valid_angle(poses, _limits(d)), d["out/angle_error"]))
    return checks


def _limits(d: Arrays) -> dict[str, tuple[float, float]]:
    return {name: (float(low), float(high)) for name, (low, high) in under(d, "in/valid_ang/").items()}


def check_angles(path: Path) -> list[Check]:
    """All cosines, in float32 with the selected spine entries and in float64 with both rows."""
    import torch

    from training.dhmp.angles import COSINES

    d, c = load_vector(path)
    pose = torch.from_numpy(d["in/pose_flat"])
    cosines = COSINES[NODES[c["d"]]]
    checks = []
    for prefix, got in (("out/torch/", cosines(pose)), ("out/numpy_f64/", cosines(pose.double(), select=False))):
        wanted = under(d, prefix)
        checks.append(Check(f"{prefix}names", float(set(wanted) != set(got)), 0.0))
        checks += [close(prefix + name, got[name], want) for name, want in wanted.items()]
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
        close(name, value, d[f"out/{name}"]),
        close(f"{name} gradient", x.grad[..., ::time_step], d[f"out/grad/{name}_every7"], GRADIENT),
    ]
    return [*checks, close(f"{name} gradient norm", x.grad.double().norm(), d[f"out/grad_norm/{name}"], GRADIENT)]


def check_losses(path: Path) -> list[Check]:
    """Every loss of both stages: values and gradients."""
    import torch

    from training.dhmp import losses
    from training.dhmp.angles import valid_angle

    d, c = load_vector(path)
    history, parents, threshold, group = HISTORY[c["d"]], c["parents"], float(c["minth"]), c["sep"]
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
        checks.append(close(f"hinge_{suffix}", torch.relu(threshold - distance), d[f"out/hinge_{suffix}"]))
    for prefix, distance in (("", pairs), ("two_part_", crossed)):
        hinged = losses.hinge_energy(distance, _ENERGY_THRESHOLD, _ENERGY_SCALE)
        checks.append(close(f"hinge_{prefix}v2", hinged, d[f"out/hinge_{prefix}v2_likedlow"]))
        checks.append(close(f"{prefix}v2", losses.energy(distance, _ENERGY_SCALE), d[f"out/{prefix}v2_likedlow"]))
    mu, logvar = (torch.from_numpy(d[f"in/{name}"]).requires_grad_() for name in ("mu", "logvar"))
    divergence = losses.kl(mu, logvar)
    divergence.backward()
    checks.append(close("kl", divergence, d["out/kl"]))
    checks.append(close("kl grad mu", mu.grad, d["out/grad/kl_mu"], GRADIENT))
    checks.append(close("kl grad logvar", logvar.grad, d["out/grad/kl_logvar"], GRADIENT))
    done = {name for name in functions if name in known} | {"kl"}
    done |= {f"{a}{b}" for a in ("hinge_", "") for b in ("two_part_v2_likedlow", "v2_likedlow")} | {"hinge_pairs", "hinge_two_part"}
    checks.append(Check(f"not covered: {sorted(known - done)}", float(len(known - done)), 0.0))
    return checks


def networks(d: Arrays, c: dict[str, Any], stage: int) -> tuple[Any, Any]:
    """(CVAE, sampler or None) with the stored weights."""
    from pose_rt.models.dhmp import CVAE, DiverseSampling

    o, nodes = c["override"], NODES[c["d"]]
    cvae = CVAE(nodes, _DCT_N, o["hidden_dim"], o["z_dim"])
    if stage == 1:
        cvae.load_state_dict(tensors(under(d, "w/model.")))
        return cvae, None
    cvae.load_state_dict(tensors(under(d, "w/t1.")))
    sampler = DiverseSampling(nodes, _DCT_N, o["hidden_dim"], o["base_dim"], o["base_num_p1"], o["z_dim"])
    sampler.load_state_dict(tensors(under(d, "w/model.")))
    return cvae, sampler


def _tape(d: Arrays) -> list[Any]:
    import torch

    return [torch.from_numpy(d[key]) for key in sorted(k for k in d if k.startswith("noise/"))]


def check_eval(path: Path) -> list[Check]:
    """The published evaluation over a few windows, with its divisor (`divisor="reference"`)."""
    import torch

    from pose_rt.models.dhmp import MotionDCT, gumbel_coefficients
    from training.dhmp.objective import decode_futures

    d, c = load_vector(path)
    stage = 2 if any(key.startswith("w/t1.") for key in d) else 1
    cvae, sampler = networks(d, c, stage)
    noise = _tape(d)
    windows, counts = d["in/windows"], d["in/similar_counts"]
    history = HISTORY[c["d"]]
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
                coefficients = gumbel_coefficients(noise.pop(0), _TEMPERATURE).view(1, len(z), -1)
                z = sampler.eval()(condition, coefficients, z)[0]
            futures = decode_futures(cvae, dct, condition, z)[0, ..., history:].numpy()
            similar = d["in/similars"][starts[i] : starts[i + 1]]
            scores.append(
                diversity.score_window(_time_first(futures), _time_first(window[:, history:]), _time_first(similar))
            )  # fmt: skip
    got = diversity.average(scores, len(windows), divisor="reference")
    return [close(name, getattr(got, name), want) for name, want in under(d, "out/").items()]


HANDLERS: list[tuple[str, Callable[[Path], list[Check]]]] = [
    ("dhmp/losses_*.npz", check_losses),
    ("dhmp/metrics_*.npz", check_metrics),
    ("dhmp/angles_*.npz", check_angles),
    ("dhmp/eval_t*.npz", check_eval),
]
