"""Cameras, chunking, JPMA and 3D metrics of D3DP."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from pose_rt.core import camera, windows
from pose_rt.core.aggregate import mean_pose, nearest_to_target, take_joints
from pose_rt.core.root import split_root
from pose_rt.core.skeleton import H36M17, H36M32_TO_H36M17, mirror_points
from pose_rt.metrics import pose3d
from tests.parity.check import Check, compare, load

# The quaternion with which the reference turns poses upright for display.
_WILD_ORIENTATION = np.array([0.14070565, -0.15007018, -0.7552408, 0.62232804], np.float32)
_PELVIS_3DHP = 14


def _camera(path: Path) -> list[Check]:
    z, _ = load(path)
    checks = []
    for i, (w, h) in enumerate(z["in/w_h"].tolist()):
        normalised = camera.normalise_screen(z["in/px"], w, h)
        checks.append(compare(f"normalise {w}x{h}", normalised, z[f"out/normalize/{i}"], atol=1e-12))
        back = camera.denormalise_screen(normalised, w, h)
        checks.append(compare(f"denormalise {w}x{h}", back, z[f"out/unnormalize/{i}"], atol=1e-12))
    checks += [
        compare("positions_17", z["in/positions_32"][:, list(H36M32_TO_H36M17)], z["out/positions_17"]),
        compare("parents", H36M17.parents, z["out/parents"]),
        compare("joints_left", H36M17.left, z["out/joints_left"]),
        compare("joints_right", H36M17.right, z["out/joints_right"]),
    ]
    cameras = sorted({key.split("/")[1] for key in z if key.startswith("out/cam")})
    for name in cameras:
        intrinsics, orientation, translation = (z[f"out/{name}/{key}"] for key in ("intrinsic", "orientation", "translation"))
        moved = camera.world_to_camera(z["in/world"], orientation, translation)
        seen = z[f"out/{name}/world_to_camera"]
        relative, root = split_root(moved)
        relative[:, 0] = root
        results = {
            "world_to_camera": moved,
            "camera_to_world": camera.camera_to_world(seen, orientation, translation),
            "project": camera.project(seen, intrinsics),
            "project_linear": camera.project(seen, intrinsics, distortion=False),
            "positions_3d": relative,
        }
        checks += [compare(f"{name} {key}", got, z[f"out/{name}/{key}"], atol=2e-6) for key, got in results.items()]
    points, intrinsics = z["out/clamp/points"], z[f"out/{cameras[0]}/intrinsic"]
    upright = camera.camera_to_world(z["in/world"], _WILD_ORIENTATION, np.zeros(3, np.float32))
    upright[..., 2] -= upright[..., 2].min()
    return [
        *checks,
        compare("clamp project", camera.project(points, intrinsics), z["out/clamp/project"], atol=2e-6),
        compare("clamp linear", camera.project(points, intrinsics, distortion=False), z["out/clamp/project_linear"], atol=2e-6),
        compare("wild", upright, z["out/wild/world"], atol=2e-6),
    ]


def _chunking(path: Path) -> list[Check]:
    z, cfg = load(path)
    frames, lengths, batch = cfg["frames"], cfg["lengths"], cfg["batch"]
    table = windows.chunk_table(lengths, frames, mirror=True)
    checks = [compare("pairs", table, z["out/pairs"]), compare("num_frames", sum(lengths), z["out/num_frames"])]
    epochs = sum(key.startswith("out/epoch") and key.endswith("/3d") for key in z)
    for epoch, order in enumerate(islice(windows.epoch_orders(len(table)), epochs)):
        made: dict[str, list[np.ndarray]] = {"cam": [], "3d": [], "2d": []}
        for sequence, start, _, mirrored in table[order].tolist():
            intrinsics = z[f"in/seq{sequence}/cam"]
            made["cam"].append(camera.mirror_intrinsics(intrinsics) if mirrored else intrinsics)
            for key in ("3d", "2d"):
                chunk = windows.take_windows(z[f"in/seq{sequence}/{key}"], np.array([start]), frames)[0]
                made[key].append(mirror_points(chunk, H36M17) if mirrored else chunk)
        checks += [compare(f"epoch{epoch} {key}", np.stack(got), z[f"out/epoch{epoch}/{key}"]) for key, got in made.items()]
        sizes = [min(batch, len(table) - first) for first in range(0, len(table), batch)]
        checks.append(compare(f"epoch{epoch} batch_sizes", sizes, z[f"out/epoch{epoch}/batch_sizes"]))
    for sequence, length in enumerate(lengths):
        starts = windows.window_starts(length, frames)
        for key in ("2d", "3d"):
            cut = windows.take_windows(z[f"in/seq{sequence}/{key}"], starts, frames)
            checks.append(compare(f"seq{sequence} {key} windows", cut, z[f"out/eval/seq{sequence}/{key}"]))
        whole = windows.reassemble(cut, length, tail_of_padded=True)
        checks.append(compare(f"seq{sequence} reassembled", whole, z[f"out/reassembled/seq{sequence}"]))
    return checks


def _indices_without(chosen: np.ndarray, joint: int) -> np.ndarray:
    """All hypotheses agree at the root: its index says nothing."""
    return np.delete(chosen, joint, -1)


def _jpma_h36m(path: Path) -> list[Check]:
    z, _ = load(path)
    hypotheses, target = z["in/predicted"], z["in/target"][:, None]
    target_xy, placed = z["in/input_2d"][:, None], hypotheses + z["in/traj"][:, None, None]
    checks: list[Check] = []
    protocols = {"p1": pose3d.identity_align, "p2": pose3d.procrustes_align}
    chosen = np.zeros(0, np.int64)
    for name, distortion in (("dist", True), ("linear", False)):
        seen = camera.project(placed, z["in/cam"], distortion=distortion)
        chosen = nearest_to_target(seen, target_xy)
        checks += [
            compare(f"{name} reprojection", seen, z[f"out/{name}/reproject_2d"], atol=2e-6),
            compare(f"{name} index", _indices_without(chosen, 0), _indices_without(z[f"out/{name}/index/J_Agg"], 0)),
            compare(f"{name} pose", take_joints(hypotheses, chosen), z[f"out/{name}/pose/J_Agg"], atol=1e-6),
        ]
        for protocol, align in protocols.items():
            errors = pose3d.hypothesis_errors(hypotheses, target, chosen, align=align, scope="batch")
            mean = {key: value.mean((0, 2, 3)) for key, value in errors.items()}
            checks.append(compare(f"{name} {protocol} J_Agg", mean.pop("J_Agg"), z[f"out/{name}/{protocol}/J_Agg"], atol=1e-6))
            checks += [compare(f"{protocol} {key}", got, z[f"out/{protocol}/{key}"], atol=1e-6) for key, got in mean.items()]
    return checks + _selections(z, hypotheses, target, 0, 1e-6)


def _selections(z: dict[str, np.ndarray], hypotheses: np.ndarray, target: np.ndarray, root_joint: int, atol: float) -> list[Check]:
    """Poses and indices of P-Agg, P-Best (one choice a batch, as published) and J-Best."""
    errors = pose3d.joint_errors(hypotheses, target[..., None, :, :, :])
    best_pose, best_joint = pose3d.best_pose_index(errors, "batch"), pose3d.best_joint_index(errors)
    per_joint = np.broadcast_to(best_pose[..., None], best_joint.shape)
    checks = [
        compare("P_Agg pose", mean_pose(hypotheses), z["out/pose/P_Agg"], atol=atol),
        compare("P_Best pose", take_joints(hypotheses, per_joint), z["out/pose/P_Best"], atol=atol),
        compare("J_Best pose", take_joints(hypotheses, best_joint), z["out/pose/J_Best"], atol=atol),
    ]
    if "out/index/P_Best" in z:
        checks.append(compare("P_Best index", best_pose[..., 0], z["out/index/P_Best"]))
    if "out/index/J_Best" in z:
        wanted = _indices_without(z["out/index/J_Best"], root_joint)
        checks.append(compare("J_Best index", _indices_without(best_joint, root_joint), wanted))
    return checks


def _jpma_3dhp(path: Path) -> list[Check]:
    z, cfg = load(path)
    (width, height), intrinsics = camera.MPI_INF_3DHP_TEST_CAMERAS[cfg["keys"]]
    hypotheses, target = z["in/predicted"], z["in/target"][:, None]
    target_px = camera.denormalise_screen(z["in/input_2d"], width, height)
    seen = camera.project(hypotheses + z["in/traj"][:, None, None], intrinsics)
    chosen = nearest_to_target(seen, target_px[:, None])
    errors = pose3d.hypothesis_errors(hypotheses, target, scope="batch")
    valid = np.broadcast_to(z["in/valid"][..., 0][:, None], errors["P_Agg"].shape[:3])
    checks = [
        compare("target_2d_px", target_px, z["out/target_2d_px"], atol=2e-3),
        compare("reprojection", seen, z["out/reproj_2d"], atol=2e-3),
        compare("J_Agg index", _indices_without(chosen, _PELVIS_3DHP), _indices_without(z["out/index/J_Agg"], _PELVIS_3DHP)),
        compare("J_Agg pose", take_joints(hypotheses, chosen), z["out/pose/J_Agg"], atol=1e-3),
    ]
    for name, sequence in (("cam_ts1_4", "TS1"), ("cam_ts5_6", "TS5")):
        checks.append(compare(name, camera.MPI_INF_3DHP_TEST_CAMERAS[sequence][1], z[f"out/{name}"][:4], atol=2e-3))
    for key in ("P_Best", "P_Agg"):
        mean = [errors[key][:, k][valid[:, k]].mean() for k in range(hypotheses.shape[1])]
        checks.append(compare(f"mpjpe_valid {key}", mean, z[f"out/mpjpe_valid/{key}"], atol=1e-3))
    return checks + _selections(z, hypotheses, target, _PELVIS_3DHP, 1e-3)


def _metrics_h36m(path: Path) -> list[Check]:
    z, _ = load(path)
    predicted, target = z["in/predicted"], z["in/target"]
    aligned = pose3d.pa_mpjpe(predicted, target)
    velocity = pose3d.velocity_error(predicted, target).mean()
    results = {
        "mpjpe": pose3d.mpjpe(predicted, target).mean(),
        "n_mpjpe": pose3d.n_mpjpe(predicted, target).mean(),
        "p_mpjpe": aligned.mean(),
        "p_mpjpe_f64": aligned.mean(),
        "p_mpjpe_per_frame": aligned,
        "mean_velocity_error": velocity,
        "mean_velocity_error_train": velocity,
    }
    checks = [compare(key, got, z[f"out/{key}"], atol=1e-6) for key, got in results.items()]
    per_joint = pose3d.joint_errors(predicted, target).mean(0)
    return [*checks, compare("mpjpe_per_joint", per_joint, z["out/mpjpe_per_joint_x1000"] / 1000.0, atol=1e-6)]


def _metrics_3dhp(path: Path) -> list[Check]:
    z, _ = load(path)
    thresholds_mm = np.arange(31) * 5.0

    def score(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        return pose3d.pck_3dhp(errors, 150.0), pose3d.auc_3dhp(errors, thresholds_mm), float(errors.mean(0).mean())

    checks, all_errors, all_activities, totals = [], [], [], []
    sequences = sorted({key.split("/")[1] for key in z if key.startswith("in/")})
    for name in sequences:
        annotation, predicted, valid = (z[f"in/{name}/{key}"] for key in ("annot3", "pred", "valid"))
        relative, _ = split_root(annotation.astype(np.float64), _PELVIS_3DHP)
        errors = pose3d.joint_errors(predicted.astype(np.float64), relative)[valid]
        pck, auc, mpjpe = score(errors)
        totals.append((pck[-1], auc[-1], mpjpe))
        all_errors.append(errors)
        all_activities.append(z[f"in/{name}/activity"][valid])
        results = {"pck": pck, "auc": auc, "mpjpe_joints": errors.mean(0), "mpjpe": mpjpe}
        checks += [compare(f"{name} {key}", got, z[f"out/{name}/{key}"], atol=1e-9) for key, got in results.items()]
    checks.append(compare("average", np.mean(totals, 0), z["out/sequence_average_pck_auc_mpjpe"], atol=1e-9))
    pooled, activities = np.concatenate(all_errors), np.concatenate(all_activities)
    for key, got in zip(("pck", "auc", "mpjpe"), score(pooled), strict=True):
        checks.append(compare(f"all {key}", got, z[f"out/all/{key}"], atol=1e-9))
    for key in sorted(k for k in z if k.startswith("out/activity")):
        activity = int(key.removeprefix("out/activity").split("/")[0])
        pck, auc, mpjpe = score(pooled[activities == activity])
        checks.append(compare(f"activity {activity}", [pck[-1], auc[-1], mpjpe], z[key], atol=1e-9))
    return checks


HANDLERS = [
    ("d3dp/camera_normalise*.npz", _camera),
    ("d3dp/chunking*.npz", _chunking),
    ("d3dp/jpma_h36m*.npz", _jpma_h36m),
    ("d3dp/jpma_3dhp*.npz", _jpma_3dhp),
    ("d3dp/metrics_h36m*.npz", _metrics_h36m),
    ("d3dp/metrics_3dhp*.npz", _metrics_3dhp),
]
