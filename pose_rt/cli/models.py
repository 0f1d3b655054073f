"""`pose-rt models`: the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The models: name, size, licences, metric; add one.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def list_models(
    context: typer.Context,
    details: Annotated[bool, typer.Option("--details", help="Also licences, paper, input, output and how each was made.")] = False,
) -> None:
    """List the models: whether their files are there and unchanged, what they were measured to be, how near the export and fp16 are."""
    if context.invoked_subcommand is not None:
        return
    import textwrap

    from pose_rt import zoo
    from pose_rt.errors import ModelError
    from pose_rt.zoo import parity

    for entry in zoo.entries():
        state = "ok"
        try:
            zoo.load_path(entry.name)
        except ModelError as error:
            state = str(error) if entry.bundled else f"not here; {error.cure}"
        mark = typer.style(entry.name, bold=True, fg="green" if state == "ok" else "yellow")
        typer.echo(f"{mark}{' ' * max(14 - len(entry.name), 1)}{entry.kind:<10}{entry.bytes / 1e6:6.1f} MB   {state}")
        report = parity.read(entry)
        lines = [("metric", entry.metric), *(parity.summary(report) if report is not None else [("parity", "no report")])]
        if details:
            lines += [
                ("weights", entry.licence), ("data", entry.data_licence), ("from", entry.provenance), ("paper", entry.paper),
                ("input", entry.input), ("output", entry.output), ("prepared", entry.preprocessing), ("made by", entry.made),
                ("sha256", entry.sha256), ("file", str(entry.path)),
            ]  # fmt: skip
        for title, text in lines:
            typer.echo(textwrap.fill(text, 120, initial_indent=f"    {title:<10}", subsequent_indent=" " * 14, break_on_hyphens=False))
    if not details:
        typer.echo("licences, papers and origin: pose-rt models --details")


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="ONNX file made by `python -m exporters`.")],
    name: Annotated[str | None, typer.Option(help="Name to use it by; a model of this release keeps its own.")] = None,
    like: Annotated[str | None, typer.Option(help="The model whose input, output and preprocessing it shares.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of its weights.")] = "not stated",
) -> None:
    """Copy a model into the user's zoo (verified, then moved into place), with its parity report if it lies beside it."""
    from pose_rt import zoo

    entry = zoo.add(file, name=name, like=like, licence=licence)
    typer.echo(f"added {entry.name} ({entry.bytes / 1e6:.1f} MB, sha256 {entry.sha256[:12]})")
