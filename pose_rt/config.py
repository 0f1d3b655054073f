"""The settings of a run: one frozen value that the CLI fills in, the pipeline reads and the output's header repeats."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .errors import UsageError

REFINE_MODES = ("sampling-argmax", "mediapipe", "none")
AGGREGATES = ("mean", "jpma")
BACKENDS = ("auto", "onnxruntime", "cuda", "tensorrt")
LAYOUTS = ("overlay", "side", "3d")


@dataclass(frozen=True)
class Settings:
    """What the pipeline does and how. Times in seconds, angles in degrees, lengths in pixels of the input.

    Attributes:
        model: 2D model: lite, full, heavy, the name of an added one, or the path of an ONNX file.
        refine: decoding of the heatmaps.
        smooth: One-Euro filter on the 2D keypoints.
        repair_swaps: put right left and right where the 2D detector exchanges them for a while; not yet better on real clips
            (docs/live_quality.md).
        max_people: persons followed at once.
        conf: least score of a person, by the detector and while tracking.
        lift: 3D on.
        lifter: name of the lifter in the zoo.
        hypotheses, steps, flip: H, K and the mirrored average of the lifter. One step starts from pure noise, which the network all
            but ignores: the hypotheses differ from the second step on.
        aggregate: how hypotheses become one pose. JPMA believes the 2D; with detected keypoints the mean is more accurate
            (training/d3dp/README.md), with exact ones JPMA.
        lookahead: frames a pose may wait for; None = centred windows (files).
        warm_start: with look-ahead, denoise each window from the one before; no steadier with the bundled lifter, and a little less
            accurate (docs/live_quality.md).
        smooth_3d: One-Euro filter on the 3D joints: steadier, a little late.
        complete: joints that the camera did not see are filled in from the prior.
        prior: name of the prior in the zoo.
        completions, complete_budget_ms: its samples a pose; its time for a live frame (with `lookahead`; in files it takes what it takes).
        forecast: futures on.
        forecaster: name of the forecaster in the zoo.
        futures, horizon_s, forecast_every_s: how many, how far, how often.
        fov_deg, focal_px: the camera; both None = assumed.
        seed: of all random numbers.
        backend, device, threads: inference runtime, GPU number, threads of one run.
    """

    model: str = "full"
    refine: str = "sampling-argmax"
    smooth: bool = True
    repair_swaps: bool = False
    max_people: int = 1
    conf: float = 0.5
    lift: bool = True
    lifter: str = "lifter_s"
    hypotheses: int = 3
    steps: int = 2
    flip: bool = False
    aggregate: str = "mean"
    lookahead: int | None = None
    warm_start: bool = False
    smooth_3d: bool = False
    complete: bool = False
    prior: str = "prior_s"
    completions: int = 8
    complete_budget_ms: float = 8.0
    forecast: bool = True
    forecaster: str = "forecaster_s"
    futures: int = 10
    horizon_s: float = 1.5
    forecast_every_s: float = 0.2
    fov_deg: float | None = None
    focal_px: float | None = None
    seed: int = 0
    backend: str = "auto"
    device: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name, allowed in (("refine", REFINE_MODES), ("aggregate", AGGREGATES), ("backend", BACKENDS)):
            value = getattr(self, name)
            if value not in allowed:
                raise UsageError(f"{name} is {value!r}, wanted one of {', '.join(allowed)}")
        for name, low, high in (
            ("max_people", 1, 64), ("hypotheses", 1, 300), ("steps", 1, 100), ("futures", 1, 1000), ("threads", 1, 256),
            ("conf", 0, 1), ("seed", 0, 2**64 - 1), ("lookahead", 0, 1000), ("fov_deg", 1, 179), ("horizon_s", 0.02, 10.0),
            ("forecast_every_s", 0, 60), ("focal_px", 1, 1e6), ("completions", 1, 300), ("complete_budget_ms", 0.5, 1000),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name} is {value}, wanted {low} to {high}")
        if self.fov_deg is not None and self.focal_px is not None:
            raise UsageError("both a field of view and a focal length were given", "give one of --fov and --focal")

    def as_dict(self) -> dict[str, Any]:
        """For the output's header."""
        return asdict(self)
