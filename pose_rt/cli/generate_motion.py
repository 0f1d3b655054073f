"""`pose-rt generate motion2d` and `motion3d`: motion out of nothing, from a model that has seen 2D motion only (MAS)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .motion_options import MotionOptions, lengths_of, open_motion_model, prepare_folder
from .options import grouped

if TYPE_CHECKING:
    import numpy as np

    from pose_rt.io.motion_results import GeneratedMotions
    from pose_rt.stages.motion import MotionModel, Motions, OnStep

Sample = Callable[["MotionModel", "np.ndarray", int, "OnStep"], "Motions"]
"""``sample(model, lengths, number of the first sample, on_step)``."""
Write = Callable[[Path, "GeneratedMotions", int, int], list[Path]]
"""``write(folder, motions, row, number)``: the files of one motion."""


def register(app: typer.Typer) -> None:
    """Add the two commands to `pose-rt generate`."""
    app.command("motion2d")(grouped(motion2d))
    app.command("motion3d")(grouped(motion3d))


def motion2d(
    options: MotionOptions,
    steps: Annotated[int | None, typer.Option(help="Denoising steps. Default: all that the model was trained with.")] = None,
) -> int:
    """Sample 2D motions from a 2D motion model."""

    def sample(model: MotionModel, lengths: np.ndarray, first: int, on_step: OnStep) -> Motions:
        return model.motions2d(lengths, options.seed, first=first, steps=steps, on_step=on_step)

    def write(folder: Path, made: GeneratedMotions, row: int, number: int) -> list[Path]:
        from pose_rt.io.generated_film import write_film2d

        return [write_film2d(folder / f"result_{number}.mp4", made.motion(row), made.spec)] if options.films else []

    return _generate(options, sample, write, {"task": "sample", "steps": steps})


def motion3d(
    options: MotionOptions,
    num_views: Annotated[int, typer.Option(help="Views that are denoised together.")] = 7,
    method: Annotated[str, typer.Option(help="mas, or one of the paper's ablations: dreamfusion, no_3d_noise and so on.")] = "mas",
    steps: Annotated[int | None, typer.Option(help="Denoising steps. Default: 36 of the 100.")] = None,
    published: Annotated[bool, typer.Option("--published", help="The published formula: all steps, up to 1000 of Adam in each.")] = False,
    iterations: Annotated[int, typer.Option(help="Of the dreamfusion methods.")] = 1000,
    bvh: Annotated[bool, typer.Option("--bvh/--no-bvh", help="A BVH file of every motion.")] = True,
    rerun: Annotated[bool, typer.Option("--rerun", help="A file for the Rerun viewer of every motion.")] = False,
) -> int:
    """Sample 3D motions from a 2D motion model by multi-view ancestral sampling."""
    from typing import cast

    from pose_rt.diffusion.mas import METHODS, Method
    from pose_rt.errors import UsageError

    if method not in METHODS:
        raise UsageError(f"--method is {method!r}, wanted one of {', '.join(METHODS)}")
    if num_views < 1 or iterations < 1:
        raise UsageError(f"--num-views is {num_views} and --iterations {iterations}, wanted at least 1 of each")
    if published and steps is not None:
        raise UsageError("--published does all steps", "leave --steps out")

    def sample(model: MotionModel, lengths: np.ndarray, first: int, on_step: OnStep) -> Motions:
        more: dict[str, Any] = {} if steps is None else {"steps": steps}
        return model.motions3d(
            lengths, options.seed, first=first, views=num_views, method=cast(Method, method), published=published,
            iterations=iterations, on_step=on_step, **more,
        )  # fmt: skip

    def write(folder: Path, made: GeneratedMotions, row: int, number: int) -> list[Path]:
        return _files3d(folder, made, row, number, films=options.films, bvh=bvh, rerun=rerun)

    about = {"task": method if method == "mas" or method[0] in "dr" else f"mas_{method}", "num_views": num_views, "steps": steps}
    return _generate(options, sample, write, about | {"published": published})


def _files3d(folder: Path, made: GeneratedMotions, row: int, number: int, *, films: bool, bvh: bool, rerun: bool) -> list[Path]:
    import numpy as np

    from pose_rt.io.bvh_write import write_bvh
    from pose_rt.io.generated_film import write_film3d, write_rerun

    motion, written = made.motion(row), []
    if films:
        written.append(write_film3d(folder / f"result_{number}.mp4", motion, made.spec))
    if bvh:
        towards_viewer = motion * np.array([1.0, 1.0, -1.0])
        written.append(write_bvh(folder / f"result_{number}.bvh", towards_viewer, made.spec.skeleton, made.spec.fps))
    if rerun:
        written.append(write_rerun(folder / f"result_{number}.rrd", motion, made.spec))
    return written


def _generate(options: MotionOptions, sample: Sample, write: Write, about: dict[str, Any]) -> int:
    """Sample in batches and write each as it is done; after Ctrl-C the results hold those that were done."""
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from pose_rt.io.generated_film import write_film2d
    from pose_rt.io.motion_results import GeneratedMotions, write_npy, write_npz

    options.check()
    model = open_motion_model(options)
    console = Console(stderr=True, highlight=False)
    done: list[np.ndarray] = []
    lengths = np.zeros(0, np.int64)
    try:
        lengths, shown = lengths_of(options, model)
        longest = int(lengths.max())
        folder = prepare_folder(options.out, options.overwrite)
        if options.show_input_motions and shown is not None:
            for i in range(len(lengths)):
                write_film2d(folder / f"input_motions_{i}.mp4", shown.motion(i), model.spec)
        try:
            with Progress(console=console, disable=not console.is_terminal) as progress:
                task = progress.add_task("sampling", total=1.0)
                for first in range(0, len(lengths), options.batch_size):
                    part = lengths[first : first + options.batch_size]

                    def on_step(step: int, steps: int, first: int = first, count: int = len(part)) -> None:
                        progress.update(task, completed=(first + count * step / steps) / len(lengths))

                    made = sample(model, part, first, on_step)
                    batch = GeneratedMotions(made.values, made.lengths, model.spec, about)
                    for row in range(len(part)):
                        progress.update(task, description=f"motion {first + row}")
                        write(folder, batch, row, first + row)
                    done.append(_padded(made.values, longest))
        finally:
            if done:
                values = np.concatenate(done)
                origin = str(options.checkpoint or options.model)
                results = GeneratedMotions(values, lengths[: len(values)], model.spec, {**about, "model": origin, "seed": options.seed})
                for path in (write_npy(folder / "results.npy", results), write_npz(folder / "results.npz", results)):
                    console.print(f"wrote {path} ({len(values)} of {len(lengths)} motions)", markup=False)
    finally:
        model.close()
    return 0


def _padded(values: np.ndarray, frames: int) -> np.ndarray:
    """Motions padded with zeros to so many frames, as published results are."""
    import numpy as np

    axis = 1 if values.shape[-1] == 3 else -1
    missing = [(0, 0)] * values.ndim
    missing[axis] = (0, frames - values.shape[axis])
    return np.pad(values, missing)
