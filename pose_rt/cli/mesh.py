"""`pose-rt mesh`: generated motion in, a body in motion out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from pose_rt.core.skeleton import Skeleton
    from pose_rt.models.mas.mesh import BodyMotion

SKELETONS = ("nba", "gymnastics", "h36m17", "coco17")


def mesh(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.npz", help="What `pose-rt generate motion3d` saved.")],
    smpl: Annotated[Path, typer.Option(metavar="FILE.npz", help="Your own SMPL body, from training.mas.convert_smpl.")],
    skeleton: Annotated[str | None, typer.Option(help="nba, gymnastics, h36m17 or coco17. Default: what the file says.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder of results. Default: beside the input.")] = None,
    index: Annotated[int | None, typer.Option(min=0, help="Only this motion. Default: all of them.")] = None,
    iterations: Annotated[int, typer.Option(min=1, help="Of the fit, outer and inner.")] = 150,
    gender: Annotated[str, typer.Option(help="Of the body in the file.")] = "neutral",
    rate: Annotated[float | None, typer.Option(help="Frames a second of arrays that do not say theirs.")] = None,
    obj: Annotated[bool, typer.Option("--obj/--no-obj", help="An OBJ file of every frame.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
) -> int:
    """Fit SMPL bodies to 3D motions: OBJ sequence, parameters as .npz, animated glTF."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from pose_rt.errors import OutputError, UsageError

    motions, joints, fps = _read(results, skeleton, rate)
    chosen = list(range(len(motions))) if index is None else [index]
    if chosen[-1] >= len(motions):
        raise UsageError(f"--index is {index}, '{results}' holds {len(motions)} motions", f"give 0 to {len(motions) - 1}")
    folder = results.parent if out is None else out
    targets = {i: (folder / f"result_{i}_smpl_params.npz", folder / f"result_{i}.glb", folder / f"result_{i}_obj") for i in chosen}
    existing = [path for paths in targets.values() for path in paths if path.exists()]
    if existing and not overwrite:
        raise OutputError(f"'{existing[0]}' exists already", "add --overwrite or choose another --out")
    try:
        from pose_rt.models.mas.mesh import fit_motion
        from pose_rt.models.mas.smpl_file import load_smpl
    except ImportError as error:
        raise UsageError(f"fitting a body needs torch ({error})", "pip install 'pose-rt[train]'") from error
    body = load_smpl(smpl, gender)
    console = Console(stderr=True, highlight=False)
    for note in body.notes:
        console.print(note, markup=False)
    folder.mkdir(parents=True, exist_ok=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        for i in chosen:
            task = progress.add_task(f"motion {i}", total=iterations)

            def on_step(done: int, total: int, task: TaskID = task) -> None:
                progress.update(task, completed=done, total=total)

            found = fit_motion(body, motions[i], joints, iterations=iterations, on_step=on_step)
            _write(found, targets[i], fps, obj)
            console.print(f"motion {i}: joints {1000 * found.error:.0f} mm from the body's; wrote {targets[i][1]}", markup=False)
    return 0


def _read(path: Path, skeleton: str | None, rate: float | None) -> tuple[list[np.ndarray], Skeleton, float]:
    """The motions (T, J, 3), their skeleton and rate.

    Raises:
        UsageError: an unknown skeleton, or none is known.
        InputError: not generated motions, 2D ones, or of another number of joints.
    """
    from pose_rt.core.smpl_joints import SOURCES
    from pose_rt.errors import InputError, UsageError
    from pose_rt.io.motion_results import read_arrays

    arrays, about = read_arrays(path)
    name = skeleton or about.get("skeleton")
    if name not in SKELETONS:
        what = f"--skeleton is {skeleton!r}" if skeleton else f"'{path}' has the skeleton {name!r}"
        raise UsageError(f"{what}, wanted one of {', '.join(SKELETONS)}", "give --skeleton")
    found, motions = SOURCES[name], arrays["motions"]
    if motions.ndim != 4 or motions.shape[2:] != (found.num_joints, 3):
        wanted = f"(B, T, {found.num_joints}, 3) for {name}"
        raise InputError(f"'{path}': motions have shape {motions.shape}, wanted {wanted}", "make 3D motion with: pose-rt generate motion3d")
    lengths = arrays.get("lengths")
    fps = float(arrays["fps"]) if "fps" in arrays else rate
    if fps is None or not fps > 0:
        raise UsageError(f"'{path}' does not say its frame rate", "give --rate")
    return (
        [m if lengths is None else m[: int(n)] for m, n in zip(motions, motions if lengths is None else lengths, strict=True)],
        found,
        fps,
    )


def _write(found: BodyMotion, paths: tuple[Path, Path, Path], fps: float, obj: bool) -> None:
    import numpy as np

    from pose_rt.io.mesh_files import write_glb, write_obj_sequence
    from pose_rt.io.motion_results import write_plain

    root = found.thetas[-1, :3].T
    arrays = {
        "motion": found.thetas, "thetas": found.thetas[:-1], "root_translation": root, "betas": found.betas, "faces": found.faces,
        "vertices": found.vertices.transpose(1, 2, 0), "length": np.int64(len(root)), "fps": np.float64(fps),
    }  # fmt: skip
    write_plain(paths[0], arrays)
    write_glb(paths[1], found.rest_vertices, found.rest_joints, found.parents, found.skin, found.faces, found.pose, root - root[:1], fps)
    if obj:
        write_obj_sequence(paths[2], found.vertices, found.faces)
