"""`pose-rt generate`: poses and motion out of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import generate_motion
from .prior_options import open_prior

app = typer.Typer(help="Make poses and motion out of nothing.", no_args_is_help=True, rich_markup_mode=None)
generate_motion.register(app)


@app.command("poses")
def poses(
    count: Annotated[int, typer.Argument(metavar="N", help="How many.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.npz", help="joints_m (N, 17, 3), metres, camera axes.")],
    picture: Annotated[Path | None, typer.Option(metavar="FILE.png", help="The poses side by side, eight a row.")] = None,
    save_rerun: Annotated[Path | None, typer.Option(metavar="FILE.rrd", help="For the Rerun viewer, one pose a frame.")] = None,
    model: Annotated[str, typer.Option(help="Prior of the zoo, or an exported .onnx file.")] = "prior_s",
    steps: Annotated[int, typer.Option(help="Score evaluations for each pose.")] = 25,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same poses.")] = 0,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime or tensorrt.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
) -> int:
    """Draw poses from the prior."""
    import numpy as np
    from rich.console import Console

    from pose_rt.errors import UsageError
    from pose_rt.io.poses import PoseArrays, row_of_people, write_arrays, write_picture, write_rerun

    if count < 1:
        raise UsageError(f"N is {count}, wanted at least 1")
    prior = open_prior(model, hypotheses=1, steps=steps, seed=seed, backend=backend, threads=threads)
    try:
        drawn = PoseArrays(prior.generate(count), np.arange(count, dtype=np.float64))
    finally:
        prior.close()
    written = [write_arrays(out, drawn, {"generated_by": model, "seed": seed, "steps": steps}, overwrite=overwrite)]
    if picture is not None:
        written.append(write_picture(picture, row_of_people(drawn.joints_m), overwrite=overwrite))
    if save_rerun is not None:
        written.append(write_rerun(save_rerun, drawn, overwrite=overwrite))
    console = Console(stderr=True, highlight=False)
    for path in written:
        console.print(f"wrote {path}", markup=False)
    return 0
