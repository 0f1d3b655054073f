"""`pose-rt webcam`: a camera, a stream, or a file played as a camera, live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import DataOptions, ModelOptions, StyleOptions, grouped
from .outputs import closing_lines, data_sinks, distinct, repair_notes, run_info

if TYPE_CHECKING:
    from pose_rt.stream.protocols import Sink


@grouped
def webcam(
    style_options: StyleOptions,
    data: DataOptions,
    model_options: ModelOptions,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Camera number, rtsp://, rtmp:// or http:// address, or a file with --realtime.")
    ] = "0",
    view: Annotated[
        list[str] | None, typer.Option(help="auto, window, web, rerun or none; may be given several times. auto: window, else web.")
    ] = None,
    lookahead: Annotated[int, typer.Option(help="Frames a pose waits for: steadier 3D, later.")] = 0,
    realtime: Annotated[bool, typer.Option("--realtime", help="Play a file or a folder of images as if it were a camera.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="With --realtime: begin again at the end.")] = False,
    width: Annotated[int | None, typer.Option(min=16, help="Picture width asked of a camera; 1280.")] = None,
    height: Annotated[int | None, typer.Option(min=16, help="Picture height asked of a camera; 720.")] = None,
    camera_fps: Annotated[
        float | None, typer.Option(min=0.1, max=1000, help="Frames a second asked of a camera, or of a file; 30.")
    ] = None,
    mjpeg: Annotated[bool, typer.Option(help="Ask a camera for MJPEG, which USB carries at full rate.")] = True,
    exit_on_loss: Annotated[bool, typer.Option("--exit-on-loss", help="End with an error when the source is lost; for services.")] = False,
    record: Annotated[Path | None, typer.Option("--record", metavar="OUT.mp4", help="Record the annotated picture from the start.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.1, help="Stop after this many seconds.")] = None,
    host: Annotated[str, typer.Option(help="Address of the browser view; others than 127.0.0.1 need the token it prints.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the browser view; 0 takes a free one.")] = 8080,
    token: Annotated[str | None, typer.Option(envvar="POSE_RT_TOKEN", help="Token of the browser view.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.")] = False,
) -> int:
    """Show and save 3D motion live, the newest frame first. Keys and buttons: h shows them, q quits."""
    import threading
    from contextlib import ExitStack
    from dataclasses import replace

    from pose_rt.io.draw import Annotator
    from pose_rt.io.sinks.record import RecordSink
    from pose_rt.io.sources.open import LiveWish, open_live
    from pose_rt.pipeline import Pipeline
    from pose_rt.stream import Control, run

    from .live_report import StateLines, print_report
    from .views import ViewWish, open_views, wanted_views

    names = wanted_views(view or ["auto"])
    outputs = distinct((record, *data.paths))
    style = replace(style_options.style(), timing="none" not in names)
    settings = model_options.settings(lookahead)
    control = Control(recording=record is not None)
    with ExitStack() as stack:
        frames = open_live(source, LiveWish(realtime, loop, exit_on_loss, width, height, camera_fps, mjpeg))
        stack.callback(frames.close)
        pipeline = Pipeline(settings, frames.info.width, frames.info.height)
        stack.callback(pipeline.close)
        pipeline.warm_up()
        info = run_info(frames.info, settings, pipeline)
        annotate = Annotator(style)
        recorder = RecordSink(record, frames.info, annotate, control, overwrite=data.overwrite)
        stack.callback(recorder.close)
        wish = ViewWish(names, style, control, info, annotate, pipeline.camera, host, port, token, data, can_record=True)
        sinks: list[Sink] = [*open_views(wish, stack), recorder, *data_sinks(data, info, stack, timing=True)]
        if not quiet:
            sinks.append(StateLines(frames.info.name))
        if duration is not None:
            timer = threading.Timer(duration, control.stop)
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
        report = run(frames, pipeline, sinks, control=control)
    if not quiet:
        print_report(report)
        others = [path for path in outputs if path != record]
        closing_lines([*frames.notes, *recorder.notes, *repair_notes(pipeline.repairs)], [*recorder.files, *others])
    return 130 if report.interrupted else 0
