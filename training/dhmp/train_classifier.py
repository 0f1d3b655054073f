"""Train the action classifier behind FID and ACC: ``python -m training.dhmp.train_classifier --dataset cmu17 --data DIR --out FILE.pt``.

A two-layer GRU sees the true futures of the training subjects; accuracy is measured on the test subjects. The published paper gives
no recipe for its classifiers; this one is Adam with cross entropy over classes drawn equally often.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from torch.nn import functional

from pose_rt.errors import InputError, PoseRtError
from pose_rt.models.dhmp import ActionClassifier
from training.common import checkpoint

from .published import PUBLISHED_SETS
from .published_train import to_channels
from .recognition import KIND
from .sources import DATASETS
from .windows import EvalWindows, cmu17_windows, cut_windows, open_windows


def class_rows(actions: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Index of each action in `classes`, -1 for one that is not there."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index.get(str(a), -1) for a in actions], np.int64)


def training_windows(dataset: str, folder: Path, epoch: int) -> EvalWindows:
    """Windows of the training subjects; those of cmu17 have other headings in every epoch."""
    if dataset == "cmu17":
        return cmu17_windows(folder, 25, 100, 25, epoch + 1, 0.0, "train")
    about = PUBLISHED_SETS[dataset]
    return cut_windows(about, about.motions(folder, about.train))


@torch.no_grad()
def accuracy(network: ActionClassifier, motions: np.ndarray, labels: np.ndarray) -> float:
    """Share of the labelled motions (N, 3V, T) whose action is recognised; NaN without any."""
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return float("nan")
    network.eval()
    right = [
        network(torch.from_numpy(motions[part])).argmax(-1).numpy() == labels[part] for part in np.array_split(known, len(known) // 256 + 1)
    ]
    return float(np.concatenate(right).mean())


def train(a: argparse.Namespace) -> float:
    """Train, save, and return the accuracy on the test subjects.

    Raises:
        InputError: missing data, or fewer than two actions.
    """
    windows = training_windows(a.dataset, a.data, 0)
    known = PUBLISHED_SETS[a.dataset].classes if a.dataset in PUBLISHED_SETS else tuple(sorted({str(x) for x in windows.action}))
    classes = tuple(known)
    labels = class_rows(windows.action, classes)
    if len(np.unique(labels[labels >= 0])) < 2:
        raise InputError(f"{a.dataset}: windows of fewer than two actions", "nothing can be told apart")
    torch.manual_seed(a.seed)
    network = ActionClassifier(windows.truth.shape[2] - 1, len(classes))
    optimiser = torch.optim.Adam(network.parameters(), lr=a.lr)
    counts = np.bincount(labels, minlength=len(classes))
    share = 1.0 / counts[labels]
    motions = to_channels(windows.truth)
    with Progress(disable=not sys.stderr.isatty()) as progress:
        for epoch in progress.track(range(a.epochs), description="training the classifier"):
            if a.dataset == "cmu17" and epoch:
                motions = to_channels(training_windows(a.dataset, a.data, epoch).truth)
            rng = np.random.default_rng([a.seed, epoch])
            rows = rng.choice(len(labels), len(labels), p=share / share.sum())
            network.train()
            for part in np.array_split(rows, max(len(rows) // a.batch, 1)):
                loss = functional.cross_entropy(network(torch.from_numpy(motions[part])), torch.from_numpy(labels[part]))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimiser.step()
    history, future = windows.history.shape[1], windows.truth.shape[1]
    test = open_windows(a.dataset, a.data, history, future, 25, 0, 0.0)
    score = accuracy(network, to_channels(test.truth), class_rows(test.action, classes))
    checkpoint.save(a.out, {
        "kind": KIND, "dataset": a.dataset, "classes": list(classes), "nodes": network.nodes, "future": future,
        "test_accuracy": score, "epochs": a.epochs, "model": network.state_dict(),
    })  # fmt: skip
    return score


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.dhmp.train_classifier", description="Train the classifier of FID and ACC.")
    parser.add_argument("--dataset", choices=DATASETS, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        score = train(a)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"wrote {a.out}: {100 * score:.1f} % of the true test futures recognised")
    return 0


if __name__ == "__main__":
    sys.exit(main())
