"""Golden vectors of DHMP's training: data loaders, whole epochs of both stages, classifier, FID, the FID and accuracy loop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.metrics import distribution
from tests.parity.check import Check, compare
from tests.parity.dhmp import HISTORY, NODES, Arrays, close, load_vector, recipe_state, tensors, under

_DCT_N, _TEMPERATURE = 10, 0.85
_AVERAGE, _WEIGHTS, _MEAN, _VARIANCE = 1e-4, 2e-4, 5e-4, 1e-4
# Two steps of Adam at a learning rate of 1e-3, to either side.
_STEPS = 4e-3


class Tape:
    """Recorded random numbers in the order of their use."""

    def __init__(self, d: Arrays, kind: Any = None) -> None:
        import torch

        self._noise = [torch.from_numpy(d[key]).to(kind or torch.float32) for key in sorted(k for k in d if k.startswith("noise/"))]

    def normal(self, *shape: int) -> Any:
        return self._noise.pop(0).reshape(shape)

    uniform = normal


def _config(d: Arrays, c: dict[str, Any], stage: int) -> Any:
    """The published run with the sizes of the vector."""
    from pose_rt.models.dhmp import PUBLISHED
    from training.dhmp.config import REFERENCE_STAGE1, REFERENCE_STAGE2, TrainConfig

    o = c["override"]
    sizes = {
        "hidden": o["hidden_dim"], "sampler_hidden": o["hidden_dim"], "z": o["z_dim"], "base_dim": o.get("base_dim", 4),
        "bases": o.get("base_num_p1", 4),
    }  # fmt: skip
    return TrainConfig(
        stage=stage, data=Path(), out=Path(), dataset=c["d"], model=replace(PUBLISHED[c["d"]], **sizes), batch=c["bs"], k=o["nk"],
        clip=100.0 if stage == 1 else None, stage1=REFERENCE_STAGE1[c["d"]],
        stage2=replace(REFERENCE_STAGE2[c["d"]], hinge_group=o["seperate_head"]),
    )  # fmt: skip


def _trainer(d: Arrays, c: dict[str, Any], folder: Path) -> Any:
    """A trainer with the vector's weights; the frozen CVAE of stage 2 comes from a checkpoint, as in a real run."""
    from pose_rt.models.dhmp import build_cvae
    from training.common import checkpoint
    from training.dhmp.published import PUBLISHED_SETS
    from training.dhmp.trainer import Trainer

    stage = 2 if any(key.startswith("w/t1.") for key in d) else 1
    config = _config(d, c, stage)
    limits = {name: (float(low), float(high)) for name, (low, high) in under(d, "in/valid_ang/").items()}
    first = folder / "stage1.pt"
    if stage == 2:
        cvae = build_cvae(config.model)
        cvae.load_state_dict(tensors(under(d, "w/t1.")))
        checkpoint.save(first, {"config": config.model.to_dict(), "dataset": c["d"], "model": cvae.state_dict()})
    trainer = Trainer(config, limits, PUBLISHED_SETS[c["d"]].parents, stage1=first)
    trainer.network.load_state_dict(tensors(under(d, "w/model.")))
    return trainer


class _Recorded:
    """The recorded batches as the batches of an epoch."""

    def __init__(self, d: Arrays, history: int, kind: Any) -> None:
        self._motions = [d[key] for key in sorted(k for k in d if k.startswith("in/batch"))]
        self._history, self._kind = history, kind

    def epoch(self, number: int, step: int) -> Iterator[tuple[Any, Any]]:
        import torch

        for motions in self._motions:
            gt = torch.from_numpy(motions).to(self._kind)
            yield gt, gt[..., : self._history]


def _dead(name: str) -> bool:
    """Biases in front of a batch normalisation: their true gradient is zero, Adam makes steps of their rounding noise."""
    if name.endswith(".gcn.bias"):
        return True
    return name in ("bases_p1.0.bias", "mean_p1.0.bias", "logvar_p1.0.bias")


class _Run:
    """One epoch of the project's trainer on the recorded batches: averages, state after, gradient of every step.

    Args:
        double: in float64, which tells how large the rounding errors of float32 are.
        signs: elements of the first gradient that get the sign they had in the recorded run, whose weights moved against it (Adam's
            second step is at most 0.75 lr for such an element, so it cannot hide the first).
    """

    def __init__(self, d: Arrays, c: dict[str, Any], folder: Path, double: bool = False, signs: Arrays | None = None) -> None:
        import torch

        trainer = _trainer(d, c, folder)
        kind = torch.float64 if double else torch.float32
        for module in (trainer.network, trainer.cvae, trainer.dct):
            module.to(kind)
        self.gradients: dict[str, list[np.ndarray]] = {}
        after, before = under(d, "out/after/"), trainer.network.state_dict()
        for name, parameter in trainer.network.named_parameters():
            moved = torch.from_numpy(after[name]) - before[name]
            mask = None if signs is None else torch.from_numpy(signs[name])

            def hook(gradient: Any, name: str = name, moved: Any = moved, mask: Any = mask) -> Any:
                seen = self.gradients.setdefault(name, [])
                seen.append(gradient.double().numpy().copy())
                return gradient if mask is None or len(seen) > 1 else torch.where(mask, -torch.sign(moved) * gradient.abs(), gradient)

            parameter.register_hook(hook)
        recorded = _Recorded(d, trainer.config.model.history, kind)
        self.averages = trainer.train_epoch(recorded, Tape(d, kind))
        self.state = {name: value.numpy() for name, value in trainer.network.state_dict().items()}


def _below_rounding(narrow: _Run, wide: _Run, step: int) -> Arrays:
    """Elements whose gradients up to `step` are all smaller than the rounding error of that of `step`: Adam's step of about lr then
    follows the accident of the order of additions."""
    masks = {}
    for name, gradients in wide.gradients.items():
        noise = np.abs(narrow.gradients[name][step] - gradients[step]).max()
        masks[name] = np.max(np.abs(gradients[: step + 1]), axis=0) <= noise
    return masks


def _compare_run(run: _Run, d: Arrays, free: Arrays | None = None) -> list[Check]:
    """Averages and weights against the recorded ones; `free` elements may be anywhere within the steps that Adam can make."""
    checks = [compare(f"average {name}", run.averages[name], want, rtol=_AVERAGE) for name, want in under(d, "out/average/").items()]
    for name, want in under(d, "out/after/").items():
        got = run.state[name]
        if name.endswith("num_batches_tracked"):
            checks.append(compare(name, got, want))
        elif name.endswith("running_var"):
            checks.append(close(name, got, want, _VARIANCE))
        elif name.endswith("running_mean"):
            checks.append(compare(name, got, want, atol=_MEAN))
        elif not _dead(name):
            loose = np.zeros(want.shape, bool) if free is None else free[name]
            checks.append(compare(name, np.where(loose, want, got), want, atol=_WEIGHTS))
            checks.append(compare(f"{name}, all of it", got, want, atol=_STEPS))
    return checks


def check_train(path: Path) -> list[Check]:
    """One epoch of the published training: averages of the losses, and every weight after the steps of Adam.

    Adam moves a weight by about the learning rate however small its gradient is. Where a gradient is smaller than its own rounding
    error (found by running the epoch in float64 too), the recorded direction is an accident, and one such weight shifts everything
    after it. If a check fails, those few elements take the recorded direction; their share is a check of its own.
    """
    import tempfile

    d, c = load_vector(path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = _Run(d, c, folder)
        checks = _compare_run(run, d)
        if all(check.ok for check in checks):
            return checks
        signs = _below_rounding(run, _Run(d, c, folder, double=True), 0)
        run, wide = _Run(d, c, folder, signs=signs), _Run(d, c, folder, double=True, signs=signs)
    free = {name: np.zeros(mask.shape, bool) for name, mask in signs.items()}
    for step in range(1, len(next(iter(wide.gradients.values())))):
        free = {name: free[name] | mask for name, mask in _below_rounding(run, wide, step).items()}
    living = [name for name in signs if not _dead(name)]
    share = sum(int((signs[name] | free[name]).sum()) for name in living) / sum(signs[name].size for name in living)
    return [*_compare_run(run, d, free), Check("share of accidental directions", share, 0.05)]


def _raw(d: Arrays, prefix: str) -> dict[str, dict[str, np.ndarray]]:
    nested: dict[str, dict[str, np.ndarray]] = {}
    for key, value in under(d, prefix).items():
        subject, action = key.split("|")
        nested.setdefault(subject, {})[action] = value
    return nested


def check_dataset(path: Path) -> list[Check]:
    """Test windows with their similar futures, training batches of both stages, the pool of candidate clips."""
    from training.dhmp.published import PUBLISHED_SETS
    from training.dhmp.published_train import PublishedWindows, body_pool, to_channels
    from training.dhmp.windows import cut_windows, neighbours

    d, c = load_vector(path)
    about = PUBLISHED_SETS[c["d"]]
    motions = {s: {a: about.prepare(x, f"{s}, {a}") for a, x in actions.items()} for s, actions in _raw(d, "in/raw/").items()}
    test = cut_windows(about, about.select({s: dict(motions[s]) for s in about.test if s in motions}))
    similar = neighbours(test)
    futures = np.concatenate([test.similar_futures(i, rows) for i, rows in enumerate(similar)])
    checks = [
        close("test windows", to_channels(np.concatenate([test.history, test.truth], 1)), d["out/test/windows"]),
        compare("similar counts", np.array([len(rows) for rows in similar]), d["out/test/similar_counts"]),
    ]
    if "out/test/similars_first2_every3" in d:
        want = d["out/test/similars_first2_every3"]
        checks.append(close("similar futures", to_channels(futures)[: len(want), :, ::3], want))
    train = about.select({s: dict(motions[s]) for s in about.train if s in motions})
    rows = {s: {a: [r[r >= 0] for r in x] for a, x in actions.items()} for s, actions in _raw(d, "in/simidx/").items()}
    drawn = PublishedWindows(about, train, d["in/data_candidate"], rows)
    count = int(d["out/train_t1/n_batches"])
    first = np.stack(list(drawn.stage1_batches(np.random.RandomState(c["np_seed"]), count * c["bs"], c["bs"])))
    checks.append(close("stage 1", first[..., ::5], d["out/train_t1/batches_every5"]))
    want = d["out/train_t2/data_every5"]
    pairs = list(drawn.stage2_batches(np.random.RandomState(c["np_seed"]), len(want) * c["bs"], c["bs"], c["similar_cnt"]))
    checks.append(close("stage 2", np.stack([p.motions for p in pairs])[..., ::5], want))
    checks.append(close("stage 2 similar", np.stack([p.similar for p in pairs])[..., ::9], d["out/train_t2/similars_every9"]))
    pool = body_pool(d["in/data_candidate"], train, next(iter(train)), about)
    return [*checks, close("pool", pool[:2, ::9], d["out/pool_first_subject_first2_every9"])]


def _official_state(path: Path, dataset: str, d: Arrays) -> dict[str, Any]:
    """Weights of the published classifier, which the vector names by its checksum only."""
    from exporters import checkpoint as foreign

    name = f"{dataset}_classifier.pth"
    found = next((p for p in (path.parent / "official" / name, path.parent / name) if p.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"needs the published {name} in {path.parent.name}/official")
    if hashlib.sha256(found.read_bytes()).hexdigest() != str(d["meta/pth_sha256"]):
        raise ValueError(f"{found}: another file than the vector was made with")
    return foreign.state_of(foreign.read(found), "model", found)


def check_classifier(path: Path) -> list[Check]:
    """Logits and features for given, zero and recorded random initial states."""
    import torch

    from pose_rt.models.dhmp import ActionClassifier

    d, c = load_vector(path)
    state = tensors(under(d, "w/")) if under(d, "w/") else _official_state(path, c["d"], d)
    network = ActionClassifier(NODES[c["d"]], len(state["linear2.bias"])).eval()
    network.load_state_dict(state)
    t = tensors({key: value for key, value in d.items() if key.startswith(("in/", "noise/"))})
    checks = []
    with torch.no_grad():
        logits = network(t["in/motion"], t["in/h0"])
        checks.append(close("logits", logits, d["out/logits"]))
        checks.append(close("features", network.features(t["in/motion"], t["in/h0"]), d["out/activation30"]))
        checks.append(compare("argmax", logits.argmax(-1).numpy(), d["out/argmax"]))
        checks.append(close("logits from zero", network(t["in/motion"]), d["out/logits_h0zero"]))
        checks.append(close("features from zero", network.features(t["in/motion"]), d["out/activation30_h0zero"]))
        checks.append(close("logits from noise", network(t["in/motion"], t["noise/000"]), d["out/logits_random_h0"]))
        features = network.features(t["in/motion"], t["noise/001"])
        return [*checks, close("features from noise", features, d["out/activation30_random_h0"])]


def check_fid(path: Path) -> list[Check]:
    """Statistics and distances; both published copies of the code give the same."""
    d, _ = load_vector(path)
    real, generated = distribution.gaussian(d["in/gt"]), distribution.gaussian(d["in/pred"])
    direct = distribution.frechet(
        distribution.Gaussian(d["in/mu1"], d["in/sigma1"]), distribution.Gaussian(d["in/mu2"], d["in/sigma2"])
    )  # fmt: skip
    lacking = distribution.fid(d["in/gt_rankdef"], d["in/pred_rankdef"])
    checks = []
    for prefix in sorted({key.rsplit("/", 1)[0] for key in d if key.startswith("out/")}):
        want = under(d, f"{prefix}/")
        for name, value in (("gt", real), ("pred", generated)):
            checks.append(close(f"{name} mean", value.mean, want[f"{name}_mu"]))
            checks.append(close(f"{name} covariance", value.covariance, want[f"{name}_sigma"]))
        checks.append(compare("fid", distribution.frechet(real, generated), want["fid"], rtol=1e-6))
        checks.append(compare("fid to itself", distribution.frechet(real, real), want["fid_self"], atol=1e-6))
        checks.append(compare("fid without full rank", lacking, want["fid_rankdef"], rtol=1e-3))
        checks.append(compare("frechet", direct, want["frechet_direct"], rtol=1e-6))
    return checks


def check_fidacc(path: Path) -> list[Check]:
    """The published loop over a few windows, its random initial states and its divisor."""
    import torch

    from pose_rt.models.dhmp import ActionClassifier, MotionDCT, gumbel_coefficients
    from tests.parity.dhmp_measures import networks
    from training.dhmp.objective import decode_futures
    from training.dhmp.published import PUBLISHED_SETS
    from training.dhmp.recognition import recognise

    d, c = load_vector(path)
    about = PUBLISHED_SETS[c["d"]]
    cvae, sampler = networks(d, c, 2)
    classifier = ActionClassifier(NODES[c["d"]], len(about.classes))
    state = recipe_state({key: tuple(value.shape) for key, value in classifier.state_dict().items()}, int(d["meta/classifier_recipe_seed"]))
    digest = hashlib.sha256(b"".join(key.encode() + np.ascontiguousarray(value).tobytes() for key, value in state.items()))
    checks = [Check("classifier sha256", float(digest.hexdigest() != str(d["meta/classifier_sha256"])), 0.0)]
    classifier.load_state_dict(tensors(state))
    windows, history, k = torch.from_numpy(d["in/windows"]), HISTORY[c["d"]], c["override"]["nk"]
    dct = MotionDCT(windows.shape[-1], _DCT_N)
    tape = Tape(d)
    cvae.eval()
    sampler.eval()

    def futures(i: int) -> Any:
        condition = dct.condition(windows[i : i + 1, :, :history])
        eps = tape.normal(k, c["override"]["z_dim"])
        shares = gumbel_coefficients(tape.uniform(1, k, c["override"]["base_num_p1"]), _TEMPERATURE)
        return decode_futures(cvae, dct, condition, sampler(condition, shares, eps)[0])[0, ..., history:]

    counted = [i for i in range(len(windows)) if about.keep_unmatched or d["in/similar_counts"][i] > 0]
    labels = d["in/label15" if len(about.classes) == 15 else "in/label5"]
    got = recognise(
        classifier, labels, lambda i: windows[i : i + 1, :, history:], futures, counted, lambda batch: tape.normal(2, batch, 128)
    )  # fmt: skip
    # Few windows make covariances without full rank, whose root the published code takes by another algorithm.
    checks.append(compare("fid", got.fid, d["out/fid"], rtol=1e-3))
    return [*checks, compare("accuracy", got.reference_accuracy, d["out/acc"], atol=1e-9)]


HANDLERS: list[tuple[str, Callable[[Path], list[Check]]]] = [
    ("dhmp/train_t*.npz", check_train),
    ("dhmp/dataset_*.npz", check_dataset),
    ("dhmp/classifier_*.npz", check_classifier),
    ("dhmp/fid.npz", check_fid),
    ("dhmp/fidacc_eval_*.npz", check_fidacc),
]
