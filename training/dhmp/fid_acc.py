"""FID and accuracy: ``python -m training.dhmp.fid_acc --model M --classifier C --dataset D --data DIR [--reference]``.

The classifier's GRU starts from zeros; the published code starts it from noise that it draws anew on every call, which `--reference`
reproduces (with a seed), together with the published divisor of the accuracy.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose_rt.errors import PoseRtError, UsageError

from . import multimodal
from .predictors import load
from .published import PUBLISHED_SETS
from .published_train import to_channels
from .recognition import LoadedClassifier, load_classifier, random_states, recognise
from .sources import DATASETS
from .train_classifier import accuracy, class_rows
from .windows import EvalWindows, neighbours, open_windows


def counted_windows(windows: EvalWindows, keep_unmatched: bool) -> np.ndarray:
    """Rows of the windows that count: all of them, or those with similar pasts (the published protocol of HumanEva)."""
    if keep_unmatched:
        return np.arange(len(windows))
    return np.flatnonzero([len(rows) > 0 for rows in neighbours(windows, track=multimodal.progress("comparing pasts"))])


def score(a: argparse.Namespace) -> dict[str, Any]:
    """FID, accuracy, and the accuracy on the true futures.

    Raises:
        InputError: a model or classifier of another data set, missing data.
    """
    if a.k < 1:
        raise UsageError(f"--k is {a.k}, wanted at least 1")
    predictor = load(a.model, a.dataset, a.stage1)
    classifier: LoadedClassifier = load_classifier(a.classifier, a.dataset)
    windows = open_windows(a.dataset, a.data, predictor.history, predictor.future, a.stride, a.seed, 0.0)
    labels = class_rows(windows.action, classifier.classes)
    published = PUBLISHED_SETS.get(a.dataset)
    counted = counted_windows(windows, published is None or published.keep_unmatched)

    def futures(i: int) -> Tensor:
        return torch.from_numpy(to_channels(predictor.futures(windows.observed[i], a.k, a.seed, i)))

    def truth(i: int) -> Tensor:
        return torch.from_numpy(to_channels(windows.truth[i : i + 1]))

    rows = multimodal.progress("recognising")(counted.tolist())
    states = {"state": random_states(classifier.network, a.seed)} if a.reference else {}
    result = recognise(classifier.network, labels, truth, futures, rows, **states)
    shown = result.reference_accuracy if a.reference else result.accuracy
    return {
        "dataset": a.dataset, "windows": len(windows), "counted": len(counted), "labelled": int((labels >= 0).sum()), "k": a.k,
        "reference": a.reference, "fid": result.fid, "accuracy": shown,
        "accuracy_of_the_truth": accuracy(classifier.network, to_channels(windows.truth), labels),
        "classes": list(classifier.classes), "confusion": result.confusion.tolist(),
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.dhmp.fid_acc", description="FID and accuracy of predicted futures.")
    parser.add_argument("--model", type=Path, required=True, help=".onnx, .pt or a published .pth")
    parser.add_argument("--stage1", type=Path, help="published checkpoint of stage 1 (default: beside --model)")
    parser.add_argument("--classifier", type=Path, required=True, help="from training.dhmp.train_classifier, or a published .pth")
    parser.add_argument("--dataset", choices=DATASETS, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--stride", type=int, default=25, help="frames between window starts (cmu17)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference", action="store_true", help="random initial states and the published divisor")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    try:
        report = score(a)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(
        f"FID {report['fid']:.4f}, accuracy {report['accuracy']:.2%} (true futures: {report['accuracy_of_the_truth']:.2%}), "
        f"{report['counted']} of {report['windows']} windows, {report['labelled']} with a known action"
    )
    if a.json is not None:
        a.json.parent.mkdir(parents=True, exist_ok=True)
        a.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
