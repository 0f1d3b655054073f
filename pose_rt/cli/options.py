"""Options that several commands share: each group is a dataclass, and a command takes whole groups."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

import typer

if TYPE_CHECKING:
    from pose_rt.config import Settings
    from pose_rt.io.draw.style import Style


@dataclass(frozen=True)
class ModelOptions:
    """What is computed, and on what."""

    model: Annotated[
        str, typer.Option("--model", "--pose2d", help="2D model: lite, full, heavy, one added with `pose-rt models add`, or an ONNX file.")
    ] = "full"
    refine: Annotated[str, typer.Option(help="Heatmap decoding: sampling-argmax, mediapipe or none.")] = "sampling-argmax"
    smooth: Annotated[bool, typer.Option(help="One-Euro filter on the 2D keypoints.")] = True
    repair_swaps: Annotated[bool, typer.Option(help="Put right left and right where the 2D detector exchanges them.")] = False
    max_people: Annotated[int, typer.Option(help="Persons to follow at once.")] = 1
    conf: Annotated[float, typer.Option(help="Least score of a person, 0 to 1.")] = 0.5
    no_3d: Annotated[bool, typer.Option("--no-3d", help="2D keypoints only.")] = False
    hypotheses: Annotated[int, typer.Option(help="3D hypotheses per window (H).")] = 3
    steps: Annotated[int, typer.Option(help="Denoising steps (K); with one the hypotheses are almost equal.")] = 2
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirrored input: a little better, twice the cost.")] = False
    aggregate: Annotated[str, typer.Option(help="mean, or jpma (per joint, the hypothesis that reprojects nearest).")] = "mean"
    warm_start: Annotated[bool, typer.Option(help="With --lookahead: denoise each window from the one before.")] = False
    smooth_3d: Annotated[bool, typer.Option("--smooth-3d", help="One-Euro filter on the 3D joints: steadier, a little late.")] = False
    complete: Annotated[bool, typer.Option("--complete", help="Fill in joints that the camera does not see, marked as completed.")] = False
    fov: Annotated[float | None, typer.Option(help="Diagonal field of view of the camera, degrees.")] = None
    focal: Annotated[float | None, typer.Option(help="Focal length of the camera, pixels of the input.")] = None
    no_forecast: Annotated[bool, typer.Option("--no-forecast", help="No futures.")] = False
    futures: Annotated[int, typer.Option(help="Futures per person (K).")] = 10
    horizon: Annotated[float, typer.Option(help="Seconds the futures reach, at most 2.")] = 1.5
    seed: Annotated[int, typer.Option(help="Of all random numbers: the same seed gives the same result.")] = 0
    backend: Annotated[str, typer.Option(help="auto (tensorrt, cuda, then the CPU), onnxruntime (CPU), cuda, tensorrt.")] = "auto"
    device: Annotated[int, typer.Option(min=0, help="GPU number.")] = 0
    threads: Annotated[int, typer.Option(help="Threads of one model run; stages overlap anyway.")] = 1

    def settings(self, lookahead: int | None) -> Settings:
        """The pipeline's settings.

        Raises:
            UsageError: a value is out of range.
        """
        from pose_rt.config import Settings

        renamed = {"no_3d", "no_forecast", "fov", "focal", "horizon"}
        same = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in renamed}
        return Settings(
            **same, lift=not self.no_3d, forecast=not self.no_forecast, fov_deg=self.fov, focal_px=self.focal, horizon_s=self.horizon,
            lookahead=lookahead,
        )  # fmt: skip


@dataclass(frozen=True)
class DataOptions:
    """Which data files are written."""

    save_json: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Results as JSON lines, flushed frame by frame.")] = None
    save_npz: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Results as NumPy arrays.")] = None
    save_rerun: Annotated[Path | None, typer.Option(metavar="FILE.rrd", help="Everything, for the Rerun viewer.")] = None
    save_hypotheses: Annotated[bool, typer.Option("--save-hypotheses", help="Keep every 3D hypothesis in the data files.")] = False
    save_futures: Annotated[bool, typer.Option("--save-futures", help="Keep the futures in the data files.")] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False

    @property
    def paths(self) -> tuple[Path | None, ...]:
        return self.save_json, self.save_npz, self.save_rerun


@dataclass(frozen=True)
class StyleOptions:
    """How pictures are drawn."""

    layout: Annotated[str, typer.Option(help="overlay (inset in the picture), side (panel beside it) or 3d.")] = "overlay"
    inset: Annotated[str, typer.Option(help="Corner of the inset: top-left, top-right, bottom-left, bottom-right.")] = "top-right"
    kpt_thr: Annotated[float, typer.Option(min=0.0, max=1.0, help="Joints with a lower score are drawn faded.")] = 0.3

    def style(self) -> Style:
        """The style of the drawing.

        Raises:
            UsageError: no such layout or corner.
        """
        from pose_rt.config import LAYOUTS
        from pose_rt.errors import UsageError
        from pose_rt.io.draw.style import Corner, Layout, Style

        if self.layout not in LAYOUTS:
            raise UsageError(f"layout is {self.layout!r}, wanted one of {', '.join(LAYOUTS)}")
        return Style(layout=cast(Layout, self.layout), inset_corner=cast(Corner, self.inset), kpt_thr=self.kpt_thr)


def grouped(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the fields of its dataclass parameters as options of its own, in their place."""
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for parameter in inspect.signature(command).parameters.values():
        hint = hints[parameter.name]
        if not (isinstance(hint, type) and is_dataclass(hint)):
            parameters.append(parameter.replace(annotation=hint))
            continue
        groups[parameter.name] = hint
        types = get_type_hints(hint, include_extras=True)
        for field in fields(hint):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=types[field.name]))

    @functools.wraps(command)
    def flat(**values: Any) -> int:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(cast(Any, group))})
        return command(**values)

    cast(Any, flat).__signature__ = inspect.Signature([p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters])
    flat.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": int}
    del flat.__wrapped__
    return flat
