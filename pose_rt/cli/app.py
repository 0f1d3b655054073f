"""`pose-rt`: the door. Collects the commands and turns errors into one sentence and an exit code (0 good, 1 failed, 2 misuse)."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from pose_rt import __version__
from pose_rt.errors import PoseRtError

from . import bench, build_engines, cameras, complete, denoise, doctor, engines, forecast, generate, lift, mesh, models, video, webcam

EXIT_INTERRUPTED = 130
# Newer typer carries its own copy of click, older typer depends on it: the base of BadParameter is the usage error in both.
_CommandLineError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="pose-rt",
    help="A camera or a video in; 3D human motion, its certainty and its futures out.",
    epilog="pose-rt --debug COMMAND ... shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pose-rt {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    pass


app.command("video")(video.video)
app.command("webcam")(webcam.webcam)
app.command("forecast")(forecast.forecast)
app.command("cameras")(cameras.cameras)
app.command("build-engines")(build_engines.build_engines)
app.command("lift")(lift.lift)
app.command("complete")(complete.complete)
app.command("denoise")(denoise.denoise)
app.command("doctor")(doctor.doctor)
app.command("mesh")(mesh.mesh)
app.add_typer(generate.app, name="generate")
app.add_typer(models.app, name="models")
app.add_typer(engines.app, name="engines")
app.add_typer(bench.app, name="bench")


def main(argv: list[str] | None = None) -> None:
    """Entry point of the `pose-rt` script."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service that is stopped finishes its files as after Ctrl-C
    sys.exit(run([a for a in args if a != "--debug"], debug=debug))


def run(args: list[str], *, debug: bool = False) -> int:
    """Run one command and return its exit code; errors are printed, not raised, unless `debug`."""
    try:
        result = typer.main.get_command(app).main(args=args, prog_name="pose-rt", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except PoseRtError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except _CommandLineError as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "pose-rt"
        message: str = error.format_message()  # type: ignore[attr-defined]
        if message.startswith("Usage:"):  # a command without arguments, answered with its help
            print(message, file=sys.stderr)
            return 2
        return _fail(f"{message.rstrip('.')} (see: {command} --help)", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", EXIT_INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        return _fail(f"unexpected {type(error).__name__}: {error}; run again with --debug and report what it prints", 1)


def _fail(sentence: str, code: int) -> int:
    print(f"pose-rt: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
