"""The view in a browser: the annotated picture, the 3D scene and the latency of a run, served by the run itself."""

from .view import WebView

__all__ = ["WebView"]
