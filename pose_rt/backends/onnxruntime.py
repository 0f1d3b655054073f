"""ONNX Runtime on the CPU: the runtime that is always there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError
from .base import TensorInfo, check_feeds, check_finite, free_axis_zero

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def _info(argument: Any) -> TensorInfo:
    shape = tuple(n if isinstance(n, (int, str)) else f"{argument.name}_{axis}" for axis, n in enumerate(argument.shape))
    return TensorInfo(argument.name, np.dtype(_DTYPES[argument.type]), shape)


class OnnxRuntimeBackend:
    """An ONNX file in ONNX Runtime.

    One thread by default: stages overlap better than one network split over cores, and the pool does not spin while idle.
    """

    def __init__(self, path: Path | str, threads: int = 1, name: str | None = None) -> None:
        import onnxruntime

        self.name = name or Path(path).stem
        if threads < 1:
            raise ValueError(f"threads: got {threads}, wanted at least 1")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            self.inputs = tuple(_info(argument) for argument in session.get_inputs())
            self.outputs = tuple(_info(argument) for argument in session.get_outputs())
            properties = session.get_modelmeta().custom_metadata_map
            self.metadata: dict[str, Any] = json.loads(properties.get("pose_rt", "{}"))
        except Exception as error:  # ONNX Runtime raises its own types, which depend on the version
            reason = " ".join(str(error).split())
            raise ModelError(
                f"model {self.name!r} cannot be loaded from {path}: {reason}", "see `pose-rt models` for its source"
            ) from error
        self._session: Any = session
        self._output_names = [info.name for info in self.outputs]
        self.choice = f"ONNX Runtime {onnxruntime.__version__} on the CPU, {threads} thread{'s' if threads > 1 else ''}"

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network.

        Raises:
            ValueError: inputs of other names, dtypes or shapes than `inputs`, or the backend is closed.
            ModelError: an output that is not finite, or the runtime failed.
        """
        if self._session is None:
            raise ValueError(f"{self.name}: the backend is closed; open it again")
        check_feeds(self.name, self.inputs, feeds)
        if feeds and next(iter(feeds.values())).shape[:1] == (0,):
            empty = free_axis_zero(self.inputs, self.outputs)
            if empty is not None:
                return empty
        try:
            values = self._session.run(self._output_names, dict(feeds))
        except Exception as error:  # as above
            raise ModelError(f"model {self.name!r} failed: {' '.join(str(error).split())}") from error
        outputs = dict(zip(self._output_names, values, strict=True))
        check_finite(self.name, outputs)
        return outputs

    def close(self) -> None:
        """Free the session; safe to call twice."""
        self._session = None
