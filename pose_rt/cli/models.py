"""`pose-rt models`: the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The models: name, size, licences, metric; add one.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def list_models(
    context: typer.Context,
    commercial_ok: Annotated[
        bool, typer.Option("--commercial-ok", help="Only models whose weights and data allow commercial use.")
    ] = False,
) -> None:
    """List the models, check that their files are there and unchanged."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from pose_rt import zoo
    from pose_rt.errors import ModelError

    table = Table("name", "size", "weights", "training data", "metric", "state", title="pose-rt models", title_justify="left")
    for entry in zoo.entries():
        if commercial_ok and not entry.commercial:
            continue
        try:
            zoo.load_path(entry.name)
            state = "ok"
        except ModelError as error:
            state = error.message
        table.add_row(entry.name, f"{entry.bytes / 1e6:.1f} MB", entry.licence, entry.data_licence, entry.metric, state)
    Console().print(table, markup=False)


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="ONNX file made by `python -m exporters`.")],
    name: Annotated[str | None, typer.Option(help="Name to use it by; default: the file's name.")] = None,
) -> None:
    """Copy a model into the user's zoo (verified, then moved into place)."""
    from pose_rt import zoo

    entry = zoo.add(file, name=name)
    typer.echo(f"added {entry.name} ({entry.bytes / 1e6:.1f} MB, sha256 {entry.sha256[:12]})")
