"""Label one's own clips by pose-rt itself: ``python -m training.sampling_argmax.label CLIP... --out DIR``.

Every n-th frame with somebody who is found surely becomes a picture with COCO-17 keypoints, in the form that
``training.sampling_argmax.train --task images`` reads. The end of each clip is kept for validation (val.json). Correct the labels by
hand where they matter: any editor of COCO keypoints opens them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress

from pose_rt.config import Settings
from pose_rt.core.skeleton import BLAZEPOSE33, COCO17
from pose_rt.core.types import Frame, Keypoints2D, Packet
from pose_rt.errors import InputError, PoseRtError, UsageError
from pose_rt.io.sources.open import open_file
from pose_rt.pipeline import Pipeline

from .folder import CocoFolder

_FROM_BLAZEPOSE = np.array([BLAZEPOSE33.joints.index(name) for name in COCO17.joints])
_LEAST_JOINTS = 8


class Rule(NamedTuple):
    """What is taken.

    Attributes:
        every: frames from one picture to the next.
        conf: least score of a joint that is labelled; a person's mean score must reach it too.
        held_out: share of each clip, at its end, that becomes validation.
        side: larger side of the pictures that are written, px; larger frames are scaled down, which training reads much faster.
    """

    every: int = 3
    conf: float = 0.6
    held_out: float = 0.15
    side: int = 640


def people_of(keypoints: Keypoints2D, width: int, height: int, conf: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Joints (17, 2) px and flags (17,) of the people who are sure enough: 2 = score of at least `conf` inside the picture, else 0."""
    found = []
    for xy, score in zip(keypoints.xy_px[:, _FROM_BLAZEPOSE], keypoints.score[:, _FROM_BLAZEPOSE], strict=True):
        inside = ((xy >= 0) & (xy <= (width - 1, height - 1))).all(-1)
        flags = np.where(inside & (score >= conf), 2, 0)
        if score.mean() >= conf and (flags > 0).sum() >= _LEAST_JOINTS:
            found.append((xy, flags))
    return found


def shrunk(
    bgr: np.ndarray, people: list[tuple[np.ndarray, np.ndarray]], side: int
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """A picture of at most `side` px, and its joints; pixel centres are at whole coordinates."""
    height, width = bgr.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return bgr, people
    size = max(1, round(width * factor)), max(1, round(height * factor))
    ratio = np.array([size[0] / width, size[1] / height])
    small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small), [((xy + 0.5) * ratio - 0.5, flags) for xy, flags in people]


def labelled(clip: str, settings: Settings, every: int, progress: Progress) -> Iterator[tuple[Frame, Keypoints2D, float]]:
    """Every n-th frame of a clip in which somebody is seen, the keypoints, and the frame's place in the clip, 0 to 1."""
    source = open_file(clip)
    length = source.info.length
    pipeline = Pipeline(settings, source.info.width, source.info.height)
    bar = progress.add_task(Path(clip).name, total=length)
    try:
        for frame in source:
            for packet in pipeline(Packet(frame)):
                if packet.keypoints is not None and len(packet.keypoints.track) and frame.index % every == 0:
                    yield packet.frame, packet.keypoints, frame.index / length if length else 0.0
            progress.advance(bar)
    finally:
        pipeline.close()
        source.close()


def label(clips: list[str], out: Path, settings: Settings, rule: Rule, console: Console) -> dict[str, int]:
    """Write the folder; people of each split.

    Raises:
        InputError: nobody was found surely.
    """
    folders = {split: CocoFolder(out, COCO17) for split in ("train", "val")}
    with Progress(console=console, refresh_per_second=1) as progress:
        for number, clip in enumerate(clips):
            for frame, keypoints, place in labelled(clip, settings, rule.every, progress):
                people = people_of(keypoints, frame.width, frame.height, rule.conf)
                if people:
                    folder = folders["val" if place >= 1 - rule.held_out else "train"]
                    folder.add(f"{number:03d}_{Path(clip).stem}_{frame.index:06d}.jpg", *shrunk(frame.bgr, people, rule.side))
    counts = {split: len(folder) for split, folder in folders.items()}
    if not counts["train"]:
        raise InputError("nobody was found surely enough to be labelled", "lower --conf, or give clips with people in full view")
    for split, folder in folders.items():
        if counts[split]:
            folder.save(split)
    return counts


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.sampling_argmax.label", description=__doc__)
    parser.add_argument("clips", nargs="+", help="videos, or folders of pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder to write images/, train.json and val.json to")
    parser.add_argument("--every", type=int, default=Rule().every, help="frames from one picture to the next (default: %(default)s)")
    parser.add_argument("--conf", type=float, default=Rule().conf, help="least score of a person and of a joint (default: %(default)s)")
    parser.add_argument("--held-out", type=float, default=Rule().held_out, help="share of each clip's end for val.json")
    parser.add_argument("--side", type=int, default=Rule().side, help="larger side of the pictures written, px (default: %(default)s)")
    parser.add_argument("--model", default="full", help="2D model that labels: lite, full, heavy (default: %(default)s)")
    parser.add_argument("--max-people", type=int, default=1)
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        if options.every < 1 or options.side < 32 or not 0 <= options.held_out < 1:
            given = f"--every {options.every} --side {options.side} --held-out {options.held_out}"
            raise UsageError(f"got {given}", "wanted at least 1, at least 32 px, and 0 to below 1")
        settings = Settings(model=options.model, max_people=options.max_people, lift=False, forecast=False)
        rule = Rule(options.every, options.conf, options.held_out, options.side)
        counts = label(options.clips, options.out, settings, rule, console)
    except PoseRtError as error:
        console.print(str(error), markup=False)
        return error.exit_code
    except KeyboardInterrupt:
        console.print("interrupted: pictures were written, but no annotations")
        return 130
    console.print(f"{counts['train']} people to train on, {counts['val']} to validate on, in {options.out}", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
