"""`pose-rt bench`: measure this machine, as a table and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Measure: kernels and the whole pipeline.", no_args_is_help=True, rich_markup_mode=None)

_Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures and the machine's facts.")]


@app.command("ops")
def ops(json: _Json = None) -> None:
    """Our kernels against NumPy and, where torch is installed, against the papers' torch formulas."""
    from pose_rt.bench import bench_ops

    bench_ops.run(json_path=json)


@app.command("pipeline")
def pipeline(
    clip: Annotated[Path, typer.Argument(metavar="CLIP.mp4", help="Video to run.")],
    json: _Json = None,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; the median counts.")] = 3,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COMMAND", help="Also measure COMMAND CLIP in the same rounds; benchmarks/peers/ has such scripts."),
    ] = None,
) -> None:
    """Frames per second, CPU time a frame, memory and start-up of the whole pipeline; peers in the same run, interleaved."""
    from pose_rt.bench import bench_pipeline

    bench_pipeline.run(clip, json_path=json, rounds=rounds, peers=[bench_pipeline.parse_peer(text) for text in peer or []])
