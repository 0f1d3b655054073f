"""How far an exported network is from the TFLite file it came from, run by Google's own interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exporters.blazepose.convert import OutputSpec


def test_images(size: int, count: int = 4) -> np.ndarray:
    """(count, 3, size, size) float32 in [0, 1]: smooth pictures with some grain, the same every time."""
    rng = np.random.default_rng(0)
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


def parity(tflite: bytes, exported: Path, outputs: tuple[OutputSpec, ...], images: np.ndarray) -> dict[str, tuple[float, float]]:
    """Per output: largest absolute difference, and the largest magnitude that it should be seen against. The images go through
    the exported network as one batch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    ours = dict(zip([spec.name for spec in outputs], session.run([spec.name for spec in outputs], {"image": images}), strict=True))
    theirs = tflite_outputs(tflite, images)
    result = {}
    for spec in outputs:
        reference = theirs[spec.source].reshape(ours[spec.name].shape)
        result[spec.name] = (float(np.abs(ours[spec.name] - reference).max()), float(np.abs(reference).max()))
    return result
