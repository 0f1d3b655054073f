"""`pose-rt models`: the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The models: name, size, licences, metric; add one.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def list_models(context: typer.Context) -> None:
    """List the models, check that their files are there and unchanged."""
    if context.invoked_subcommand is not None:
        return
    from pose_rt import zoo
    from pose_rt.errors import ModelError

    for entry in zoo.entries():
        try:
            zoo.load_path(entry.name)
            state = "ok"
        except ModelError as error:
            state = str(error)
        typer.echo(f"{entry.name:<14}{entry.bytes / 1e6:6.1f} MB   {state}")
        for title, text in (("weights", entry.licence), ("data", entry.data_licence), ("metric", entry.metric), ("made by", entry.made)):
            typer.echo(f"    {title:<10}{text}")


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="ONNX file made by `python -m exporters`.")],
    name: Annotated[str | None, typer.Option(help="Name to use it by; a model of this release keeps its own.")] = None,
    like: Annotated[str | None, typer.Option(help="The model whose input, output and preprocessing it shares.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of its weights.")] = "not stated",
) -> None:
    """Copy a model into the user's zoo (verified, then moved into place)."""
    from pose_rt import zoo

    entry = zoo.add(file, name=name, like=like, licence=licence)
    typer.echo(f"added {entry.name} ({entry.bytes / 1e6:.1f} MB, sha256 {entry.sha256[:12]})")
