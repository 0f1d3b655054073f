"""How far an exported network is from the TFLite file it came from, run by Google's own interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exporters.blazepose.convert import OutputSpec
from exporters.report import Parity, compare, run_onnx

SEEDS = (0, 1, 2)
RELATIVE_TOLERANCE = 1e-3
"""Of an output's largest value. Only the order of summation differs, but on pictures without a person the last layers amplify it."""


def images_of(seed: int, size: int, count: int = 4) -> np.ndarray:
    """(count, 3, size, size) float32 in [0, 1]: smooth pictures with some grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((count, 3, 9, 9))
    position = np.linspace(0, 8, size)
    low = np.minimum(position.astype(int), 7)
    part = position - low
    rows = coarse[:, :, low] * (1 - part)[:, None] + coarse[:, :, low + 1] * part[:, None]
    smooth = rows[..., low] * (1 - part) + rows[..., low + 1] * part
    return np.clip(smooth + rng.normal(0, 0.05, smooth.shape), 0, 1).astype(np.float32)


def tflite_outputs(tflite: bytes, images: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs by TFLite name, one image at a time.

    Raises:
        ModuleNotFoundError: no interpreter is installed.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=tflite, num_threads=1)
    interpreter.allocate_tensors()
    rows: dict[str, list[np.ndarray]] = {}
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ascontiguousarray(image.transpose(1, 2, 0))[None])
        interpreter.invoke()
        for detail in interpreter.get_output_details():
            value = interpreter.get_tensor(detail["index"])[0]
            rows.setdefault(detail["name"], []).append(value.transpose(2, 0, 1) if value.ndim == 3 else value)
    return {name: np.stack(values) for name, values in rows.items()}


def parity(tflite: bytes, exported: Path, outputs: tuple[OutputSpec, ...], size: int, lowest: float) -> list[Parity]:
    """Differences of every output, in its own values; the images of a seed go through the exported network as one batch.

    Args:
        outputs: of the exported network, in its order.
        size: of its input, pixels.
        lowest: value of black in its input; white is 1.

    Raises:
        ModuleNotFoundError: no interpreter is installed.
    """
    pairs: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]] = {spec.name: {} for spec in outputs}
    for seed in SEEDS:
        images = lowest + (1 - np.float32(lowest)) * images_of(seed, size)
        theirs = tflite_outputs(tflite, images)
        for spec, ours in zip(outputs, run_onnx(exported, {"image": images}), strict=True):
            pairs[spec.name][seed] = (theirs[spec.source].reshape(ours.shape), ours)
    largest = {name: max(float(np.abs(theirs).max()) for theirs, _ in by_seed.values()) for name, by_seed in pairs.items()}
    return [compare(name, by_seed, RELATIVE_TOLERANCE * max(largest[name], 1)) for name, by_seed in pairs.items()]
