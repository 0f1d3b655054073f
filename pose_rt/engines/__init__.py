"""TensorRT engines: built here from the project's ONNX models, kept under a key, never downloaded.

`runtime` finds a TensorRT, `cache` keeps engines; both need nothing else of pose_rt, so that `backends.tensorrt` may use them.
`build`, `profiles`, `precision`, `verify` make engines and may use the backends.
"""
