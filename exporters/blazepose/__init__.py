"""MediaPipe's BlazePose networks (TFLite) -> ONNX: NCHW, dynamic batch, heatmap kept, segmentation cut."""

from exporters.blazepose.command import main

__all__ = ["main"]
