"""`pose-rt complete`: recorded 3D motion in, with joints that were not seen filled in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .prior_options import open_prior, output_of, people_in

if TYPE_CHECKING:
    import numpy as np

    from pose_rt.io.motion import Motion
    from pose_rt.io.poses import PoseArrays
    from pose_rt.stages.prior import Prior

LEAST_KNOWN = 4


def complete(
    motion: Annotated[Path, typer.Argument(metavar="MOTION.{jsonl,npz,bvh}", help="What `pose-rt video` saved, arrays, or a BVH file.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.{jsonl,npz}", help="The completed motion; .jsonl only from .jsonl.")],
    missing: Annotated[
        str, typer.Option(metavar="auto|LIST", help="auto: NaN, low 2D score, out of the picture. Or names such as left_wrist,right_leg.")
    ] = "auto",
    hypotheses: Annotated[int, typer.Option(help="Samples behind each completed pose.")] = 20,
    min_score: Annotated[float, typer.Option(min=0.0, max=1.0, help="auto: a lower 2D score counts as not seen.")] = 0.3,
    person: Annotated[int | None, typer.Option(help="Id of one person. Default: everybody.")] = None,
    render: Annotated[Path | None, typer.Option(metavar="FILE.mp4", help="The completed motion as a film.")] = None,
    save_rerun: Annotated[Path | None, typer.Option(metavar="FILE.rrd", help="The same with all hypotheses, for the Rerun viewer.")] = None,
    rate: Annotated[float | None, typer.Option(help="Frames a second of arrays that do not say theirs.")] = None,
    up: Annotated[str, typer.Option(help="Axis that points up in a user's file: auto, -y (camera axes), y or z.")] = "auto",
    unit: Annotated[str, typer.Option(help="Of a user's file: auto, m, cm or mm.")] = "auto",
    model: Annotated[str, typer.Option(help="Prior of the zoo, or an exported .onnx file.")] = "prior_s",
    steps: Annotated[int, typer.Option(help="Score evaluations for each sample.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")] = 0,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime or tensorrt.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
) -> int:
    """Fill in the joints of recorded poses that were not seen."""
    from rich.console import Console

    from pose_rt.errors import InputError, UsageError
    from pose_rt.io.poses import joint_list, write_arrays, write_film, write_jsonl, write_rerun

    names = None if missing == "auto" else joint_list(missing)
    as_lines = out.suffix.lower() in (".jsonl", ".ndjson", ".json")
    if as_lines and motion.suffix.lower() not in (".jsonl", ".ndjson", ".json"):
        raise UsageError(f"'{out}' is to be JSON lines, but '{motion}' holds none", "give --out FILE.npz")
    motions = people_in(motion, rate, up, unit, person)
    prior = open_prior(model, hypotheses=hypotheses, steps=steps, seed=seed, backend=backend, threads=threads)
    try:
        done = [_complete(prior, m, motion, names, min_score) for m in motions]
    finally:
        prior.close()
    if not any(poses.provenance is not None and poses.provenance.any() for poses in done):
        what = "every joint was seen" if names is None else "no frame has joints enough to go by"
        raise InputError(f"'{motion}': there is nothing to complete: {what}", "name joints with --missing, or lower --min-score")
    about = {"completed_by": model, "hypotheses": hypotheses, "missing": missing, "seed": seed, "source": motion.name}
    written = []
    if as_lines:
        written.append(write_jsonl(out, motion, done, {"complete": about}, overwrite=overwrite))
    for poses in done:
        if not as_lines:
            target = output_of(out, poses.track, len(done))
            written.append(write_arrays(target, poses, about, overwrite=overwrite, source=motion))
        if render is not None:
            written.append(write_film(output_of(render, poses.track, len(done)), poses, overwrite=overwrite))
        if save_rerun is not None:
            written.append(write_rerun(output_of(save_rerun, poses.track, len(done)), poses, overwrite=overwrite))
    console = Console(stderr=True, highlight=False)
    for poses in done:
        assert poses.provenance is not None and poses.sigma_m is not None
        filled = poses.provenance > 0
        sigma = f", median sigma {1000 * float(_median(poses.sigma_m[filled])):.0f} mm" if filled.any() else ""
        console.print(f"person {poses.track}: {int(filled.sum())} joints in {int(filled.any(1).sum())} of {len(filled)} frames{sigma}")
    for path in written:
        console.print(f"wrote {path}", markup=False)
    return 0


def _median(values: np.ndarray) -> float:
    import numpy as np

    return float(np.median(values))


def _complete(prior: Prior, motion: Motion, path: Path, names: tuple[int, ...] | None, min_score: float) -> PoseArrays:
    """Every frame with a joint to fill in and at least `LEAST_KNOWN` to go by; the others stay as they are."""
    import numpy as np

    from pose_rt.core.types import COMPLETED
    from pose_rt.io.poses import PoseArrays, unseen
    from pose_rt.stages.lost import between_seen, drift_noise, one_pose

    gone = unseen(motion, path, min_score)
    if names is not None:
        gone = ~np.isfinite(motion.joints_m).all(-1)
        gone[:, list(names)] = True
    rows = np.flatnonzero(gone.any(1) & ((~gone).sum(1) >= LEAST_KNOWN))
    joints = motion.joints_m.copy()
    samples = np.repeat(joints[:, None], prior.hypotheses, 1)
    root = None if motion.root_m is None else motion.root_m.copy()
    place, away = between_seen(joints, gone, motion.time_s)
    samples[rows], mean = prior.complete(
        joints[rows],
        ~gone[rows],
        [motion.track] * len(rows),
        None if root is None else root[rows],
        vague_m=place[rows],
        vague_noise_m=drift_noise(away[rows]),
    )
    spread = np.sqrt(samples.var(1).mean(-1))
    joints[rows] = one_pose(mean, samples[rows], ~gone[rows])
    provenance, sigma = np.zeros(gone.shape, np.uint8), np.zeros(gone.shape, np.float32)
    provenance[rows] = np.where(gone[rows], COMPLETED, 0)
    sigma[rows] = np.where(gone[rows], prior.sigma(spread[rows]), 0.0)
    shift = joints[:, :1].copy()  # the root itself may have been filled in
    if root is not None:
        root += np.nan_to_num(shift[:, 0])
    return PoseArrays(joints - shift, motion.time_s, motion.track, samples - samples[:, :, :1], sigma, provenance, root)
