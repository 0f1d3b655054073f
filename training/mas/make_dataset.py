"""Clips or the tracks of clips -> a MAS data set: ``python -m training.mas.make_dataset CLIP... | TRACKS.jsonl... --out DIR``.

Videos go through `pose-rt video` first. The folder gets ``motions/*.npy`` (T, 17, 3), ``Mean.npy``, ``Std.npy``, ``split.json``,
``report.json`` (what was kept of each track and why the rest was not) and ``pictures/`` of what was kept.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pose_rt.errors import InputError, OutputError, PoseRtError, UsageError
from pose_rt.io.draw.style import Style
from pose_rt.io.generated_film import draw_skeleton2d

from .batches import measure
from .clips import seen_mask
from .tracks import SPEC, Cut, Kept, cut_track, read_tracks

_LINES = (".jsonl", ".ndjson", ".json")
_CELL, _CELLS = 160, 8


def tracks_of(source: Path, folder: Path, people: int) -> Path:
    """The JSON lines of a source: itself, or what `pose-rt video` makes of it in `folder`.

    Raises:
        InputError: the video cannot be processed.
        KeyboardInterrupt: it was interrupted.
    """
    if source.suffix.lower() in _LINES:
        return source
    from pose_rt.cli.app import run

    out = folder / f"{source.stem}.jsonl"
    if not out.is_file():
        temporary = out.with_name(out.stem + ".part.jsonl")
        options = ["--no-3d", "--no-forecast", "--max-people", str(people), "--save-json", str(temporary), "--overwrite"]
        status = run(["video", str(source), *options])
        if status == 130:
            raise KeyboardInterrupt
        if status != 0:
            raise InputError(f"{source}: pose-rt video failed with exit code {status}", "leave it out, or give its .jsonl")
        temporary.replace(out)
    return out


def split_by_source(clips: dict[str, str], share: float, seed: int) -> dict[str, list[str]]:
    """Train and test clips; whole sources go to the test split, so that no person is in both. A single source is cut by clips.

    Args:
        clips: name -> source.
    """
    sources = sorted(set(clips.values()))
    single = len(sources) == 1
    groups = sorted(clips) if single else sources
    random.Random(seed).shuffle(groups)
    held = set(groups[: max(round(share * len(groups)), 1)] if len(groups) > 1 else [])
    test = [name for name, source in clips.items() if (name if single else source) in held]
    return {"train": [name for name in clips if name not in test], "test": test}


def contact_sheet(clip: np.ndarray) -> np.ndarray:
    """Poses of a clip (T, 17, 3) at eight times, as a picture; joints that were not seen are dark."""
    joints = SPEC.joints_of(clip[..., :2].astype(np.float64))
    mask = seen_mask(clip, SPEC)
    assert mask is not None
    seen, style, cells = mask[..., 0] > 0, Style(), []
    for i in np.linspace(0, len(clip) - 1, _CELLS).round().astype(int):
        cell = np.full((_CELL, _CELL, 3), style.panel, np.uint8)
        body = joints[i] - 0.5 * (joints[i].min(0) + joints[i].max(0))
        draw_skeleton2d(cell, body * np.array([1.0, -1.0]) * (_CELL / 2.1) + _CELL / 2, seen[i], SPEC, style, 2.0)
        cells.append(cell)
    return np.concatenate(cells, 1)


def write_dataset(out: Path, found: dict[str, Kept], share: float, seed: int, about: dict[str, Any]) -> dict[str, Any]:
    """Write the folder and return its report.

    Raises:
        InputError: no track was long enough.
    """
    clips = {f"{name}_{i}": (name, clip) for name, kept in found.items() for i, clip in enumerate(kept.clips)}
    if not clips:
        most = max((kept.seconds for kept in found.values()), default=0.0)
        raise InputError(
            f"no track is long enough: none of {len(found)} (the longest {most:.1f} s) has {about['cut']['seconds']:.1f} s in one piece",
            "give longer clips, or lower --seconds or --confidence",
        )
    split = split_by_source({name: source.rsplit("_person", 1)[0] for name, (source, _) in clips.items()}, share, seed)
    (out / "motions").mkdir(parents=True, exist_ok=True)
    (out / "pictures").mkdir(exist_ok=True)
    for name, (_, clip) in clips.items():
        np.save(out / "motions" / f"{name}.npy", clip)
        cv2.imwrite(str(out / "pictures" / f"{name}.png"), contact_sheet(clip))
    chosen = [clips[name][1] for name in split["train"]]
    normaliser = measure([clip[..., :2] for clip in chosen], [np.asarray(seen_mask(clip, SPEC)) for clip in chosen])
    np.save(out / "Mean.npy", normaliser.mean)
    np.save(out / "Std.npy", normaliser.std)
    (out / "split.json").write_text(json.dumps(split, indent=1) + "\n")
    report = {
        **about, "clips": len(clips), "seconds": round(sum(len(c) / SPEC.fps for _, c in clips.values()), 1), "split": split,
        "tracks": {name: _line(kept) for name, kept in found.items()},
    }  # fmt: skip
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def _line(kept: Kept) -> dict[str, Any]:
    return {
        "seconds": round(kept.seconds, 2),
        "kept": [{"from_s": round(b, 2), "frames": len(c)} for b, c in zip(kept.begins_s, kept.clips, strict=True)],
        "lost_s": {reason: round(seconds, 2) for reason, seconds in kept.lost.items() if seconds > 0.005},
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Read, cut, write."""
    out: Path = options.out
    if out.exists() and any(out.glob("motions/*.npy")) and not options.overwrite:
        raise OutputError(f"{out} holds a data set already", "add --overwrite or choose another --out")
    if not 0 <= options.test_share < 1 or not 0 <= options.confidence <= 1 or not 0 < options.seen <= 1:
        raise UsageError("--test-share, --confidence and --seen are shares", "give numbers from 0 to 1")
    missing = [str(path) for path in options.sources if not path.is_file()]
    if missing:
        raise UsageError(f"{missing[0]} does not exist, wanted a video or .jsonl of `pose-rt video`")
    (out / "tracks").mkdir(parents=True, exist_ok=True)
    for stale in (*out.glob("motions/*.npy"), *out.glob("pictures/*.png")):
        stale.unlink()
    cut = Cut(options.confidence, options.seen, seconds=options.seconds)
    found: dict[str, Kept] = {}
    for source in options.sources:
        for track in read_tracks(tracks_of(source, out / "tracks", options.max_people)):
            found[f"{track.source}_person{track.person}"] = cut_track(track, cut)
    about = {"dataset": "tracks", "fps": SPEC.fps, "sources": [path.name for path in options.sources], "cut": asdict(cut)}
    return write_dataset(out, found, options.test_share, options.seed, about)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.mas.make_dataset", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="+", type=Path, metavar="CLIP|TRACKS.jsonl")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--confidence", type=float, default=Cut.confidence, help="a joint with less is not seen (default: %(default)s)")
    parser.add_argument("--seen", type=float, default=Cut.seen, help="least share of joints that are seen (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=Cut.seconds, help="shortest clip (default: %(default)s)")
    parser.add_argument("--max-people", type=int, default=2, help="people that are followed in a video (default: %(default)s)")
    parser.add_argument("--test-share", type=float, default=0.1, help="of the sources (default: %(default)s, at least one of several)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overwrite", action="store_true")
    try:
        report = run(parser.parse_args(sys.argv[1:] if argv is None else argv))
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the tracks that are done are kept and will not be made again", file=sys.stderr)
        return 130
    for name, line in report["tracks"].items():
        kept = sum(part["frames"] for part in line["kept"]) / SPEC.fps
        lost = ", ".join(f"{seconds:.1f} s {reason}" for reason, seconds in line["lost_s"].items())
        print(f"{name}: kept {kept:.1f} of {line['seconds']:.1f} s in {len(line['kept'])} clips{'; lost ' + lost if lost else ''}")
    sizes = {split: len(names) for split, names in report["split"].items()}
    print(f"{report['clips']} clips, {report['seconds']} s; {sizes['train']} to train with, {sizes['test']} to test")
    return 0


if __name__ == "__main__":
    sys.exit(main())
