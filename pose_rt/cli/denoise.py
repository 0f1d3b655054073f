"""`pose-rt denoise`: noisy 3D motion in, likelier poses out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .prior_options import open_prior, output_of, people_in


def denoise(
    motion: Annotated[Path, typer.Argument(metavar="MOTION.{npz,jsonl,bvh}", help="What `pose-rt video` saved, arrays, or a BVH file.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.{npz,jsonl}", help="The cleaned motion; .jsonl only from .jsonl.")],
    noise_mm: Annotated[float, typer.Option("--noise", help="Standard deviation of the noise of a coordinate, mm.")] = 30.0,
    person: Annotated[int | None, typer.Option(help="Id of one person. Default: everybody.")] = None,
    render: Annotated[Path | None, typer.Option(metavar="FILE.mp4", help="The cleaned motion as a film.")] = None,
    save_rerun: Annotated[Path | None, typer.Option(metavar="FILE.rrd", help="The same for the Rerun viewer.")] = None,
    rate: Annotated[float | None, typer.Option(help="Frames a second of arrays that do not say theirs.")] = None,
    up: Annotated[str, typer.Option(help="Axis that points up in a user's file: auto, -y (camera axes), y or z.")] = "auto",
    unit: Annotated[str, typer.Option(help="Of a user's file: auto, m, cm or mm.")] = "auto",
    model: Annotated[str, typer.Option(help="Prior of the zoo, or an exported .onnx file.")] = "prior_s",
    steps: Annotated[int, typer.Option(help="Score evaluations for each pose; one gives the mean of all clean poses behind it.")] = 1,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime or tensorrt.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
) -> int:
    """Clean noisy 3D poses, one by one: each is moved to what is likely to lie behind it."""
    import numpy as np
    from rich.console import Console

    from pose_rt.errors import InputError, UsageError
    from pose_rt.io.poses import PoseArrays, write_arrays, write_film, write_jsonl, write_rerun

    if not noise_mm >= 0:
        raise UsageError(f"--noise is {noise_mm:g}, wanted 0 mm or more")
    as_lines = out.suffix.lower() in (".jsonl", ".ndjson", ".json")
    if as_lines and motion.suffix.lower() not in (".jsonl", ".ndjson", ".json"):
        raise UsageError(f"'{out}' is to be JSON lines, but '{motion}' holds none", "give --out FILE.npz")
    motions = people_in(motion, rate, up, unit, person)
    for m in motions:
        if not np.isfinite(m.joints_m).all():
            when = float(m.time_s[int(np.flatnonzero(~np.isfinite(m.joints_m).all((1, 2)))[0])])
            raise InputError(f"'{motion}', person {m.track}: joints are unknown at {when:.2f} s", "fill them first: pose-rt complete")
    prior = open_prior(model, hypotheses=1, steps=steps, seed=0, backend=backend, threads=threads)
    try:
        done = [PoseArrays(prior.denoise(m.joints_m, noise_mm / 1000, m.root_m), m.time_s, m.track, root_m=m.root_m) for m in motions]
    finally:
        prior.close()
    about = {"denoised_by": model, "noise_mm": noise_mm, "steps": steps, "source": motion.name}
    written = [write_jsonl(out, motion, done, {"denoise": about}, overwrite=overwrite)] if as_lines else []
    console = Console(stderr=True, highlight=False)
    for poses, m in zip(done, motions, strict=True):
        if not as_lines:
            written.append(write_arrays(output_of(out, poses.track, len(done)), poses, about, overwrite=overwrite, source=motion))
        if render is not None:
            written.append(write_film(output_of(render, poses.track, len(done)), poses, overwrite=overwrite))
        if save_rerun is not None:
            written.append(write_rerun(output_of(save_rerun, poses.track, len(done)), poses, overwrite=overwrite))
        moved = np.linalg.norm(poses.joints_m - m.joints_m, axis=-1)[:, 1:]
        console.print(f"person {poses.track}: {len(moved)} poses, joints moved by {1000 * float(moved.mean()):.0f} mm on average")
    for path in written:
        console.print(f"wrote {path}", markup=False)
    return 0
