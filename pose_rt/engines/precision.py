"""fp16 variants of a model, and the search for the layers that must stay in fp32.

What is measured is how far results move on recorded inputs (`trials`), in the model's own unit, with every fp16 result rounded to fp16
(`fp16_graph.Converter.rounded`): ONNX Runtime's fp16 on a CPU computes in fp32 between layers and would flatter the model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pose_rt.backends.onnxruntime import OnnxRuntimeBackend
from pose_rt.errors import ModelError
from pose_rt.zoo.manifest import sha256_of
from pose_rt.zoo.parity import report_path

from .fp16_graph import Converter, ModelProto, layers, load_model
from .trials import BUDGET, Deviation, Feeds, batch, deviation, trial_feeds, unit_of

MOST_KEPT = 0.6
"""A model that must keep more than this share of its layers in fp32 gains nothing from the rest."""
_NORMALISERS = frozenset(("LayerNormalization", "Softmax", "BatchNormalization"))

Progress = Callable[[str, float], None]
"""Told what is being done and how much of the search is done, in [0, 1]."""


class Fit(NamedTuple):
    """A model in the least precision that keeps to its budget.

    Attributes:
        model: bytes of the ONNX file.
        kept: layers in fp32, by the name of their first node (`fp16_graph.layers`); all of them where the model stays fp32.
        error: how far the results of `model` lie from the fp32 ones.
        refused: error of the model with every layer in fp16, where that was too much; else None.
    """

    model: bytes
    kept: tuple[str, ...]
    error: Deviation
    refused: Deviation | None = None

    @property
    def half(self) -> bool:
        """Whether any layer is in fp16; a model without one is given as it came."""
        return self.error.max > 0.0


def to_fp16(model: Path | bytes, keep_fp32: Sequence[str] = ()) -> bytes:
    """A strongly typed fp16 model with fp32 inputs and outputs, as the bytes of an ONNX file.

    Args:
        model: an fp32 ONNX file, or its bytes.
        keep_fp32: layers (see `fp16_graph.layers`) or single nodes that stay in fp32.

    Raises:
        BackendError: the package onnx is missing.
        ModelError: not a valid ONNX file, one without an fp16 variant, or a name that is no layer and no node of it.
    """
    proto = load_model(model)
    converted: bytes = Converter(proto, _nodes(proto, keep_fp32)).convert().SerializeToString(deterministic=True)
    return converted


def _nodes(proto: ModelProto, keep: Sequence[str]) -> set[str]:
    groups = layers(proto)
    known = {node.name for node in proto.graph.node}
    unknown = [name for name in keep if name not in known]
    if unknown:
        raise ModelError(f"the model has no layer {unknown[0]!r} to keep in fp32", f"its layers begin with: {', '.join(list(groups)[:5])}")
    return {node for name in keep for node in groups.get(name, (name,))}


class Judge:
    """Measures variants of one model against its fp32 results.

    Raises:
        ModelError: a model of a kind that there are no recorded inputs for.
    """

    def __init__(self, model: Path | bytes, trials: Sequence[Feeds] | None = None) -> None:
        self.proto = load_model(model)
        text = {entry.key: entry.value for entry in self.proto.metadata_props}.get("pose_rt", "{}")
        self.metadata: dict[str, Any] = json.loads(text)
        self.unit = unit_of(self.metadata)
        self.feeds = batch(list(trials) if trials is not None else trial_feeds(self.metadata))
        self._wanted = self._run(self.proto)

    def rounded(self, keep: Sequence[str]) -> Deviation:
        """Error of the variant that keeps those layers in fp32, every other result rounded to fp16."""
        converter = Converter(self.proto, _nodes(self.proto, keep))
        converter.convert()
        return self.error(converter.rounded())

    def error(self, variant: ModelProto) -> Deviation:
        """Error of a variant as ONNX Runtime runs it here; infinite where a result is not finite."""
        try:
            got = self._run(variant)
        except ModelError:
            return Deviation(float("inf"), float("inf"), self.unit)
        return deviation(self.metadata, self.feeds, self._wanted, got)

    def _run(self, proto: ModelProto) -> dict[str, Any]:
        backend = OnnxRuntimeBackend(proto.SerializeToString(), name=self.metadata.get("kind", "model"))
        try:
            return backend.run(self.feeds)
        finally:
            backend.close()


def fit_fp16(
    model: Path | bytes,
    budget: float | None = None,
    unit: str | None = None,
    *,
    trials: Sequence[Feeds] | None = None,
    known: Sequence[str] | None = None,
    progress: Progress = lambda _what, _done: None,
) -> Fit:
    """The model with as many layers in fp16 as its budget allows.

    All of them; else all but normalisations and softmaxes; else those that move the results most are kept in fp32, worst first
    (each layer alone in fp16 is measured once), as few as will do. A model that would keep more than `MOST_KEPT` of its layers stays
    as it is.

    Args:
        model: an fp32 ONNX file, or its bytes, with a `pose_rt` metadata entry.
        budget: largest distance that a result may move, in the model's unit; None = 0.5 px, 1 mm.
        unit: of `budget`; it must be the model's own ("px" or "mm"), None = whatever that is.
        trials: inputs to measure on; None = the recorded ones.
        known: layers that an earlier search for this model kept; if they do, there is no other search. None = those in the parity
            report beside the file, if it has one.

    Raises:
        BackendError, ModelError: as `to_fp16`, or a model of unknown kind.
        ValueError: a budget in another unit.
    """
    judge = Judge(model, trials)
    if unit is not None and unit != judge.unit:
        raise ValueError(f"budget: got {unit}, wanted {judge.unit} for a model of kind {judge.metadata['kind']!r}")
    limit = BUDGET[judge.unit] if budget is None else budget
    groups = list(layers(judge.proto))
    progress("all layers in fp16", 0.0)
    refused = judge.rounded(())
    if known is None and isinstance(model, Path):
        known = _recorded(model)
    if known and not set(known) - set(groups) and (error := judge.rounded(known)).within(limit):
        return Fit(to_fp16(model, known), tuple(known), error, refused)
    if refused.within(limit):
        return Fit(to_fp16(model), (), refused)
    kinds = {node.name: node.op_type for node in judge.proto.graph.node}
    normalisers = tuple(name for name in groups if kinds[name] in _NORMALISERS)
    if normalisers and (error := judge.rounded(normalisers)).within(limit):
        return Fit(to_fp16(model, normalisers), normalisers, error, refused)
    guilt = {}
    for i, name in enumerate(groups):
        progress("each layer alone", 0.05 + 0.75 * i / len(groups))
        guilt[name] = judge.rounded([other for other in groups if other != name]).max
    worst = sorted(groups, key=lambda name: -guilt[name])
    kept, error = _fewest(worst, judge.rounded, limit, progress)
    if kept is None:
        source = model if isinstance(model, bytes) else model.read_bytes()
        return Fit(source, tuple(groups), Deviation(0.0, 0.0, judge.unit), refused)
    ordered = tuple(name for name in groups if name in set(kept))
    return Fit(to_fp16(model, ordered), ordered, error, refused)


def _recorded(model: Path) -> tuple[str, ...]:
    """The layers that the parity report of this very file keeps in fp32."""
    try:
        report = json.loads(report_path(model).read_text(encoding="utf-8"))
        return tuple(report["fp16"]["kept_fp32"]) if report["sha256"] == sha256_of(model) else ()
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _fewest(
    worst: Sequence[str], measure: Callable[[Sequence[str]], Deviation], limit: float, progress: Progress
) -> tuple[Sequence[str] | None, Deviation]:
    """The shortest beginning of `worst` that keeps to the limit when it is in fp32, by bisection; None where none up to MOST_KEPT does."""
    low, high = 0, int(MOST_KEPT * len(worst))
    error = measure(worst[:high])
    if not error.within(limit):
        return None, error
    while high - low > 1:
        progress("fewest layers in fp32", 0.8 + 0.2 * (1 - (high - low) / len(worst)))
        middle = (low + high) // 2
        tried = measure(worst[:middle])
        if tried.within(limit):
            high, error = middle, tried
        else:
            low = middle
    return worst[:high], error
