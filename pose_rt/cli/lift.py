"""`pose-rt lift`: 2D keypoints that another detector made in, 3D poses out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np

    from pose_rt.core.camera import Camera
    from pose_rt.io.keypoints import KeypointClip
    from pose_rt.stages.lift import Lift


def lift(
    source: Annotated[Path, typer.Argument(metavar="KEYPOINTS", help=".npz, .json, .jsonl, or a folder of OpenPose's JSON files.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="LIFTED.npz", help="Where the poses go.")],
    skeleton: Annotated[str | None, typer.Option(help="Joint order: coco17, h36m17, blazepose33 or mpi17.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second, where the file does not say.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Size of the pictures, px, where the file does not say.")] = None,
    fov: Annotated[float | None, typer.Option(help="Diagonal field of view of the camera, degrees.")] = None,
    focal: Annotated[float | None, typer.Option(help="Focal length of the camera, pixels.")] = None,
    person: Annotated[int | None, typer.Option(help="Id of the person. Default: who is seen in most frames.")] = None,
    min_score: Annotated[float, typer.Option(help="Joints below this score count as not seen.")] = 0.05,
    lifter: Annotated[str, typer.Option(help="Lifter: a name of the zoo, or an .onnx file.")] = "lifter_s",
    hypotheses: Annotated[int, typer.Option(help="3D hypotheses (H).")] = 5,
    steps: Annotated[int, typer.Option(help="Denoising steps (K).")] = 2,
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirrored input: twice the cost.")] = False,
    aggregate: Annotated[str, typer.Option(help="jpma (per joint, the hypothesis that reprojects nearest) or mean.")] = "jpma",
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 0,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime or tensorrt.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
) -> int:
    """Lift 2D keypoints to 3D.

    JPMA (J-Agg) needs no ground truth: the person's place is estimated from the keypoints and the mean hypothesis. With exact
    keypoints it is the more accurate choice, with noisy ones `--aggregate mean` is.
    """
    from pose_rt import zoo
    from pose_rt.backends import open_backend
    from pose_rt.config import Settings
    from pose_rt.core.skeleton import H36M17
    from pose_rt.errors import UsageError
    from pose_rt.io.keypoints import Given, read_keypoints
    from pose_rt.io.output import check_output_path
    from pose_rt.stages.lift import Lift
    from pose_rt.stages.lifter import Lifter

    Settings(hypotheses=hypotheses, steps=steps, aggregate=aggregate, fov_deg=fov, focal_px=focal, seed=seed, backend=backend)
    path = check_output_path(out, overwrite=overwrite, suffixes=(".npz",), inputs=[source])
    clip = read_keypoints(source, Given(skeleton, None if size is None else _size(size), fps), person=person, min_score=min_score)
    model = open_backend(Path(lifter) if lifter.endswith(".onnx") else zoo.find(lifter), backend=backend, threads=threads)
    sampler = Lifter(model, hypotheses=hypotheses, steps=steps, flip=flip, seed=seed)
    if clip.skeleton is not sampler.skeleton_in is not H36M17:
        have = clip.skeleton.name if clip.skeleton is not None else "unknown"
        raise UsageError(f"the lifter takes {sampler.skeleton_in.name} keypoints, '{source}' has {have}", "choose another --lifter")
    stage = Lift(sampler, _camera(clip, fov, focal), aggregate=aggregate)
    try:
        arrays = _lift(stage, clip)
    finally:
        stage.close()
    _save(path, {**arrays, "aggregate": aggregate, "lifter": model.name})
    _summary(clip, stage.camera, arrays, path)
    return 0


def _size(text: str) -> tuple[int, int]:
    from pose_rt.errors import UsageError

    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise UsageError(f"--size: got '{text}', wanted WIDTHxHEIGHT such as 1920x1080")
    return int(width), int(height)


def _camera(clip: KeypointClip, fov: float | None, focal: float | None) -> Camera:
    from pose_rt.core.camera import Camera

    assert clip.width is not None and clip.height is not None
    if fov is not None:
        return Camera.from_fov(clip.width, clip.height, fov)
    if focal is not None:
        return Camera.from_focal(clip.width, clip.height, focal)
    return Camera.default(clip.width, clip.height)


def _lift(stage: Lift, clip: KeypointClip) -> dict[str, Any]:
    """Push the clip through the stage, frame by frame, and collect; NaN where nobody was seen."""
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    count, h = len(clip), stage.lifter.hypotheses
    nan = np.float32(np.nan)
    joints, sigma, root = np.full((count, 17, 3), nan), np.full((count, 17), nan), np.full((count, 3), nan)
    samples = np.full((count, h, 17, 3), nan)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("lifting", total=count)

        def keep(packets: list[Any]) -> None:
            for packet in packets:
                if len(packet.pose.track):
                    i = packet.frame.index
                    joints[i], sigma[i], samples[i] = packet.pose.joints_m[0], packet.pose.sigma_m[0], packet.pose.hypotheses_m[0]
                    root[i] = packet.pose.root_m[0]
                progress.advance(task)

        for i in range(count):
            keep(stage.push(_packet(clip, i)))
        keep(stage.flush())
    return {
        "joints_m": joints, "hypotheses_m": samples, "sigma_m": sigma, "root_m": root, "fps": np.float64(clip.fps or 0.0),
        "skeleton": "h36m17", "focal_px": np.float64(stage.camera.focal_px), "camera": stage.camera.how,
    }  # fmt: skip


def _packet(clip: KeypointClip, i: int) -> Any:
    """Frame i as the pipeline has it; there is no picture, so a black one that takes no memory stands for it."""
    import numpy as np

    from pose_rt.core.types import Frame, Keypoints2D, Packet

    assert clip.width is not None and clip.height is not None and clip.fps is not None and clip.skeleton is not None
    xy = clip.xy_px[i]
    seen = np.isfinite(xy).all(-1)
    people = int(seen.any())
    box = np.array([[*xy[seen].min(0), *xy[seen].max(0)]], np.float32) if people else np.zeros((0, 4), np.float32)
    keypoints = Keypoints2D(
        xy_px=np.ascontiguousarray(xy[None][:people]), score=np.ascontiguousarray(clip.score[i][None][:people]), box_px=box,
        track=np.zeros(people, np.int64), skeleton=clip.skeleton, spread_px=None,
    )  # fmt: skip
    black = np.broadcast_to(np.zeros((), np.uint8), (clip.height, clip.width, 3))
    return Packet(Frame(black, i, round(i * 1e9 / clip.fps), 0), keypoints=keypoints)


def _save(path: Path, arrays: dict[str, Any]) -> None:
    import numpy as np

    from pose_rt.io.output import whole_file

    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _summary(clip: KeypointClip, camera: Camera, arrays: dict[str, np.ndarray], path: Path) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    done = np.isfinite(arrays["joints_m"]).all((1, 2))
    table = Table(show_header=False)
    table.add_row("frames lifted", f"{int(done.sum())} of {len(clip)} at {clip.fps:g} a second")
    table.add_row("keypoints", f"{clip.skeleton.name if clip.skeleton else ''}, {clip.width} x {clip.height} px")
    table.add_row("camera", f"{camera.how}, {camera.focal_px:.0f} px")
    if done.any():
        table.add_row("median sigma", f"{1000 * float(np.median(arrays['sigma_m'][done][:, 1:])):.0f} mm")
        table.add_row("median distance", f"{float(np.nanmedian(arrays['root_m'][done][:, 2])):.2f} m")
    if len(clip.people) > 1:
        others = ", ".join(f"{track} ({frames} frames)" for track, frames in clip.people[1:9])
        table.add_row("person", f"{clip.people[0][0]} ({clip.people[0][1]} frames); --person takes another: {others}")
    console = Console(stderr=True, highlight=False)
    console.print(table)
    console.print(f"wrote {path}", markup=False)
