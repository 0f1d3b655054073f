"""Which views a live run has, and how they are opened: each loads its library only when it is wanted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import typer

from pose_rt.errors import UsageError

from .outputs import rerun_sink

if TYPE_CHECKING:
    from pose_rt.core.camera import Camera
    from pose_rt.io.draw import Annotator
    from pose_rt.io.draw.style import Style
    from pose_rt.io.sinks.jsonl import RunInfo
    from pose_rt.stream.control import Control
    from pose_rt.stream.protocols import Sink

    from .options import DataOptions

VIEWS = ("auto", "window", "web", "rerun", "none")


class ViewWish(NamedTuple):
    """The views by name, what they show, and whether there is a recorder for their record button to switch."""

    names: tuple[str, ...]
    style: Style
    control: Control
    info: RunInfo
    annotate: Annotator
    camera: Camera
    host: str
    port: int
    token: str | None
    data: DataOptions
    can_record: bool


def wanted_views(given: Sequence[str]) -> tuple[str, ...]:
    """The views asked for, each once, with "auto" replaced by the one for this machine.

    Raises:
        UsageError: an unknown name, or "none" beside another.
    """
    names = list(dict.fromkeys(given))
    if unknown := [name for name in names if name not in VIEWS]:
        raise UsageError(f"view is {unknown[0]!r}, wanted one of {', '.join(VIEWS)}")
    if "none" in names and len(names) > 1:
        raise UsageError(f"view 'none' was given together with {', '.join(n for n in names if n != 'none')}", "give one or the other")
    return tuple(dict.fromkeys(_auto() if name == "auto" else name for name in names))


def has_display() -> bool:
    """Whether a window could be opened here."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _auto() -> str:
    return "window" if has_display() and find_spec("pygame") is not None else "web"


def open_views(wish: ViewWish, stack: ExitStack) -> list[Sink]:
    """The views, closed with `stack`.

    Raises:
        UsageError: a library or a display is missing.
        OutputError: the port is in use, or a file is in the way.
    """
    sinks: list[Sink] = []
    names = list(wish.names)
    if wish.data.save_rerun is not None and "rerun" not in names:
        names.append("rerun file")
    for name in names:
        if name == "window":
            sinks.append(_window(wish))
        elif name == "web":
            sinks.append(_web(wish))
        elif name.startswith("rerun"):
            sinks.append(rerun_sink(wish.data, name == "rerun", wish.camera, wish.style, wish.info.source))
        else:
            continue
        stack.callback(sinks[-1].close)
    return sinks


def _web(wish: ViewWish) -> Sink:
    from pose_rt.io.sinks.web import WebView

    title, recorder = wish.info.source, wish.can_record
    view = WebView(wish.host, wish.port, token=wish.token, control=wish.control, style=wish.style, title=title, recorder=recorder)
    typer.echo(f"open {view.url}", err=True)
    return view


def _window(wish: ViewWish) -> Sink:
    from pose_rt.io.draw import output_size
    from pose_rt.io.sinks.window import WindowView

    size = output_size(wish.info.width, wish.info.height, wish.style.layout)
    return WindowView(f"pose-rt - {wish.info.source}", wish.annotate, wish.control, size=size, can_record=wish.can_record)
