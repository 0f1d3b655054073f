"""What the commands on poses share: opening the prior, and reading a motion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pose_rt.io.motion import Motion
    from pose_rt.stages.prior import Prior


def open_prior(model: str, *, hypotheses: int, steps: int, seed: int, backend: str, threads: int) -> Prior:
    """The prior of the zoo, or of an exported file.

    Raises:
        UsageError: no hypotheses, no steps, a negative seed, or no such file.
    """
    from pose_rt import zoo
    from pose_rt.backends import open_backend
    from pose_rt.errors import UsageError
    from pose_rt.stages.prior import Prior

    for name, value in (("--hypotheses", hypotheses), ("--steps", steps)):
        if value < 1:
            raise UsageError(f"{name} is {value}, wanted at least 1")
    path = Path(model)
    if path.suffix == ".onnx" and not path.is_file():
        raise UsageError(f"'{path}' does not exist, wanted an exported prior", "make one with: python -m exporters gfpose")
    opened = open_backend(path if path.suffix == ".onnx" else zoo.find(model), backend=backend, threads=threads)
    try:
        return Prior(opened, hypotheses=hypotheses, steps=steps, seed=seed)
    except BaseException:
        opened.close()
        raise


def people_in(path: Path, rate: float | None, up: str, unit: str, person: int | None) -> list[Motion]:
    """The people of a file of motion, or the one with an id.

    Raises:
        UsageError: an unknown axis or unit, or nobody of that id.
    """
    from typing import cast, get_args

    from pose_rt.errors import UsageError
    from pose_rt.io.motion import Unit, Up, read_motion

    for name, value, allowed in (("--up", up, get_args(Up)), ("--unit", unit, get_args(Unit))):
        if value not in allowed:
            raise UsageError(f"{name} is {value!r}, wanted one of {', '.join(allowed)}")
    motions = read_motion(path, rate_hz=rate, up=cast(Up, up), unit=cast(Unit, unit))
    if person is None:
        return motions
    chosen = [m for m in motions if m.track == person]
    if not chosen:
        ids = ", ".join(str(m.track) for m in motions)
        raise UsageError(f"--person is {person}, the file has {ids}", "leave it out to take everybody")
    return chosen


def output_of(out: Path, person: int, people: int) -> Path:
    """`out`, with the person's id before its ending where there are several."""
    return out if people == 1 else out.with_name(f"{out.stem}_{person}{out.suffix}")
