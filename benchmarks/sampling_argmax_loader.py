"""Crops a second of the training loader: ``python benchmarks/sampling_argmax_loader.py [--count 200] [--workers 2]``.

Pictures of COCO's usual size (640 x 480, JPEG) with drawn people are decoded, augmented and cut as in training. Written are the crops
by the clock with worker processes, and the CPU time of one crop in one process, which neighbours on a shared machine do not change.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import torch

from pose_rt.bench import machine
from training.sampling_argmax.config import PUBLISHED
from training.sampling_argmax.data import Places, transform_for
from training.sampling_argmax.dataset import People, batches, training_places
from training.sampling_argmax.figures import write_folder
from training.sampling_argmax.transforms import CropTransform

WIDTH, HEIGHT, BATCH = 640, 480, 32


def rates(people: People, workers: int, epochs: int = 2) -> dict[str, float]:
    """Crops a second by the clock and by the CPU; the first epoch starts the workers and is not counted."""
    for epoch in range(epochs):
        started, crops = time.monotonic(), 0
        for batch in batches(people, training_places(people, epoch, BATCH, 0), workers):
            if crops == 0:
                started = time.monotonic()
            crops += len(batch.row)
    wall = time.monotonic() - started
    count = min(200, len(people))
    began = time.process_time()
    for row in range(count):
        people[(0, row)]
    cpu = (time.process_time() - began) / count
    return {"crops_per_s": (crops - BATCH) / wall, "cpu_ms_per_crop": 1000 * cpu, "crops_per_s_and_core": 1 / cpu}


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python benchmarks/sampling_argmax_loader.py", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="pictures")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("sampling_argmax_loader.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), {"train": options.count}, size=(WIDTH, HEIGHT))
        (found,) = Places(Path(folder)).read("images", training=True)
        for task in ("coco", "mtfl"):
            transform: CropTransform = transform_for(PUBLISHED[task], found.pairs, training=True)
            results[task] = rates(People([(found, transform)], seed=0), options.workers)
            print(task, {name: round(value, 1) for name, value in results[task].items()})
    report = {
        "what": f"crops of the training loader from {WIDTH} x {HEIGHT} JPEG pictures", "workers": options.workers,
        "machine": machine.facts(), "results": results,
    }  # fmt: skip
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
