"""``python -m exporters fp16 MODEL... [--out FILE]``: the fp16 variant of any ONNX model of ours, and what it costs.

The figures go into the parity report beside the model, where `pose-rt models` and `pose-rt build-engines` find them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pose_rt import zoo
from pose_rt.engines.fp16_graph import layers, load_model
from pose_rt.engines.precision import fit_fp16
from pose_rt.errors import PoseRtError
from pose_rt.zoo.parity import report_path

from .report import Parity, write_report
from .torch_export import describe_fit


def main(argv: list[str]) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m exporters fp16", description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="names of the zoo, or ONNX files")
    parser.add_argument("--out", type=Path, help="also write the fp16 model (one MODEL only)")
    options = parser.parse_args(argv)
    if options.out is not None and len(options.models) != 1:
        parser.error("--out needs exactly one MODEL")
    try:
        for name in options.models:
            path = Path(name) if name.endswith(".onnx") else zoo.load_path(name)
            fit = fit_fp16(path)
            found = describe_fit(fit, len(layers(load_model(path))))
            before = json.loads(report_path(path).read_text()) if report_path(path).is_file() else {}
            parities = [Parity(**{**one, "seeds": tuple(one["seeds"])}) for one in before.get("parity", [])]
            write_report(path, before.get("source", ""), parities, found)
            if options.out is not None:
                options.out.write_bytes(fit.model)
            kept, unit = len(fit.kept), fit.error.unit
            print(
                f"{name}: {kept} of {found['layers']} layers in fp32, largest {fit.error.max:.3g} {unit}, mean {fit.error.mean:.3g} {unit}"
            )
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0
