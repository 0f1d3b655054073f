"""``python -m exporters blazepose``: convert, compare, report; with ``--heavy`` put the large network where pose-rt finds it."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import onnx

from exporters.blazepose.compare import parity
from exporters.blazepose.convert import DETECTOR_OUTPUTS, LANDMARK_OUTPUTS, SEGMENTATION_OUTPUT, OutputSpec, to_onnx
from exporters.blazepose.reader import UnsupportedModel, read_tflite
from exporters.blazepose.sources import TFLITE_NAMES, read_models
from exporters.report import Parity, write_report
from pose_rt import zoo
from pose_rt.errors import PoseRtError


def _metadata(name: str, tflite: bytes, segmentation: bool) -> dict[str, str]:
    detector = name == "detector"
    described = {
        "name": f"blazepose_{name}",
        "kind": "detector" if detector else "pose2d",
        "skeleton": "" if detector else "blazepose33",
        "input": {
            "layout": "NCHW",
            "colour": "RGB",
            "range": [-1, 1] if detector else [0, 1],
            "border": "zero" if detector else "replicate",
        },
        "segmentation": segmentation,
        "source": {"file": TFLITE_NAMES[name], "sha256": hashlib.sha256(tflite).hexdigest()},
    }
    return {"pose_rt": json.dumps(described, sort_keys=True)}


def export(name: str, tflite: bytes, target: Path, segmentation: bool = False) -> tuple[OutputSpec, ...]:
    """Write one network as ONNX and return its outputs."""
    outputs = DETECTOR_OUTPUTS if name == "detector" else LANDMARK_OUTPUTS
    if segmentation and name != "detector":
        outputs = (*outputs, SEGMENTATION_OUTPUT)
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(tflite)
        file.flush()
        graph = read_tflite(Path(file.name))
    model = to_onnx(graph, outputs, _metadata(name, tflite, segmentation))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(target))
    return outputs


def _report(name: str, tflite: bytes, target: Path, outputs: tuple[OutputSpec, ...]) -> bool:
    """Print size, checksum and distance from the original, and write them beside the model; True unless the distance is too large."""
    data, source = target.read_bytes(), hashlib.sha256(tflite).hexdigest()
    print(f"{target}\n  bytes   {len(data)}\n  sha256  {hashlib.sha256(data).hexdigest()}\n  source  {source}")
    found: list[Parity] = []
    try:
        found = parity(tflite, target, outputs, 224 if name == "detector" else 256, -1.0 if name == "detector" else 0.0)
    except ModuleNotFoundError:
        print("  parity  not measured: no TFLite interpreter here; pip install ai-edge-litert")
    for one in found:
        print(f"  parity  {one.output:<13} max |difference| {one.max:.2e}, mean {one.mean:.2e}, of values up to {one.largest_value:.4g}")
    print(f"  report  {write_report(target, f'{TFLITE_NAMES[name]}, sha256 {source}', found)}")
    return all(one.ok for one in found)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m exporters blazepose", description=__doc__)
    parser.add_argument("sources", nargs="*", type=Path, help="wheel, npm archive, folder or .tflite files")
    parser.add_argument("--checkpoint", nargs="+", type=Path, default=[], metavar="FILE", help="the same, named as in the other exporters")
    parser.add_argument("--out", type=Path, default=Path("build/models"), help="folder to write to (default: %(default)s)")
    parser.add_argument("--models", default="detector,lite,full", help="which of detector,lite,full,heavy (default: %(default)s)")
    parser.add_argument("--heavy", type=Path, metavar="ARCHIVE", help="convert `heavy` from this archive and add it to the zoo")
    parser.add_argument(
        "--segmentation", action="store_true", help="keep the segmentation branch (about half of the time of lite and full)"
    )
    options = parser.parse_args(argv)
    names = ["heavy"] if options.heavy else options.models.split(",")
    if unknown := [name for name in names if name not in TFLITE_NAMES]:
        parser.error(f"--models: {', '.join(unknown)} unknown; wanted some of {', '.join(TFLITE_NAMES)}")
    try:
        models = read_models([options.heavy] if options.heavy else [*options.sources, *options.checkpoint], names)
        good = True
        for name, tflite in models.items():
            target = options.out / f"blazepose_{name}.onnx"
            good &= _report(name, tflite, target, export(name, tflite, target, options.segmentation))
            if options.heavy and good:
                print(f"  added   {zoo.add(target).path}")
    except (OSError, zipfile.BadZipFile, UnsupportedModel, PoseRtError) as error:
        print(f"python -m exporters blazepose: {error}", file=sys.stderr)
        return 1
    if not good:
        print("python -m exporters blazepose: an output is too far from the original", file=sys.stderr)
    return 0 if good else 1
