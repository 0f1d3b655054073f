"""Copies the videos named on standard input, one a line, and answers one line each; run by the fuzz test under limits.

python decode_worker.py MEMORY_BYTES
"""

from __future__ import annotations

import resource
import sys

import av.logging


def attempt(path: str) -> str:
    """Decode a file and write it again with its sound; one line says how far that went."""
    from pose_rt.core.types import Packet
    from pose_rt.errors import PoseRtError
    from pose_rt.io.sinks.video import VideoSink
    from pose_rt.io.sources.video import VideoSource

    try:
        source = VideoSource(path, max_frames=200)
        sink = VideoSink(f"{path}.mkv", source.info, lambda packet: packet.frame.bgr, overwrite=True, audio_from=path, preset="ultrafast")
        last = -1
        count = 0
        for frame in source:
            if frame.media_ns <= last or frame.bgr.shape != (source.info.height, source.info.width, 3):
                return f"broken promise at frame {count}"
            last = frame.media_ns
            count += 1
            sink.write(Packet(frame))
        sink.close()
        written = sum(1 for _ in VideoSource(f"{path}.mkv"))
        return f"frames {count}" if written == count else f"wrote {written} of {count} frames"
    except PoseRtError as error:
        return f"refused {error}".replace("\n", "\\n")
    except BaseException as error:
        return f"escaped {type(error).__name__}: {error}".replace("\n", "\\n")


def main() -> None:
    av.logging.set_level(None)
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        answer = attempt(line.rstrip("\n"))
        print(f"{answer}\t{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}", flush=True)


if __name__ == "__main__":
    main()
