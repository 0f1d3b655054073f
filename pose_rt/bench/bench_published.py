"""The published D3DP model, run as its authors evaluate it: our runtimes against the plain formula in torch, in turns.

243 frames, width 512, depth 8, five hypotheses, five DDIM steps, averaged with the mirrored input: 50 runs of the network a window. The
weights are random, which changes no time: the published ones come from a download of the user's own. torch and the exporters
are loaded by name and inside functions: the run-time path never needs them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.backends import Backend, open_backend
from pose_rt.backends.onnxruntime import OnnxRuntimeCudaBackend
from pose_rt.core.camera import Camera, normalise_screen
from pose_rt.core.rng import STREAM_LIFT, normal
from pose_rt.core.skeleton import H36M17, mirror_points
from pose_rt.diffusion.ddim import ddim_sample, flip_average
from pose_rt.diffusion.schedule import cosine_schedule
from pose_rt.errors import BackendError, UsageError
from pose_rt.io.output import write_json
from pose_rt.stages.lifter import Lifter

from . import machine

TIMESTEPS, WARM_UP = 1000, 1
_CAMERA = Camera.default(1000, 1000)
_CURE = "run in a checkout with: pip install -e '.[dev]'"


@dataclass(frozen=True)
class Size:
    """Of the network and of its sampler; the defaults are the published ones."""

    frames: int = 243
    width: int = 512
    depth: int = 8
    heads: int = 8
    hypotheses: int = 5
    steps: int = 5

    @property
    def published(self) -> bool:
        return self == Size()


@dataclass(frozen=True)
class Row:
    """Time of lifting one window.

    Attributes:
        ratio: median of the torch formula over this one's.
        error_mm: largest distance of a coordinate from the torch formula's, after all steps.
    """

    backend: str
    precision: str
    runs: int
    p50_ms: float
    p99_ms: float
    ratio: float
    error_mm: float


@dataclass(frozen=True)
class Candidate:
    """One way to lift `keypoints`: the call gives (H, F, J, 3) metres, the root at 0."""

    backend: str
    precision: str
    lift: Callable[[], np.ndarray]


def keypoints(frames: int) -> np.ndarray:
    """(1, F, J, 2) pixels, a wandering figure in a picture of 1000 x 1000."""
    rng = np.random.default_rng(0)
    wander = rng.normal(0, 2, (frames, 1, 2)).cumsum(0)
    return (500 + rng.normal(0, 120, (1, H36M17.num_joints, 2)) + wander + rng.normal(0, 1, (frames, H36M17.num_joints, 2)))[None]


class Formula:
    """The network in torch, fp32, attention written out, and the sampler on its tensors; on the GPU if torch has one.

    Raises:
        BackendError: torch or the network's module is not here.
    """

    def __init__(self, size: Size, threads: int) -> None:
        try:
            self.torch, model, layers = (import_module(n) for n in ("torch", "pose_rt.models.d3dp", "pose_rt.models.layers.transformer"))
        except ImportError as error:
            raise BackendError(f"the plain formula needs torch, which is not here ({error})", _CURE) from error
        self.size = size
        self.torch.set_num_threads(threads)
        self.torch.manual_seed(0)
        self.device = "cuda" if self.torch.cuda.is_available() else "cpu"
        config = model.MixSTEConfig(size.frames, size.width, size.depth, size.heads)
        self.network = model.MixSTE(config).eval()
        self.written_out = [m for m in self.network.modules() if isinstance(m, layers.Attention)]

    def candidate(self) -> Candidate:
        """The formula, timed with its copies to and from the device, as the others are."""
        torch, size, schedule = self.torch, self.size, cosine_schedule(TIMESTEPS)
        for attention in self.written_out:
            attention.fused = False
        network = self.network.to(self.device)
        shape = (size.steps, size.hypotheses, size.frames, H36M17.num_joints, 3)
        noise = normal(shape, seed=0, stream=STREAM_LIFT)
        screen = normalise_screen(keypoints(size.frames), 2 * _CAMERA.cx, 2 * _CAMERA.cy).astype(np.float32)
        partner = torch.as_tensor(H36M17.mirror.astype(np.int64), device=self.device)
        sign = torch.tensor([-1.0, 1.0, 1.0], device=self.device)

        def predictor(xy: np.ndarray) -> Callable[[Any, int], Any]:
            shown = torch.from_numpy(np.repeat(xy, size.hypotheses, 0)).to(self.device)
            return lambda noisy, step: network(shown, noisy, torch.full((len(noisy),), step, device=self.device))

        def lift() -> np.ndarray:
            with torch.inference_mode():
                draws = list(torch.from_numpy(noise).to(self.device))
                predict = flip_average(
                    predictor(screen), predictor(mirror_points(screen, H36M17)), lambda points: points[:, :, partner] * sign
                )  # fmt: skip
                clean = ddim_sample(predict, draws[0], draws[1:], schedule, size.steps)[-1]
                lifted: np.ndarray = (clean - clean[..., :1, :]).cpu().numpy()
            return lifted

        return Candidate(f"torch formula, {self.device}", "fp32", lift)

    def export(self, out: Path) -> None:
        """The same network as an ONNX file, compared with torch on one window.

        Raises:
            BackendError: not in a checkout, or without the exporters' packages.
        """
        try:
            exporter, torch_export = import_module("exporters.d3dp"), import_module("exporters.torch_export")
        except ImportError as error:
            raise BackendError(f"the runtimes need an ONNX file, and the exporters are not here ({error})", _CURE) from error
        joints = H36M17.num_joints
        metadata = {
            "kind": "d3dp", "frames": self.size.frames, "rate_hz": 50.0, "timesteps": TIMESTEPS, "scale": 1.0, "unit_m": 1.0,
            "input": "screen", "skeleton_in": H36M17.name, "skeleton_out": H36M17.name,
            "sigma": {"a_m": [0.05] * joints, "b": [1.0] * joints},
        }  # fmt: skip
        network = self.network.cpu()
        job = exporter.job_of(exporter.Source(network, metadata))
        # Two windows are traced, one is compared: the exporter's own trials are many times as many.
        small = replace(job, trials=lambda seed: exporter.trial_inputs(network.config, 1 if seed else 2, seed))
        torch_export.export(small, out, source="random weights", seeds=(1,))


def _opened(path: Path, threads: int, folder: Path, undo: ExitStack, absent: dict[str, str]) -> Iterator[tuple[str, str, Backend]]:
    """The runtimes that can run the file here; why the others cannot goes into `absent`."""

    def half() -> Backend:
        from pose_rt.engines.precision import to_fp16

        return OnnxRuntimeCudaBackend(to_fp16(path, ()), name=path.stem)

    ways: list[tuple[str, str, Callable[[], Backend]]] = [
        ("onnxruntime", "fp32", lambda: open_backend(path, "onnxruntime", threads=threads)),
        ("cuda", "fp32", lambda: open_backend(path, "cuda")),
        ("cuda", "fp16", half),
        ("tensorrt", "fp32", lambda: _engine(path, "fp32", folder)),
        ("tensorrt", "fp16", lambda: _engine(path, "fp16", folder)),
    ]
    for backend, precision, make in ways:
        if backend in absent:
            continue
        try:
            opened = make()
        except BackendError as error:
            absent[backend] = error.message
            continue
        undo.callback(opened.close)
        yield backend, precision, opened


def _engine(path: Path, precision: str, folder: Path) -> Backend:
    """A TensorRT engine of the file, built for one person."""
    from pose_rt.backends.tensorrt import TensorRtBackend
    from pose_rt.engines import make, runtime

    cuda, reason = make.gpu_or_reason(0)
    if cuda is None:
        raise BackendError(reason, "see `pose-rt doctor`")
    settings = make.Settings(precision=precision, people=1, verify=False, folder=folder / precision)
    make.make_engine(path.stem, path, runtime.load(), cuda, settings)
    return TensorRtBackend(path, name=path.stem, folder=folder / precision)


def _lifting(opened: Backend, size: Size) -> Callable[[], np.ndarray]:
    lifter = Lifter(opened, hypotheses=size.hypotheses, steps=size.steps, flip=True, share_first=False)
    xy = keypoints(size.frames)
    return lambda: lifter(xy, _CAMERA, [0])[0]


def measure(found: Sequence[Candidate], runs: int) -> list[Row]:
    """Time all candidates in turns; the first is what the others are compared with."""
    times: list[list[float]] = [[] for _ in found]
    results: list[np.ndarray] = []
    for turn in range(WARM_UP + runs):
        for candidate, taken in zip(found, times, strict=True):
            start = time.perf_counter()
            lifted = candidate.lift()
            if turn >= WARM_UP:
                taken.append(1e3 * (time.perf_counter() - start))
            else:
                results.append(lifted)
    rows = []
    for candidate, taken, lifted in zip(found, times, results, strict=False):
        p50, p99 = (round(float(np.percentile(taken, q)), 2) for q in (50, 99))
        error = 1e3 * float(np.abs(lifted - results[0]).max())
        rows.append(Row(candidate.backend, candidate.precision, runs, p50, p99, round(float(np.median(times[0])) / p50, 2), error))
    return rows


def run(json_path: Path | None = None, *, size: Size | None = None, runs: int = 5, threads: int = 1) -> dict[str, Any] | None:
    """Measure, print a line a candidate, and write the JSON; without torch or the exporters, print why not and return None.

    Args:
        size: default the published one.
        threads: CPU threads of the formula and of ONNX Runtime.

    Raises:
        UsageError: a width that the heads do not divide.
    """
    size = size or Size()
    if size.width % size.heads:
        raise UsageError(f"width: got {size.width}, wanted a multiple of {size.heads}", "the published width is 512")
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="pose-rt-bench-") as folder, ExitStack() as undo:
        path = Path(folder) / "d3dp.onnx"
        try:
            formula = Formula(size, threads)
            formula.export(path)
        except BackendError as error:
            print(f"not measured: {error.message}; {error.cure}")
            return None
        found = [formula.candidate()]
        for backend, precision, opened in _opened(path, threads, Path(folder), undo, absent):
            found.append(Candidate(backend, precision, _lifting(opened, size)))
        rows = measure(found, runs)
    what = "published size" if size.published else "NOT the published size"
    print(
        f"D3DP, {what}: {size.frames} frames, width {size.width}, depth {size.depth}, H = {size.hypotheses}, K = {size.steps}, flip;\n"
        f"random weights; one window, threads on the CPU: {threads}"
    )
    print(f"{'backend':<22}{'precision':<10}{'p50 ms':>12}{'p99 ms':>12}{'x formula':>11}{'error mm':>11}")
    for row in rows:
        print(f"{row.backend:<22}{row.precision:<10}{row.p50_ms:>12.1f}{row.p99_ms:>12.1f}{row.ratio:>11.2f}{row.error_mm:>11.2g}")
    for backend, reason in absent.items():
        print(f"not measured: {backend}: {reason}")
    report: dict[str, Any] = {
        "benchmark": "published D3DP",
        "machine": machine.facts(),
        "size": asdict(size),
        "published_size": size.published,
        "weights": "random, seed 0",
        "threads": threads,
        "rows": [asdict(r) for r in rows],
        "not_measured": absent,
    }
    if json_path is not None:
        write_json(json_path, report)
    return report
