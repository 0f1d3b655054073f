"""One door to every source: the user's word in, an open source out."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from ...errors import UsageError
from ...stream.protocols import Source
from .address import Address, parse

IMAGE_FPS = 30.0


class LiveWish(NamedTuple):
    """How a live source is wanted. `width`, `height`, `fps` None: 1280x720 at 30 from a camera, the file's own rate from a file."""

    realtime: bool = False
    loop: bool = False
    exit_on_loss: bool = False
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    mjpeg: bool = True


def open_live(word: str, wish: LiveWish) -> Source:
    """A camera, a stream, or a file or folder played as a camera.

    Raises:
        UsageError: a file without `realtime`, or a wish that this kind of source cannot grant.
        PoseRtError: the source cannot be used.
    """
    address = parse(word)
    if address.kind in ("file", "images"):
        return _replay(address, wish)
    if wish.realtime or wish.loop:
        raise UsageError(f"--realtime and --loop are for files, {address.shown} is live anyway", "leave them out")
    if address.kind == "camera":
        from .camera import Request, open_camera

        default = Request()
        request = Request(wish.width or default.width, wish.height or default.height, wish.fps or default.fps, wish.mjpeg)
        return open_camera(int(address.value), request, exit_on_loss=wish.exit_on_loss)
    if wish.width or wish.height or wish.fps:
        raise UsageError("--width, --height and --camera-fps are for cameras; a stream has the size its server gives", "leave them out")
    from .live import LiveSource
    from .network import NetworkStream

    return LiveSource(lambda: NetworkStream(address.value), address.shown, exit_on_loss=wish.exit_on_loss)


def open_file(
    word: str, *, start_s: float = 0.0, duration_s: float | None = None, max_frames: int | None = None, fps: float | None = None
) -> Source:
    """A video file, or a folder or pattern of images at `fps`, of which every frame counts.

    Raises:
        UsageError, InputError: see the sources.
    """
    address = parse(word)
    if address.kind == "images":
        from .images import ImageSource

        if start_s or duration_s is not None or max_frames is not None:
            raise UsageError("--start, --duration and --max-frames are for videos", "give a pattern that names the images wanted")
        return ImageSource(word, Fraction(fps or IMAGE_FPS).limit_denominator(1001))
    from .video import VideoSource

    return VideoSource(word, start_s=start_s, duration_s=duration_s, max_frames=max_frames)


def _replay(address: Address, wish: LiveWish) -> Source:
    from .replay import ReplaySource

    fps = None if wish.fps is None else Fraction(wish.fps).limit_denominator(1001)
    opener: Callable[[], Source] = lambda: open_file(address.value, fps=wish.fps)  # noqa: E731
    opened = opener()  # what is wrong with the file comes before what is wrong with the options
    opened.close()
    if not wish.realtime:
        raise UsageError(
            f"'{address.value}' is a file, wanted a camera",
            f"play it as one: pose-rt webcam {address.value} --realtime, or: pose-rt video {address.value}",
        )
    if wish.width or wish.height:
        raise UsageError("--width and --height are for cameras; a file has its own size", "leave them out")
    return ReplaySource(opener, loop=wish.loop, fps=fps)
