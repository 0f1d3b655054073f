"""`pose-rt cameras`: what is there, and what it can do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pose_rt.io.sources.v4l2 import Mode

NOTHING = "try it without one: pose-rt webcam clip.mp4 --realtime"


def cameras(
    modes: Annotated[bool, typer.Option("--modes", help="Every picture size and format, not only the largest ones.")] = False,
) -> int:
    """List the cameras of this machine."""
    if sys.platform != "linux":
        return _by_name()
    from pose_rt.io.sources import v4l2

    found = v4l2.cameras()
    for camera in found:
        typer.echo(f"{camera.number}  {camera.name}  ({camera.path})")
        if camera.problem is not None:
            typer.echo(f"   cannot be used: {camera.problem}")
        for line in _mode_lines(camera.modes, every=modes):
            typer.echo(f"   {line}")
    if not found:
        typer.echo(f"no camera here; {NOTHING}")
    return 0


def _mode_lines(modes: Sequence[Mode], *, every: bool) -> list[str]:
    """One line a pixel format, with its largest sizes first."""
    by_format: dict[str, list[Mode]] = {}
    for mode in sorted(set(modes), key=lambda m: (-m.width * m.height, -m.fps)):
        by_format.setdefault(mode.pixel_format, []).append(mode)
    lines = []
    for name, known in by_format.items():
        shown = known if every else known[:4]
        sizes = ", ".join(f"{m.width}x{m.height}" + (f"@{m.fps:g}" if m.fps else "") for m in shown)
        lines.append(f"{name}: {sizes}" + (f", {len(known) - len(shown)} more (--modes)" if len(known) > len(shown) else ""))
    return lines


def _by_name() -> int:
    from pose_rt.io.sources.camera import names_of_cameras

    names = names_of_cameras()
    for number, name in enumerate(names):
        typer.echo(f"{number}  {name}")
    if not names:
        typer.echo(f"no camera here; {NOTHING}")
    return 0
