"""`pose-rt video`: a file in, an annotated video and data out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

import typer

if TYPE_CHECKING:
    from pose_rt.config import Settings
    from pose_rt.io.sinks.jsonl import RunInfo
    from pose_rt.pipeline import Pipeline
    from pose_rt.stream.protocols import Sink, SourceInfo
    from pose_rt.stream.runner import RunReport

    from .progress import Counter


def video(
    source: Annotated[str, typer.Argument(metavar="IN.mp4", help="Video file to read.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="OUT.mp4", help="Annotated H.264 video.")] = None,
    save_json: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Results as JSON lines, flushed frame by frame.")] = None,
    save_npz: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Results as NumPy arrays.")] = None,
    save_hypotheses: Annotated[bool, typer.Option("--save-hypotheses", help="Keep every 3D hypothesis in the data files.")] = False,
    save_futures: Annotated[bool, typer.Option("--save-futures", help="Keep the futures in the data files.")] = False,
    layout: Annotated[str, typer.Option(help="overlay (inset in the picture), side (panel beside it) or 3d.")] = "overlay",
    inset: Annotated[str, typer.Option(help="Corner of the inset: top-left, top-right, bottom-left, bottom-right.")] = "top-left",
    start: Annotated[float, typer.Option(min=0.0, help="Begin at this second of the input.")] = 0.0,
    duration: Annotated[float | None, typer.Option(min=0.0, help="Process this many seconds.")] = None,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Process at most this many frames.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    model: Annotated[str, typer.Option(help="Landmark model: lite, full, heavy, or one added with `pose-rt models add`.")] = "full",
    refine: Annotated[str, typer.Option(help="Heatmap decoding: sampling-argmax, mediapipe or none.")] = "sampling-argmax",
    smooth: Annotated[bool, typer.Option(help="One-Euro filter on the 2D keypoints.")] = True,
    max_people: Annotated[int, typer.Option(help="Persons to follow at once.")] = 1,
    conf: Annotated[float, typer.Option(help="Least score of a person, 0 to 1.")] = 0.5,
    kpt_thr: Annotated[float, typer.Option(min=0.0, max=1.0, help="Joints with a lower score are drawn faded.")] = 0.3,
    no_3d: Annotated[bool, typer.Option("--no-3d", help="2D keypoints only.")] = False,
    hypotheses: Annotated[int, typer.Option(help="3D hypotheses per window (H).")] = 3,
    steps: Annotated[int, typer.Option(help="Denoising steps (K); with one the hypotheses are almost equal.")] = 2,
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirrored input: a little better, twice the cost.")] = False,
    aggregate: Annotated[str, typer.Option(help="mean, or jpma (per joint, the hypothesis that reprojects nearest).")] = "mean",
    lookahead: Annotated[int | None, typer.Option(help="Frames a pose may wait for, as in live mode. Default: centred windows.")] = None,
    fov: Annotated[float | None, typer.Option(help="Diagonal field of view of the camera, degrees.")] = None,
    focal: Annotated[float | None, typer.Option(help="Focal length of the camera, pixels of the input.")] = None,
    no_forecast: Annotated[bool, typer.Option("--no-forecast", help="No futures.")] = False,
    futures: Annotated[int, typer.Option(help="Futures per person (K).")] = 10,
    horizon: Annotated[float, typer.Option(help="Seconds the futures reach, at most 2.")] = 1.5,
    seed: Annotated[int, typer.Option(help="Of all random numbers: the same seed gives the same result.")] = 0,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime or tensorrt.")] = "auto",
    device: Annotated[int, typer.Option(min=0, help="GPU number.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads of one model run; stages overlap anyway.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> int:
    """Turn a video into 2D keypoints, 3D motion with its certainty, and possible futures."""
    from pose_rt.config import LAYOUTS, Settings
    from pose_rt.errors import UsageError

    if out is None and save_json is None and save_npz is None:
        raise UsageError("nothing to write", "give --out OUT.mp4, --save-json FILE.jsonl or --save-npz FILE.npz")
    if layout not in LAYOUTS:
        raise UsageError(f"layout is {layout!r}, wanted one of {', '.join(LAYOUTS)}")
    settings = Settings(
        model=model, refine=refine, smooth=smooth, max_people=max_people, conf=conf, lift=not no_3d, hypotheses=hypotheses, steps=steps,
        flip=flip, aggregate=aggregate, lookahead=lookahead, forecast=not no_forecast, futures=futures, horizon_s=horizon, fov_deg=fov,
        focal_px=focal, seed=seed, backend=backend, device=device, threads=threads,
    )  # fmt: skip
    outputs = [p for p in (out, save_json, save_npz) if p is not None]
    if len({p.resolve() for p in outputs}) != len(outputs):
        raise UsageError("two outputs have the same name", "give each its own file")
    wanted = _Wanted(
        source, out, save_json, save_npz, save_hypotheses, save_futures, layout, inset, kpt_thr, start, duration, max_frames, overwrite
    )
    return _run(settings, wanted, quiet)


class _Wanted(NamedTuple):
    """Which part of which file, and where the results go."""

    source: str
    out: Path | None
    save_json: Path | None
    save_npz: Path | None
    save_hypotheses: bool
    save_futures: bool
    layout: str
    inset: str
    kpt_thr: float
    start: float
    duration: float | None
    max_frames: int | None
    overwrite: bool

    @property
    def outputs(self) -> list[Path]:
        return [p for p in (self.out, self.save_json, self.save_npz) if p is not None]


def _run(settings: Settings, wanted: _Wanted, quiet: bool) -> int:
    from contextlib import ExitStack

    from pose_rt.io.draw import Style, draw_frame
    from pose_rt.io.draw.style import Corner, Layout
    from pose_rt.io.sinks.jsonl import JsonlSink
    from pose_rt.io.sinks.npz import NpzSink
    from pose_rt.io.sinks.video import VideoSink
    from pose_rt.io.sources.video import VideoSource
    from pose_rt.pipeline import Pipeline
    from pose_rt.stream.runner import run

    from .progress import Counter, progress_sink

    with ExitStack() as stack:
        source = VideoSource(wanted.source, start_s=wanted.start, duration_s=wanted.duration, max_frames=wanted.max_frames)
        stack.callback(source.close)
        pipeline = Pipeline(settings, source.info.width, source.info.height)
        stack.callback(pipeline.close)
        info = run_info(source.info, settings, pipeline)
        data = {"overwrite": wanted.overwrite, "hypotheses": wanted.save_hypotheses, "futures": wanted.save_futures}
        sinks: list[Sink] = []
        if wanted.save_json is not None:
            sinks.append(JsonlSink(wanted.save_json, info, **data))
            stack.callback(sinks[-1].close)
        if wanted.save_npz is not None:
            sinks.append(NpzSink(wanted.save_npz, info, **data))
            stack.callback(sinks[-1].close)
        notes: list[str] = []
        if wanted.out is not None:
            style = Style(layout=cast(Layout, wanted.layout), inset_corner=cast(Corner, wanted.inset), kpt_thr=wanted.kpt_thr)
            video_sink = VideoSink(
                wanted.out,
                source.info,
                lambda packet: draw_frame(packet, style),
                overwrite=wanted.overwrite,
                audio_from=Path(wanted.source),
            )
            notes = video_sink.notes
            sinks.append(video_sink)
            stack.callback(video_sink.close)
        counter = Counter()
        sinks.append(counter)
        if not quiet:
            sinks.append(stack.enter_context(progress_sink(source.info, Path(wanted.source).name)))
        report = run(source, pipeline, sinks)
    if not quiet:
        _summary(report, counter, wanted.outputs, [*source.notes, *notes])
    return 130 if report.interrupted else 0


def run_info(info: SourceInfo, settings: Settings, pipeline: Pipeline) -> RunInfo:
    """The header of the data files."""
    from dataclasses import asdict

    from pose_rt.core.skeleton import BLAZEPOSE33, H36M17
    from pose_rt.io.sinks.jsonl import RunInfo

    return RunInfo(
        source=info.name,
        fps=info.fps,
        width=info.width,
        height=info.height,
        skeleton2d=BLAZEPOSE33,
        skeleton3d=H36M17 if settings.lift else None,
        camera=asdict(pipeline.camera) if settings.lift else None,
        models={stage: {"name": entry.name, "sha256": entry.sha256} for stage, entry in pipeline.models.items()},
        settings={**settings.as_dict(), "future_step_s": pipeline.future_step_s},
    )


def _summary(report: RunReport, counter: Counter, outputs: list[Path], notes: list[str]) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    seen = f"someone in view in {counter.with_person} of {report.written}" if report.written else "nothing"
    console.print(f"{report.written} frames in {report.wall_s:.1f} s ({report.fps:.1f} fps), {seen}")
    if report.interrupted:
        console.print("interrupted: the outputs hold what was done until then")
    for note in notes:
        console.print(f"note: {note}", markup=False)
    for path in outputs:
        if path.exists():
            console.print(f"wrote {path}", markup=False)
