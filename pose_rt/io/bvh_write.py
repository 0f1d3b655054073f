"""Joint positions over time -> BVH motion capture: a tree of bones of constant length, turned to where the joints were."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.rotations import between, matrix_to_euler, quaternion_to_matrix
from ..core.skeleton import Skeleton
from .output import check_output_path, whole_file

_ORDER = "zxy"
_CM = 100.0


def bone_tree(skeleton: Skeleton) -> list[tuple[int, int]]:
    """(joint, parent) in depth-first order from the root, parents before children; -1 for the root.

    The root is joint 0 where the skeleton has no parents of its own; edges that would close a circle and joints that no edge reaches
    (a ball) are left out.
    """
    if skeleton.parents is not None:
        neighbours = {j: [k for k, p in enumerate(skeleton.parents) if p == j] for j in range(skeleton.num_joints)}
        root = skeleton.parents.index(-1)
    else:
        neighbours = {j: [b if a == j else a for a, b in skeleton.edges if j in (a, b)] for j in range(skeleton.num_joints)}
        root = skeleton.joints.index("left_hip") if "pelvis" not in skeleton.joints and "hip" not in skeleton.joints else 0
    parent, queue = {root: -1}, [root]
    for joint in queue:  # breadth first: a circle is cut where it is farthest from the root
        for other in neighbours[joint]:
            if other not in parent:
                parent[other] = joint
                queue.append(other)
    ordered: list[tuple[int, int]] = []

    def descend(joint: int) -> None:
        ordered.append((joint, parent[joint]))
        for child in (k for k in queue if parent[k] == joint):
            descend(child)

    descend(root)
    return ordered


def bone_rotations(joints: np.ndarray, tree: list[tuple[int, int]], rest: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """World rotations (T, 3, 3) of every joint: how its bones are turned from `rest`, the offsets of joints from their parents.

    With several bones the nearest rotation (Kabsch), with one the shortest turn after the parent's, so that nothing twists.
    """
    turns: dict[int, np.ndarray] = {}
    for joint, parent in tree:
        children = [k for k, p in tree if p == joint]
        before = turns[parent] if parent >= 0 else np.broadcast_to(np.eye(3), (len(joints), 3, 3))
        if not children:
            turns[joint] = before
            continue
        offsets = np.stack([rest[k] for k in children])
        now = joints[:, children] - joints[:, joint, None]
        independent = np.linalg.matrix_rank(offsets, tol=1e-3 * max(float(np.linalg.norm(offsets)), 1e-9)) > 1
        turns[joint] = _nearest(offsets, now) if independent else _shortest(before, offsets[0], now[:, 0])
    return turns


def _nearest(rest: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Rotations R (T, 3, 3) that minimise ``sum |R rest_k - now_k|^2``; rest (K, 3), now (T, K, 3)."""
    u, _, vt = np.linalg.svd(np.einsum("tki,kj->tij", now, rest))
    sign = np.sign(np.linalg.det(u @ vt))
    u[..., 2] *= sign[:, None]
    return np.asarray(u @ vt)


def _shortest(before: np.ndarray, rest: np.ndarray, now: np.ndarray) -> np.ndarray:
    carried = before @ rest
    length = np.linalg.norm(now, axis=-1, keepdims=True)
    towards = np.where(length > 1e-9, now, carried)
    turn = quaternion_to_matrix(between(carried, towards))
    return np.asarray(np.where(np.isfinite(turn).all((-2, -1), keepdims=True), turn, np.eye(3)) @ before)


def write_bvh(path: Path, joints: np.ndarray, skeleton: Skeleton, fps: float, *, overwrite: bool = False) -> Path:
    """Write joints (T, J, 3), metres, x right, y up, z towards the viewer, as centimetres; whole or not at all.

    Bones get their median length, the directions of the first frame are the rest pose. The root alone moves.
    """
    path = check_output_path(path, overwrite=overwrite, suffixes=(".bvh",))
    values = np.asarray(joints, np.float64) * _CM
    tree = bone_tree(skeleton)
    rest: dict[int, np.ndarray] = {}
    for joint, parent in tree:
        if parent >= 0:
            bones = values[:, joint] - values[:, parent]
            rest[joint] = bones[0] / max(float(np.linalg.norm(bones[0])), 1e-9) * np.median(np.linalg.norm(bones, axis=-1))
    turns = bone_rotations(values, tree, rest)
    columns = []
    for joint, parent in tree:
        local = turns[joint] if parent < 0 else turns[parent].swapaxes(-1, -2) @ turns[joint]
        angles = np.unwrap(matrix_to_euler(local, _ORDER), axis=0)
        columns += [values[:, joint]] if parent < 0 else []
        columns.append(np.rad2deg(angles))
    lines = [*_hierarchy(skeleton, tree, rest), "MOTION", f"Frames: {len(values)}", f"Frame Time: {1 / fps:.8f}"]
    lines += [" ".join(f"{v:.5f}" for v in row) for row in np.concatenate(columns, -1)]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _hierarchy(skeleton: Skeleton, tree: list[tuple[int, int]], rest: dict[int, np.ndarray]) -> list[str]:
    rotations = " ".join(f"{axis.upper()}rotation" for axis in _ORDER)
    depth = {-1: -1}
    lines = ["HIERARCHY"]
    open_joints: list[int] = []
    for joint, parent in tree:
        while open_joints and open_joints[-1] != parent:
            lines.append("  " * depth[open_joints.pop()] + "}")
        depth[joint] = depth[parent] + 1
        pad, name = "  " * depth[joint], "".join(word.capitalize() for word in skeleton.joints[joint].split("_"))
        offset = "OFFSET " + " ".join(f"{v:.5f}" for v in (rest[joint] if parent >= 0 else np.zeros(3)))
        places = "6 Xposition Yposition Zposition" if parent < 0 else "3"
        lines += [
            f"{pad}{'ROOT' if parent < 0 else 'JOINT'} {name}",
            pad + "{",
            f"{pad}  {offset}",
            f"{pad}  CHANNELS {places} {rotations}",
        ]
        if not any(p == joint for _, p in tree):
            lines += [f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET 0 0 0", f"{pad}  }}"]
        open_joints.append(joint)
    return lines + ["  " * depth[joint] + "}" for joint in reversed(open_joints)]
