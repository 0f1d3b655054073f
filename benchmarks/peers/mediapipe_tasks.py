"""MediaPipe's Tasks pose landmarker in video mode: ``PYTHON mediapipe_tasks.py MODEL.task CLIP``; needs mediapipe 1.x in its Python.

Where Google's bundle cannot be had, ``PYTHON_WITH_0.10.21 mediapipe_tasks.py --make MODEL.task`` puts the detector and the full landmark
network of the 0.10.21 wheel into one.
"""

import sys
import zipfile
from pathlib import Path

import mediapipe as mp


def make(bundle: str) -> None:
    """The two networks with the input normalisation that the Tasks interface wants to read from the file."""
    from mediapipe.tasks.python.metadata.metadata_writers import metadata_writer

    modules = Path(mp.__file__).parent / "modules"
    parts = {
        "pose_detector.tflite": ("pose_detection/pose_detection.tflite", 127.5, 127.5),
        "pose_landmarks_detector.tflite": ("pose_landmark/pose_landmark_full.tflite", 0.0, 255.0),
    }
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as archive:
        for name, (source, mean, std) in parts.items():
            writer = metadata_writer.MetadataWriter.create(bytearray((modules / source).read_bytes()))
            writer.add_image_input([mean], [std])
            archive.writestr(name, bytes(writer.populate()[0]))


def run(bundle: str, clip: str) -> None:
    """One measured pass; frames 1/30 s apart, as the legacy interface has them."""
    from measure import measure
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.PoseLandmarkerOptions(base_options=BaseOptions(model_asset_path=bundle), running_mode=vision.RunningMode.VIDEO)
    landmarker = vision.PoseLandmarker.create_from_options(options)
    try:
        measure(
            clip,
            lambda rgb, index: landmarker.detect_for_video(mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb), round(index * 1000 / 30)),
        )
    finally:
        landmarker.close()


if __name__ == "__main__":
    if sys.argv[1] == "--make":
        make(sys.argv[2])
    else:
        run(*sys.argv[1:])
