"""FID and accuracy of predicted futures by an action classifier, proper and as published."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pose_rt.errors import InputError
from pose_rt.metrics.distribution import confusion, fid
from pose_rt.models.dhmp import ActionClassifier
from training.common import checkpoint

from .published import PUBLISHED_SETS

KIND = "dhmp-classifier"
State = Callable[[int], Tensor | None]
"""Number of motions -> initial state of the GRU, or None for zeros."""


class Recognised(NamedTuple):
    """Scores of all counted windows.

    Attributes:
        fid: Frechet distance between the features of the true futures and of all predicted ones.
        accuracy: share of the predicted futures whose action is recognised; NaN where no window has a label.
        reference_accuracy: the same sum divided by all windows, skipped ones included, as published.
        confusion: (classes, classes), row = label.
    """

    fid: float
    accuracy: float
    reference_accuracy: float
    confusion: np.ndarray


class LoadedClassifier(NamedTuple):
    """A classifier with the names of its actions and the data set it was trained on."""

    network: ActionClassifier
    classes: tuple[str, ...]
    dataset: str


@torch.no_grad()
def recognise(
    classifier: ActionClassifier,
    labels: np.ndarray,
    truth: Callable[[int], Tensor],
    futures: Callable[[int], Tensor],
    counted: Iterable[int],
    state: State = lambda _: None,
) -> Recognised:
    """FID and accuracy.

    Args:
        labels: (N,) class of each window, -1 where it has none.
        truth, futures: window -> channels (1, 3V, T_pred) and (K, 3V, T_pred).
        counted: rows of the windows that count.
        state: asked for each window three times, in the published order: accuracy, features of the futures, feature of the truth.
    """
    classifier.eval()
    generated, real, table, k = [], [], np.zeros((classifier.classes, classifier.classes), np.int64), 0
    for i in counted:
        motions = futures(i)
        k = len(motions)
        predicted = classifier(motions, state(k)).argmax(-1).numpy()
        if labels[i] >= 0:
            table += confusion(np.full(k, labels[i]), predicted, classifier.classes)
        generated.append(classifier.features(motions, state(k)))
        real.append(classifier.features(truth(i), state(1)))
    if len(real) < 2:
        raise InputError(f"{len(real)} windows count, FID needs two or more")
    right = int(np.trace(table))
    seen = int(table.sum())
    return Recognised(
        fid(torch.cat(real).numpy(), torch.cat(generated).numpy()),
        right / seen if seen else float("nan"), right / (len(labels) * k), table,
    )  # fmt: skip


def random_states(classifier: ActionClassifier, seed: int) -> State:
    """The published initial states, drawn from N(0, 1) on every call; here by a seed."""
    generator = torch.Generator().manual_seed(seed)
    return lambda batch: classifier.initial_state(batch, generator)


def load_classifier(path: Path, dataset: str) -> LoadedClassifier:
    """A classifier of `training.dhmp.train_classifier`, or a published one (`h36m_classifier.pth`), read without unpickling code.

    Raises:
        InputError: no such file, not a classifier, or one of another data set.
    """
    cure = f"train one with: python -m training.dhmp.train_classifier --dataset {dataset}"
    if path.suffix == ".pth":
        from exporters import checkpoint as foreign

        if dataset not in PUBLISHED_SETS:
            raise InputError(f"{path}: published classifiers belong to {' or '.join(PUBLISHED_SETS)}, not to {dataset}", cure)
        about = PUBLISHED_SETS[dataset]
        network = ActionClassifier(len(about.parents) - 1, len(about.classes))
        foreign.load_into(network, foreign.state_of(foreign.read(path), "model", path), path)
        return LoadedClassifier(network.eval(), about.classes, dataset)
    values: dict[str, Any] = checkpoint.load(path, ("kind", "classes", "model"))
    if values["kind"] != KIND or values["dataset"] != dataset:
        raise InputError(f"{path}: {values['kind']} of {values.get('dataset')}, wanted {KIND} of {dataset}", cure)
    network = ActionClassifier(values["nodes"], len(values["classes"]))
    network.load_state_dict(values["model"])
    return LoadedClassifier(network.eval(), tuple(values["classes"]), dataset)
