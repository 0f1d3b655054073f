"""`pose-rt engines`: what lies in the engine cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pose_rt.engines.cache import Machine, Stored

app = typer.Typer(help="The TensorRT engines that were built here: list, clean.", no_args_is_help=True, rich_markup_mode=None)

_Folder = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of the engines. [~/.cache/pose-rt/engines]")]
_Device = Annotated[int, typer.Option(metavar="N", min=0, help="GPU number.")]
FITS = "fits"


@app.command("list")
def list_engines(out: _Folder = None, device: _Device = 0) -> None:
    """Every engine, and whether it may be loaded here; if not, why."""
    from pose_rt.engines import cache

    where = out or cache.folder()
    found = states(where, device)
    for one, state in found:
        name = one.path.stem if one.sidecar is None else one.sidecar.key.model
        layers = "" if one.sidecar is None else one.sidecar.layers
        typer.echo(f"{name:<16}{layers:<22}{one.path.stat().st_size / 1e6:7.1f} MB  {state}")
    typer.echo(f"{len(found)} engine{'' if len(found) == 1 else 's'} in {where}" + ("" if found else "; build some: pose-rt build-engines"))


@app.command("clean")
def clean(
    out: _Folder = None,
    device: _Device = 0,
    everything: Annotated[bool, typer.Option("--all", help="Also those that fit.")] = False,
) -> None:
    """Delete engines that can no longer be loaded here, and what interrupted builds left."""
    from pose_rt.engines import cache
    from pose_rt.errors import OutputError

    where = out or cache.folder()
    count = freed = 0
    try:
        for one, state in states(where, device):
            if everything or state != FITS:
                freed += cache.remove(one)
                count += 1
        for path in list(cache.leftovers(where)):
            freed += path.stat().st_size
            path.unlink()
    except OSError as error:
        raise OutputError(f"{where}: engines cannot be deleted ({error.strerror})", "see to the folder's permissions") from error
    typer.echo(f"deleted {count} engine{'' if count == 1 else 's'}, {freed / 1e6:.1f} MB, in {where}")


def states(where: Path, device: int = 0) -> list[tuple[Stored, str]]:
    """Each engine of a folder with "fits", or why it is not loaded here."""
    from pose_rt.engines import cache
    from pose_rt.errors import BackendError

    machine = this_machine(device)
    found = []
    for one in cache.stored(where):
        state = one.problem
        if one.sidecar is not None and not state:
            model = _known_model(one.sidecar.key.model)
            state = "no TensorRT here" if machine is None else cache.misfit(one.sidecar.key, model, machine)
            if not state:
                try:
                    cache.read_engine(one.path, one.sidecar)
                    state = FITS
                except BackendError as error:
                    state = error.message
        found.append((one, state))
    return found


def this_machine(device: int = 0) -> Machine | None:
    """What engines depend on here; None without TensorRT."""
    from pose_rt.backends.tensorrt import machine
    from pose_rt.engines import runtime
    from pose_rt.engines.make import gpu_or_reason
    from pose_rt.errors import BackendError

    try:
        return machine(runtime.load(), gpu_or_reason(device)[0])
    except BackendError:
        return None


def _known_model(name: str) -> str | None:
    """The checksum of a model of the zoo; None for others, which cannot be compared."""
    from pose_rt import zoo

    return next((entry.sha256 for entry in zoo.entries() if entry.name == name), None)
