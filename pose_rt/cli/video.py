"""`pose-rt video`: a file in, an annotated video and data out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import DataOptions, ModelOptions, StyleOptions, grouped
from .outputs import closing_lines, data_sinks, distinct, repair_notes, rerun_sink, run_info

if TYPE_CHECKING:
    from pose_rt.stream.runner import RunReport

    from .progress import Counter


@grouped
def video(
    source: Annotated[str, typer.Argument(metavar="IN.mp4", help="Video file, or a folder or 'pattern' of images.")],
    style_options: StyleOptions,
    data: DataOptions,
    model_options: ModelOptions,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="OUT.mp4", help="Annotated H.264 video.")] = None,
    start: Annotated[float, typer.Option(min=0.0, help="Begin at this second of the input.")] = 0.0,
    duration: Annotated[float | None, typer.Option(min=0.0, help="Process this many seconds.")] = None,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Process at most this many frames.")] = None,
    image_fps: Annotated[float | None, typer.Option("--fps", min=0.1, max=1000, help="Frame rate of a folder of images; 30.")] = None,
    lookahead: Annotated[int | None, typer.Option(help="Frames a pose may wait for, as in live mode. Default: centred windows.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> int:
    """Turn a video into 2D keypoints, 3D motion with its certainty, and possible futures."""
    from contextlib import ExitStack

    from pose_rt.errors import UsageError
    from pose_rt.io.draw import draw_frame
    from pose_rt.io.sinks.video import VideoSink
    from pose_rt.io.sources.open import open_file
    from pose_rt.pipeline import Pipeline
    from pose_rt.stream.runner import run

    from .progress import Counter, progress_sink

    outputs = distinct((out, *data.paths))
    if not outputs:
        raise UsageError("nothing to write", "give --out OUT.mp4, --save-json FILE.jsonl, --save-npz FILE.npz or --save-rerun FILE.rrd")
    style = style_options.style()
    settings = model_options.settings(lookahead)
    notes: list[str] = []
    with ExitStack() as stack:
        frames = open_file(source, start_s=start, duration_s=duration, max_frames=max_frames, fps=image_fps)
        stack.callback(frames.close)
        pipeline = Pipeline(settings, frames.info.width, frames.info.height)
        stack.callback(pipeline.close)
        sinks = data_sinks(data, run_info(frames.info, settings, pipeline), stack, timing=False)
        if data.save_rerun is not None:
            sinks.append(rerun_sink(data, False, pipeline.camera, style, frames.info.name))
            stack.callback(sinks[-1].close)
        if out is not None:
            audio = Path(source) if frames.info.has_audio else None
            written = VideoSink(out, frames.info, lambda packet: draw_frame(packet, style), overwrite=data.overwrite, audio_from=audio)
            notes = written.notes
            sinks.append(written)
            stack.callback(written.close)
        counter = Counter()
        sinks.append(counter)
        if not quiet:
            sinks.append(stack.enter_context(progress_sink(frames.info, Path(source).name)))
        report = run(frames, pipeline, sinks)
    if not quiet:
        _summary(report, counter)
        closing_lines([*frames.notes, *notes, *repair_notes(pipeline.repairs)], outputs)
    return 130 if report.interrupted else 0


def _summary(report: RunReport, counter: Counter) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    seen = f"someone in view in {counter.with_person} of {report.written}" if report.written else "nothing"
    console.print(f"{report.written} frames in {report.wall_s:.1f} s ({report.fps:.1f} fps), {seen}")
    if report.interrupted:
        console.print("interrupted: the outputs hold what was done until then")
