"""Checkpoints of other formats -> ONNX, each with a report of how far the result is from the original."""
