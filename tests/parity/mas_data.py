"""MAS vectors of the data sets, the metrics and the projections of the evaluation."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.core.motion_sets import MOTION_SETS
from pose_rt.diffusion.multiview import perspective_each
from pose_rt.metrics.distribution import fid
from pose_rt.metrics.manifold import diversity, format_number, mean_and_interval, precision_recall
from tests.parity.check import Check
from tests.parity.gfpose import Vectors
from training.mas.batches import Normaliser
from training.mas.clips import Clip, augment, collate, split_names, to_clip
from training.mas.subjects import LIFTER_TO_NBA, horizontal_angles


class _Recorded:
    """The recorded draws as a generator."""

    def __init__(self, v: Vectors) -> None:
        self._values = iter([v.arrays["noise__" + name] for name in v.cfg["draw_order"]])

    def integers(self, low: int, high: int) -> int:
        value = int(next(self._values))
        assert low <= value < high, f"recorded draw {value} is outside [{low}, {high})"
        return value

    def normal(self, loc: float, scale: float, size: int | None = None) -> Any:
        value = next(self._values)
        assert np.shape(value) == (() if size is None else (size,))
        return value


def _datasets(path: Path) -> list[Check]:
    v = Vectors(path)
    draws, checks = _Recorded(v), []
    for name in ("nba", "horse", "gymnastics", "humanml"):
        spec = MOTION_SETS[name]
        if "in__" + name not in v.arrays:
            continue
        values = v.arrays["in__" + name]
        plain = Normaliser(np.zeros((spec.joints, 2)), np.ones((spec.joints, 2)))
        normaliser = Normaliser(v.arrays[f"in__{name}_mean"], v.arrays[f"in__{name}_std"]) if f"in__{name}_mean" in v.arrays else plain
        clips = [to_clip(clip, spec, normaliser) for clip in values]
        for kind, names in (("plain", ()), ("aug", spec.augmentations)):
            if f"out__{name}_{kind}_motion" not in v.arrays:
                continue
            batch = collate([augment(clip, names, spec, normaliser, draws) for clip in clips])
            parts = {"motion": batch.motion, "lengths": batch.lengths, "mask": batch.mask, "uncond": True}
            checks += [v.check(f"{name}_{kind}_{key}", value) for key, value in parts.items()]
    spec = MOTION_SETS["gymnastics"]
    normaliser = Normaliser(v.arrays["in__gymnastics_mean"], v.arrays["in__gymnastics_std"])
    generic, values = replace(spec, accepted=None), v.arrays["in__gymnastics"][0]
    whole = Clip(normaliser(values[..., :2]), values[..., 2:])  # the base class masks by the confidence itself
    clip = augment(whole, ("length_aug", "scale_aug", "shift_aug"), generic, normaliser, draws)
    checks += [
        v.check("generic_aug_motion", clip.motion),
        v.check("generic_aug_length", len(clip.motion)),
        v.check("generic_aug_mask", clip.mask),
    ]
    listed = [name.removesuffix(".npy") for name in v.arrays["in__names"].tolist()]
    for key in v.arrays:
        if key.startswith("out__split_"):
            split, size = key.removeprefix("out__split_").split("_")
            got = split_names(listed, split, random.Random(v.cfg["py_seed"]), None if size == "None" else int(size))
            checks.append(v.check(key[5:], got))
    return checks


def _metrics(path: Path) -> list[Check]:
    v = Vectors(path)
    generated, real, singular = (v.arrays["in__" + name] for name in ("gen", "real", "singular"))
    scores = precision_recall(real, generated, v.cfg["k"])
    mean, interval = mean_and_interval(v.arrays["in__values"])
    numbers = v.arrays["out__fmt"].tolist()
    return [
        v.check("fid", fid(real, generated)),
        v.check("fid_self", fid(real, real)),
        v.check("fid_singular", fid(real, singular)),
        v.check("diversity", diversity(generated, v.arrays["noise__div_idx1"], v.arrays["noise__div_idx2"])),
        v.check("precision", scores.precision),
        v.check("recall", scores.recall),
        v.check("summary_mean", mean),
        v.check("summary_ci", interval),
        v.check("fmt", [format_number(float(number)) for number in numbers]),
    ]


def _projections(path: Path) -> list[Check]:
    v = Vectors(path)
    spec, motion = MOTION_SETS[v.cfg["dataset"]], v.arrays["in__motion3d"]
    vertical = np.full(len(motion), spec.vertical[0])
    sides = horizontal_angles("side", np.random.default_rng(0), len(motion))
    angles = {"uniform": v.arrays["noise__uniform_hor"], "side": sides, "hybrid": v.arrays["noise__hybrid_hor"]}
    checks = []
    for name, horizontal in angles.items():
        seen = perspective_each(motion, horizontal, vertical, spec.distance, spec.scale)
        checks.append(v.check(name, seen.transpose(0, 3, 1, 2)))
    index = list(LIFTER_TO_NBA)
    return [*checks, v.check("mb_to_nba_idx", index), v.check("mb_to_nba", v.arrays["in__mb"][:, index])]


HANDLERS = [
    ("gfmas/mas_datasets.npz", _datasets),
    ("gfmas/mas_metrics.npz", _metrics),
    ("gfmas/mas_eval_projection.npz", _projections),
]
