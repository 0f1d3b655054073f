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


@app.command("latency")
def latency(
    clip: Annotated[Path, typer.Argument(metavar="CLIP.mp4", help="Video to play as a camera, again and again.")],
    json: _Json = None,
    model: Annotated[list[str] | None, typer.Option(help="Landmark models; lite and full.")] = None,
    lookahead: Annotated[list[int] | None, typer.Option(min=0, help="Frames of look-ahead; 0.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each case.")] = 20.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of one model run.")] = 1,
    view: Annotated[str, typer.Option(help="none, window or web: shown while it is measured.")] = "none",
    flash: Annotated[
        bool, typer.Option("--flash", help="Also measure from a flash in the source to a bright picture in the view.")
    ] = False,
    overload: Annotated[bool, typer.Option("--overload", help="Also 60 fps into a pipeline made far too slow: does the age grow?")] = False,
) -> None:
    """How old results are when a clip plays in real time: percentiles, drops, stages, the look-ahead apart."""
    from pose_rt.bench import bench_latency
    from pose_rt.bench.bench_latency import OVERLOAD_FPS, OVERLOAD_MS
    from pose_rt.bench.flash import LEFT_OUT
    from pose_rt.errors import UsageError

    if view not in LEFT_OUT:
        raise UsageError(f"view is {view!r}, wanted none, window or web")
    if flash and view == "none":
        raise UsageError("--flash measures up to a view, and there is none", "add --view window or --view web")
    wanted = bench_latency.cases(
        clip, model or ["lite", "full"], lookahead or [0], seconds=seconds, threads=threads, view=view, flash=flash
    )
    if overload:
        wanted.append(bench_latency.LiveCase(str(clip), wanted[0].model, seconds, threads=threads, fps=OVERLOAD_FPS, slow_ms=OVERLOAD_MS))
    bench_latency.run(wanted, json_path=json)
    if flash:
        typer.echo(f"the flash leaves out: {LEFT_OUT[view]}")


@app.command("backends")
def backends(
    json: _Json = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Timed runs of each candidate.  [default: 100; 5 with --published]")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be given again.")] = None,
    published: Annotated[
        bool,
        typer.Option("--published", help="Instead: D3DP at the published size (random weights) against the plain torch formula."),
    ] = False,
    frames: Annotated[int, typer.Option(min=1, help="With --published: frames of a window; fewer, and it is quicker.")] = 243,
    depth: Annotated[int, typer.Option(min=1, help="With --published: levels of the network.")] = 8,
    threads: Annotated[int, typer.Option(min=1, help="With --published: threads on the CPU.")] = 1,
) -> None:
    """Every bundled model on every runtime that is here, fp32 and fp16, one and four at a time, in turns."""
    if published:
        from pose_rt.bench import bench_published

        bench_published.run(json, size=bench_published.Size(frames=frames, depth=depth), runs=runs or 5, threads=threads)
        return
    from pose_rt.bench import bench_backends

    bench_backends.run(json, runs=runs or 100, models=model or bench_backends.MODELS)
