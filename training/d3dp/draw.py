"""See what a lifter does: ``python -m training.d3dp.draw --checkpoint FILE --dataset h36m --data DIR --actions Walking --out x.mp4``.

Hypotheses, their mean and J-Agg against the ground truth, beside the 2D keypoints, in camera and world axes: an .mp4 film, an .rrd file
for Rerun, or (where --out is a folder) a picture of every n-th frame.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from pose_rt.core.types import Frame, Packet
from pose_rt.errors import OutputError, PoseRtError, UsageError
from pose_rt.io.sinks.video import VideoSink
from pose_rt.metrics.pose3d import mpjpe
from pose_rt.stream.protocols import SourceInfo
from training.data.motion import load_clips

from .datasets import load_data
from .draw_rerun import save_rerun
from .evaluate_cmu17 import held_out_windows
from .load import load_lifter
from .paint import picture
from .protocol import Protocol, check_skeletons, seeded
from .scene import Scene, recorded_scene, virtual_scene
from .train import add_data_options


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        torch.set_num_threads(args.threads)
        if args.out.exists() and not args.overwrite and not args.out.is_dir():
            raise OutputError(f"the output '{args.out}' exists already", "add --overwrite or choose another name")
        scene = _scene(args)
        if args.out.suffix == ".mp4":
            _film(scene, args.out, args.side, args.overwrite)
        elif args.out.suffix == ".rrd":
            args.out.parent.mkdir(parents=True, exist_ok=True)
            save_rerun(scene, args.out)
        elif not args.out.suffix:
            _pictures(scene, args.out, args.side, args.every)
        else:
            raise UsageError(f"--out: got '{args.out}'", "wanted a file that ends in .mp4 or .rrd, or a folder for pictures")
    except PoseRtError as error:
        console.print(str(error), markup=False)
        return error.exit_code
    Console().print(_table(scene))
    console.print(f"wrote {args.out}", markup=False)
    return 0


def _scene(args: argparse.Namespace) -> Scene:
    dataset = args.dataset or "cmu17"
    coco = "coco17" if args.keypoints == "detectron_pt_coco" else None
    lifter, config = load_lifter(args.checkpoint, dataset=dataset, skeleton_in=coco, heads=args.heads, device=args.device)
    protocol = Protocol(args.hypotheses, args.steps, 4, flip=not args.no_flip)
    protocol.check(lifter.timesteps)
    draw = seeded(args.seed)
    if dataset == "cmu17":
        windows = held_out_windows(load_clips(args.data, "test"), config, args.window + 1, args.seed)
        return virtual_scene(lifter, windows, args.window, protocol, draw, config.rate_hz)
    keypoints = args.keypoints or config.keypoints or "cpn_ft_h36m_dbb"
    data = load_data(args, replace(config, dataset=dataset, keypoints=keypoints), "test")
    check_skeletons(lifter, data.skeleton_in.name, data.skeleton_out.name)
    found = [r for r in data.recordings if r.subject == (args.subject or r.subject)]
    if dataset == "h36m":
        found = [r for r in found if r.camera == sorted({x.camera for x in found})[args.camera]]
    if not found:
        known = ", ".join(sorted({r.name for r in data.recordings})[:20])
        raise UsageError(f"no recording of subject {args.subject} with camera {args.camera}", f"there are {known}")
    return recorded_scene(lifter, found[0], config.frames, protocol, draw, data.rate_hz, args.limit)


def _film(scene: Scene, path: Path, side: int, overwrite: bool) -> None:
    rate = Fraction(scene.rate_hz).limit_denominator(1001)
    info = SourceInfo(width=3 * side, height=side, fps=rate, live=False, length=len(scene), duration_s=len(scene) / scene.rate_hz, name="")
    path.parent.mkdir(parents=True, exist_ok=True)
    sink = VideoSink(path, info, lambda packet: packet.frame.bgr, overwrite=overwrite)
    try:
        with Progress(console=Console(stderr=True)) as progress:
            for t in progress.track(range(len(scene)), description="drawing"):
                sink.write(Packet(Frame(picture(scene, t, side), t, round(t * 1e9 / scene.rate_hz), 0)))
    finally:
        sink.close()


def _pictures(scene: Scene, folder: Path, side: int, every: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for t in track(range(0, len(scene), every), "drawing", console=Console(stderr=True)):
        _, data = cv2.imencode(".png", picture(scene, t, side))
        temporary = folder / ".picture.part"
        temporary.write_bytes(data.tobytes())
        temporary.replace(folder / f"{t:06d}.png")


def _table(scene: Scene) -> Table:
    table = Table("MPJPE, mm", "mean over frames", title=f"{scene.name}, {len(scene)} frames, {scene.hypotheses.shape[1]} hypotheses")
    for name, pose in (("P-Agg", scene.mean), ("J-Agg", scene.jagg)):
        if pose is not None:
            table.add_row(name, f"{1000 * float(mpjpe(pose, scene.truth).mean()):.1f}")
    every = 1000 * mpjpe(scene.hypotheses, scene.truth[:, None])
    table.add_row("hypotheses, best to worst", f"{np.sort(every, 1).mean(0)[0]:.1f} to {np.sort(every, 1).mean(0)[-1]:.1f}")
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.d3dp.draw", description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--dataset", choices=("cmu17", "h36m", "3dhp"))
    add_data_options(parser)
    parser.add_argument("--subject", help="default: the first of the test subjects")
    parser.add_argument("--camera", type=int, default=0, choices=range(4), help="of Human3.6M")
    parser.add_argument("--window", type=int, default=0, help="which window of cmu17")
    parser.add_argument("--limit", type=int, default=0, help="draw at most this many frames")
    parser.add_argument("-H", dest="hypotheses", type=int, default=5)
    parser.add_argument("-K", dest="steps", type=int, default=5)
    parser.add_argument("--no-flip", action="store_true")
    parser.add_argument("--out", type=Path, required=True, help="x.mp4, x.rrd or a folder")
    parser.add_argument("--every", type=int, default=5, help="frames from one picture to the next, in a folder")
    parser.add_argument("--side", type=int, default=480, help="height of the picture, px")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--overwrite", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
