"""`pose-rt build-engines`: TensorRT engines of this machine, from the project's ONNX models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from pose_rt.engines.make import Made

NEEDS_GPU = "needs a GPU"
EXIT_INTERRUPTED = 130
GROUPS = {"landmarks": "pose2d", "lifter": "d3dp", "forecaster": "dhmp", "prior": "gfpose"}
"""Words for all models of a kind."""


class Target(NamedTuple):
    """A model to build: what it is called, and its file."""

    name: str
    path: Path


def build_engines(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="detector, lite, full, lifter, forecaster, prior or a name of `pose-rt models`. [all]"),
    ] = None,
    precision: Annotated[str, typer.Option(metavar="fp32|fp16", help="fp16 keeps layers that it would spoil in fp32.")] = "fp32",
    batch: Annotated[int, typer.Option(metavar="MAX", min=1, help="Most people in one run; the lifter gets 10 rows for each.")] = 8,
    device: Annotated[int, typer.Option(metavar="N", min=0, help="GPU number, as nvidia-smi counts.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Build also where an engine that fits is there.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the engines. [~/.cache/pose-rt/engines]")] = None,
    from_onnx: Annotated[Path | None, typer.Option(metavar="FILE", help="Build for this ONNX file instead.")] = None,
    verify: Annotated[bool, typer.Option(help="Compare with ONNX Runtime and time the engine, where there is a GPU.")] = True,
) -> int:
    """Build TensorRT engines for this machine, check them against ONNX Runtime, and keep them in the cache."""
    from pose_rt.engines import runtime
    from pose_rt.engines.cache import PRECISIONS
    from pose_rt.engines.make import Settings, gpu_or_reason, make_engine
    from pose_rt.errors import PoseRtError, UsageError

    from .progress import build_progress

    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}", f"wanted --precision {' or '.join(PRECISIONS)}")
    targets = _targets(models or [], from_onnx)
    found = runtime.load()
    cuda, why_no_gpu = gpu_or_reason(device)
    typer.echo(f"{found.title} {found.version} on {cuda.gpu.name if cuda else f'the CPU ({why_no_gpu})'}", err=True)
    settings = Settings(precision, batch, force, verify, out)
    built: list[Made] = []
    failed: list[PoseRtError] = []
    with build_progress(len(targets)) as bar:
        for target in targets:
            bar.begin(target.name)
            try:
                built.append(make_engine(target.name, target.path, found, cuda, settings, bar.show, bar.waiting))
            except KeyboardInterrupt:
                typer.echo("pose-rt: interrupted; engines that were finished are kept", err=True)
                return EXIT_INTERRUPTED
            except UsageError:
                raise
            except PoseRtError as error:
                failed.append(error)
            bar.end()
    if built:
        print_table(built, gpu=cuda is not None, verify=verify)
    for earlier in failed[:-1]:
        typer.echo(f"pose-rt: {earlier}", err=True)
    if failed:
        raise failed[-1]
    return 0


def _targets(names: list[str], from_onnx: Path | None) -> list[Target]:
    from pose_rt import zoo
    from pose_rt.errors import ModelError, UsageError

    if from_onnx is not None:
        if len(names) > 1:
            raise UsageError(f"got {len(names)} names with --from-onnx", "wanted at most one: what to call the model of the file")
        if not from_onnx.is_file():
            raise ModelError(f"{from_onnx}: no such model file", "wanted an .onnx file, see python -m exporters")
        return [Target(names[0] if names else from_onnx.stem, from_onnx)]
    if not names:
        return [Target(entry.name, entry.load()) for entry in zoo.entries() if entry.bundled]
    chosen: dict[str, Target] = {}
    for name in names:
        group = [entry for entry in zoo.entries() if entry.kind == GROUPS.get(name) and (entry.bundled or entry.path.is_file())]
        for entry in group or [zoo.find(name)]:
            chosen[entry.name] = Target(entry.name, entry.load())
    return list(chosen.values())


def print_table(built: list[Made], *, gpu: bool, verify: bool) -> None:
    """Model, precision, size, build time, errors and latency; what was not measured says why."""
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "precision", "size", "built in", "max error", "mean error", "p50", "p99", "note", box=None, pad_edge=False)
    missing = NEEDS_GPU if not gpu else ("no recorded inputs" if verify else "not asked")
    for one in built:
        sidecar = one.sidecar
        found = sidecar.verification
        measured = (
            [
                f"{found['max']:.3g} {found['unit']}",
                f"{found['mean']:.2g} {found['unit']}",
                f"{found['p50_ms']:.2f} ms",
                f"{found['p99_ms']:.2f} ms",
            ]
            if found
            else [missing] * 4
        )
        seconds = "was there" if one.found else f"{sidecar.build_s:.1f} s"
        table.add_row(sidecar.key.model, sidecar.layers, f"{sidecar.size / 1e6:.1f} MB", seconds, *measured, sidecar.note)
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print(table)
    console.print(f"in {built[0].path.parent}", highlight=False, soft_wrap=True)
