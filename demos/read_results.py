"""Read what ``pose-rt video --save-json`` wrote, and measure something: ``python demos/read_results.py out.jsonl``."""

import json
import math
import sys
from pathlib import Path


def angle_deg(a: list[float], b: list[float], c: list[float]) -> float:
    """The angle at b between the directions to a and c."""
    u, v = [p - q for p, q in zip(a, b, strict=True)], [p - q for p, q in zip(c, b, strict=True)]
    cosine = sum(p * q for p, q in zip(u, v, strict=True)) / (math.hypot(*u) * math.hypot(*v))
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def main() -> None:
    with Path(sys.argv[1]).open(encoding="utf-8") as file:
        header = json.loads(file.readline())
        joint = {name: index for index, name in enumerate(header["skeleton3d"]["joints"])}
        for frame in map(json.loads, file):
            for person in frame["persons"]:
                pose = person["kpts3d"]
                knee = angle_deg(pose[joint["left_hip"]], pose[joint["left_knee"]], pose[joint["left_ankle"]])
                print(f"{frame['pts_s']:7.3f} s  person {person['id']}  left knee {knee:5.1f} degrees")


if __name__ == "__main__":
    main()
