"""Times of the native ops against their NumPy definition and, with torch installed, the plain torch formula of the papers.

All candidates of a case take turns in one run, on one thread, and the median counts. The clock is the thread's CPU time: on a
shared machine the time that other processes take does not count, only the caches and the clock rate that they cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from pose_rt import ops
from pose_rt.bench import bench_torch, machine
from pose_rt.io.output import write_json
from pose_rt.ops import reference

Call = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One op at one size: the calls to compare, and the time that the design asks for (ms), None where it asks nothing."""

    name: str
    native: Call
    numpy: Call
    target_ms: float | None = None
    torch: Call | None = None


@dataclass(frozen=True)
class Row:
    """Median milliseconds of a case, the fastest native run, and native against the others."""

    name: str
    native_ms: float
    native_min_ms: float
    target_ms: float | None
    numpy_ms: float
    torch_ms: float | None
    times_faster_than_numpy: float
    times_faster_than_torch: float | None


def _camera() -> np.ndarray:
    return np.array([2.29, 2.29, 0.02, 0.03, -0.2, 0.25, -0.001, -0.0009, -0.0014], np.float32)


def _sampling(rng: np.random.Generator, torch: bench_torch.Formulas | None) -> list[Case]:
    heatmap = rng.normal(size=(17, 64, 48)).astype(np.float32)
    centres = np.column_stack([rng.uniform(0, 48, 17), rng.uniform(0, 64, 17)]).astype(np.float32)
    cases = []
    for label, options, target in (
        ("sample_coordinates 17x64x48, 30 draws, tau 0.5", {"noise_scale": 2.0}, 1.8),
        ("sample_coordinates 17x64x48, 30 draws, any tau", {"noise_scale": 1.4}, None),
        ("sample_coordinates 17 windows 9x9, 30 draws", {"noise_scale": 2.0, "window": (centres, 9)}, 0.2),
    ):
        cases.append(
            Case(
                label,
                lambda o=options: ops.sample_coordinates(heatmap, 30, **o),  # type: ignore[misc]
                lambda o=options: reference.sample_coordinates(heatmap, 30, **o),  # type: ignore[misc]
                target,
                torch.sampling_argmax(heatmap, 30, 0.5) if torch and "window" not in options else None,
            )
        )
    logits = rng.normal(size=(64, 40)).astype(np.float32)
    cases.append(
        Case(
            "gumbel_softmax 64x40, 50 draws",
            lambda: ops.gumbel_softmax(logits, 50, temperature=0.85),
            lambda: reference.gumbel_softmax(logits, 50, temperature=0.85),
            None,
            torch.gumbel_softmax(logits, 50, 0.85) if torch else None,
        )
    )
    bases = rng.normal(size=(1, 40, 128)).astype(np.float32)
    out = np.empty((1, 50, 128), np.float32)
    cases.append(
        Case(
            "blend_bases 40 bases, 50 futures, 128 wide",
            lambda: ops.blend_bases(bases, draws=50, out=out),
            lambda: reference.blend_bases(bases, draws=50),
            0.02,
            torch.blend(bases, 50, 0.85) if torch else None,
        )
    )
    return cases


def _aggregation(rng: np.random.Generator, torch: bench_torch.Formulas | None) -> list[Case]:
    cases = []
    for frames, target in ((243, 0.1), (1, 0.005)):
        hypotheses = rng.normal(0, 0.3, (1, 20, frames, 17, 3)).astype(np.float32)
        root = np.broadcast_to(np.array([0.1, 0.2, 4.0], np.float32), (1, frames, 3)).copy()
        target_xy = rng.normal(0, 0.3, (1, frames, 17, 2)).astype(np.float32)
        camera = _camera()
        out = (np.empty((1, frames, 17, 3), np.float32), np.empty((1, frames, 17), np.float32), np.empty((1, frames, 17), np.int32))
        options = {"mode": "jpma", "target_xy": target_xy, "root": root, "camera": camera}
        cases.append(
            Case(
                f"aggregate jpma, H=20, {frames} frame{'s' if frames > 1 else ''}, 17 joints",
                lambda h=hypotheses, o=options, out=out: ops.aggregate(h, out=out, **o),  # type: ignore[misc]
                lambda h=hypotheses, o=options: reference.aggregate(h, **o),  # type: ignore[misc]
                target,
                torch.jpma(hypotheses, target_xy, root, camera) if torch else None,
            )
        )
    points = rng.normal(size=(100_000, 3)).astype(np.float32) + np.array([0, 0, 5], np.float32)
    projected = np.empty((100_000, 2), np.float32)
    cases.append(
        Case(
            "project 100 000 points with distortion",
            lambda: ops.project(points, _camera(), out=projected),
            lambda: reference.project(points, _camera()),
            None,
            torch.project(points, _camera()) if torch else None,
        )
    )
    return cases


def _frame(rng: np.random.Generator) -> list[Case]:
    image = rng.integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    roi = np.array([[640, 360, 600, 0.2]], np.float32)
    crop = np.empty((1, 3, 256, 256), np.float32)
    logits = rng.normal(-6, 1, (1, 39, 64, 64)).astype(np.float32)
    cells = rng.integers(8, 56, (39, 2))
    for j, (x, y) in enumerate(cells):
        logits[0, j, y - 2 : y + 3, x - 2 : x + 3] += 7
    points = (cells / 64).astype(np.float32)[None]
    state = ops.OneEuroState.empty(1, 117)
    camera = np.array([1000, 1000, 640, 360], np.float32)
    clock = iter(range(1, 1 << 60))

    def decode(op: Any, filter_state: ops.OneEuroState, t: Any) -> Any:
        refined, _, _ = op.refine_heatmaps(logits, points)
        xyz = np.concatenate([refined, np.ones((1, 39, 1), np.float32)], -1)
        op.project(xyz, camera)
        scale = np.ones(1)
        return op.one_euro(xyz.reshape(1, 117), filter_state, t, min_cutoff=0.05, beta=80.0, d_cutoff=1.0, value_scale=scale)

    boxes = rng.normal(0, 30, (2254, 12)).astype(np.float32)
    scores = rng.normal(-4, 1.5, 2254).astype(np.float32)
    return [
        Case(
            "crop_warp 1280x720 -> 256x256",
            lambda: ops.crop_warp(image, roi, 256, out=crop),
            lambda: reference.crop_warp(image, roi, 256),
            0.35,
            bench_torch.opencv_crop(image, roi[0], 256),
        ),
        Case(
            "refine + project + filter, 39 points",
            lambda: decode(ops, state, next(clock) / 30),
            lambda: decode(reference, state, np.array([next(clock) / 30])),
            0.05,
        ),
        Case(
            "decode_detections 2254 anchors",
            lambda: ops.decode_detections(boxes, scores),
            lambda: reference.decode_detections(boxes, scores),
        ),
    ]


def _milliseconds(call: Call, repeat: int) -> float:
    start = time.thread_time_ns()
    for _ in range(repeat):
        call()
    return (time.thread_time_ns() - start) * 1e-6 / repeat


def _measure(case: Case, budget_s: float) -> Row:
    calls = {"native": case.native, "numpy": case.numpy} | ({"torch": case.torch} if case.torch else {})
    # A turn lasts a fifth of a millisecond at least, so that reading the clock does not count.
    repeats = {name: max(1, int(0.2 / max(min(_milliseconds(call, 1) for _ in range(3)), 1e-3))) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + budget_s
    while len(times["numpy"]) < 3 or time.perf_counter() < end:
        for name, call in calls.items():
            # Several turns of a short call for one of a long one: medians of few values wander.
            for _ in range(1 if times[name] and times[name][-1] > 5 else 5):
                times[name].append(_milliseconds(call, repeats[name]))
    mid = {name: median(values) for name, values in times.items()}
    return Row(
        name=case.name,
        native_ms=mid["native"],
        native_min_ms=min(times["native"]),
        target_ms=case.target_ms,
        numpy_ms=mid["numpy"],
        torch_ms=mid.get("torch"),
        times_faster_than_numpy=mid["numpy"] / mid["native"],
        times_faster_than_torch=mid["torch"] / mid["native"] if "torch" in mid else None,
    )


def _line(*cells: str) -> str:
    return f"{cells[0]:<50}" + "".join(f"{cell:>12}" for cell in cells[1:])


def _text(row: Row) -> str:
    def number(value: float | None, unit: str = "") -> str:
        return "-" if value is None else f"{value:.4g}{unit}"

    return _line(
        row.name, number(row.native_ms), number(row.target_ms), number(row.numpy_ms), number(row.torch_ms),
        number(row.times_faster_than_numpy, "x"), number(row.times_faster_than_torch, "x"),
    )  # fmt: skip


def run(json_path: str | Path | None = None, *, seconds_a_case: float = 1.0) -> dict[str, Any]:
    """Measure every case and print a line each; return (and write as JSON, if a path is given) facts of the machine and all rows.

    The column "torch" is OpenCV's warp, cast and transpose for crop_warp; elsewhere it is the papers' formula, where torch is there.
    """
    torch = bench_torch.load()
    rng = np.random.default_rng(0)
    print(f"{ops.backend()}; milliseconds of CPU time, median, one thread; crop_warp stands against OpenCV in the torch columns")
    print(_line("op", "native", "target", "numpy", "torch", "vs numpy", "vs torch"), flush=True)
    rows = []
    for case in [*_sampling(rng, torch), *_aggregation(rng, torch), *_frame(rng)]:
        rows.append(_measure(case, seconds_a_case))
        print(_text(rows[-1]), flush=True)
    report = {
        "machine": machine.facts(),
        "threads": 1,
        "unit": "ms of the thread's CPU time, median",
        "rows": [asdict(row) for row in rows],
    }
    if json_path is not None:
        write_json(Path(json_path), report)
    return report
