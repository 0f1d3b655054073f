"""An engine on its GPU against ONNX Runtime in fp32: how far its results lie, in the model's own unit, and how long a run takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backends.base import Backend
from .trials import Deviation, Feeds, batch, deviation

WARM_UP, RUNS = 20, 200


def compare(candidate: Backend, reference: Backend, feeds: Sequence[Feeds]) -> Deviation:
    """The largest and the mean distance of the candidate's results over recorded inputs, one by one and all in one batch."""
    found = []
    for given in (*feeds, batch(list(feeds))):
        wanted = {name: value.copy() for name, value in reference.run(given).items()}
        found.append(deviation(candidate.metadata, given, wanted, candidate.run(given)))
    return Deviation(max(one.max for one in found), float(np.mean([one.mean for one in found])), found[0].unit)


def latency_ms(backend: Backend, feeds: Feeds, runs: int = RUNS) -> dict[str, float]:
    """Median and 99th percentile of `run` with its copies from and to the host, milliseconds."""
    times = []
    for number in range(WARM_UP + runs):
        start = time.perf_counter()
        backend.run(feeds)
        if number >= WARM_UP:
            times.append(1e3 * (time.perf_counter() - start))
    return {"p50_ms": float(np.percentile(times, 50)), "p99_ms": float(np.percentile(times, 99))}


def verify(candidate: Backend, reference: Backend, feeds: Sequence[Feeds]) -> dict[str, Any]:
    """What the sidecar keeps of both."""
    found = compare(candidate, reference, feeds)
    return {"max": found.max, "mean": found.mean, "unit": found.unit, **latency_ms(candidate, feeds[0]), "runs": RUNS}
