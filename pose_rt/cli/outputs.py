"""What the commands that process frames do alike: the header of the data files, the sinks that write them, and the closing lines."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pose_rt.errors import UsageError

if TYPE_CHECKING:
    from pose_rt.config import Settings
    from pose_rt.core.camera import Camera
    from pose_rt.io.draw.style import Style
    from pose_rt.io.sinks.jsonl import RunInfo
    from pose_rt.pipeline import Pipeline
    from pose_rt.stream.protocols import Sink, SourceInfo

    from .options import DataOptions


def run_info(info: SourceInfo, settings: Settings, pipeline: Pipeline) -> RunInfo:
    """The header of the data files."""
    from dataclasses import asdict

    from pose_rt.core.skeleton import H36M17
    from pose_rt.io.sinks.jsonl import RunInfo

    return RunInfo(
        source=info.name,
        fps=info.fps,
        width=info.width,
        height=info.height,
        skeleton2d=pipeline.skeleton2d,
        skeleton3d=H36M17 if settings.lift else None,
        camera=asdict(pipeline.camera) if settings.lift else None,
        models={stage: {"name": entry.name, "sha256": entry.sha256} for stage, entry in pipeline.models.items()},
        settings={**settings.as_dict(), "future_step_s": pipeline.future_step_s},
    )


def data_sinks(options: DataOptions, info: RunInfo, stack: ExitStack, *, timing: bool) -> list[Sink]:
    """The data files asked for, closed with `stack`; `timing` adds the age and the spans of each frame to the JSON lines."""
    from pose_rt.io.sinks.jsonl import JsonlSink
    from pose_rt.io.sinks.npz import NpzSink

    sinks: list[Sink] = []
    if options.save_json is not None:
        sinks.append(
            JsonlSink(
                options.save_json,
                info,
                overwrite=options.overwrite,
                hypotheses=options.save_hypotheses,
                futures=options.save_futures,
                timing=timing,
            )
        )
        stack.callback(sinks[-1].close)
    if options.save_npz is not None:
        sinks.append(
            NpzSink(options.save_npz, info, overwrite=options.overwrite, hypotheses=options.save_hypotheses, futures=options.save_futures)
        )
        stack.callback(sinks[-1].close)
    return sinks


def rerun_sink(options: DataOptions, spawn: bool, camera: Camera, style: Style, source: str) -> Sink:
    """The sink of --save-rerun, and with `spawn` of the Rerun viewer.

    Raises:
        UsageError: rerun-sdk or a display is missing.
    """
    from pose_rt.io.sinks.rerun import RerunSink

    return RerunSink(options.save_rerun, spawn, camera=camera, inputs=(source,), overwrite=options.overwrite, style=style)


def distinct(outputs: Sequence[Path | None]) -> list[Path]:
    """The outputs that were asked for.

    Raises:
        UsageError: two have the same name.
    """
    paths = [path for path in outputs if path is not None]
    if len({path.resolve() for path in paths}) != len(paths):
        raise UsageError("two outputs have the same name", "give each its own file")
    return paths


def repair_notes(repairs: int) -> list[str]:
    """What the summary says of exchanged sides that were put right; nothing if there were none."""
    return [f"left and right of legs or arms were put right {repairs} {'time' if repairs == 1 else 'times'}"] if repairs else []


def closing_lines(notes: Sequence[str], outputs: Sequence[Path]) -> None:
    """Print the notes of a run and the files it wrote."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for note in notes:
        console.print(f"note: {note}", markup=False)
    for path in outputs:
        if path.exists():
            console.print(f"wrote {path}", markup=False)
