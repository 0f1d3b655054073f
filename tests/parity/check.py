"""What a parity handler returns: named errors with their tolerances, and the comparison that makes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Check(NamedTuple):
    """One comparison. It passes when ``error <= tolerance``; a NaN error fails."""

    name: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance

    @property
    def badness(self) -> float:
        """The error relative to its tolerance, for ranking: NaN first, then the exact checks that failed."""
        if np.isnan(self.error):
            return np.inf
        if self.tolerance == 0:
            return 0.0 if self.error == 0 else np.inf
        return self.error / self.tolerance


def compare(name: str, got: Any, want: Any, *, atol: float = 0.0, rtol: float = 0.0) -> Check:
    """Compare two arrays of one shape, elementwise.

    The error is the largest ``|got - want|`` (atol alone), ``|got - want| / |want|`` (rtol alone) or
    ``|got - want| / (atol + rtol |want|)`` with tolerance 1 (both). With neither, the error counts the elements that are not equal.
    NaN agrees with NaN and infinity with itself; a NaN on one side alone makes the error NaN. Empty arrays agree.

    Raises:
        ValueError: when the shapes differ.
    """
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        raise ValueError(f"{name}: got shape {got.shape}, wanted {want.shape}")
    if atol == 0 and rtol == 0:
        same = got == want
        if got.dtype.kind in "fc" and want.dtype.kind in "fc":
            same = same | (np.isnan(got) & np.isnan(want))
        return Check(name, float(np.size(same) - np.count_nonzero(same)), 0.0)
    a, b = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        if rtol:
            difference = np.where(difference == 0, 0.0, difference / (atol + rtol * np.abs(b)))
    error = float(difference.max()) if difference.size else 0.0
    if rtol == 0:
        return Check(name, error, atol)
    return Check(name, error, 1.0) if atol else Check(name, error * rtol, rtol)


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All arrays of a vector file, and the ``cfg`` of its ``meta`` entry ({} where there is none). Nothing is unpickled."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    meta = json.loads(str(arrays.pop("meta"))) if "meta" in arrays else {}
    return arrays, meta.get("cfg", {})


def compare_names(state: Mapping[str, Any], parameters: int, path: Path) -> list[Check]:
    """Names, shapes and types of a state dict, and the number of its parameters, against a published listing."""
    listed = json.loads(path.read_text(encoding="utf-8"))
    theirs = {key: (tuple(shape), dtype) for key, (shape, dtype) in listed["state_dict"].items()}
    ours = {key: (tuple(value.shape), str(value.dtype).removeprefix("torch.")) for key, value in state.items()}
    different = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    return [Check("keys that differ", float(len(different)), 0.0), compare("parameters", parameters, listed["parameters"])]
