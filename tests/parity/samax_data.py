"""Sampling-argmax vectors of the networks, the crops and targets, and the measures."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose_rt.models.sampling_argmax import NETWORKS, PUBLISHED_NETWORKS, Decoded
from tests.parity.check import Check, compare, compare_names, load
from training.sampling_argmax import coco, h36m, mtfl, scoring
from training.sampling_argmax.crops import affine, box_to_centre_scale, centre_scale_to_box, clip_box, cut, xywh_to_xyxy
from training.sampling_argmax.objective import gaussian_targets
from training.sampling_argmax.preprocess import PUBLISHED_2D, PUBLISHED_3D
from training.sampling_argmax.transforms import AUGMENTATIONS, CropTransform, Draws, Sample

Arrays = dict[str, np.ndarray]
_TASK = {"pose": "coco", "pose3d": "h36m", "face": "mtfl"}


def recipe_tensor(key: str, shape: tuple[int, ...], seed: int, gain: float) -> np.ndarray:
    """The weights that the networks of the vectors were built with; a function of (seed, key, shape)."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    z = np.random.RandomState(zlib.crc32(f"{seed}:{key}".encode()) & 0x7FFFFFFF).standard_normal(shape)  # noqa: NPY002: a frozen stream
    if key.endswith("running_var"):
        z = 1.0 + 0.1 * np.abs(z)
    elif key.endswith(("running_mean", "bias")):
        z = 0.1 * z
    elif len(shape) == 1:
        z = 1.0 + 0.1 * z
    else:
        z = gain * z / np.sqrt(np.prod(shape[1:]))
    return z.astype(np.float32)


def _networks(path: Path) -> list[Check]:
    z, cfg = load(path)
    task = _TASK[cfg["kind"]]
    published = PUBLISHED_NETWORKS[task]
    head = replace(published.head, joints=cfg["joints"], grid=tuple(cfg["hm"]))
    network = NETWORKS[task](replace(published, head=head, layers=cfg["layers"])).eval()
    state = {}
    for key, value in network.state_dict().items():
        tensor = recipe_tensor(key, tuple(value.shape), cfg["weights_seed"], cfg["gain"])
        state[key] = torch.from_numpy(tensor * np.float32(cfg["final_scale"]) if key.startswith("final_layer.") else tensor)
    network.load_state_dict(state)
    with torch.no_grad():
        image = torch.from_numpy(z["in/image"])
        deep, wide = network.features(image)
        logits = network.final_layer(wide)
        decoded = network(image)
    assert isinstance(decoded, Decoded)
    checks = [
        compare("backbone", deep.mean((2, 3)), z["out/backbone_feature_mean"], atol=1e-4),
        compare("deconvolutions", wide.mean((2, 3)), z["out/deconv_feature_mean"], atol=1e-4),
        compare("pred_jts", decoded.pred_jts, z["out/pred_jts"], atol=5e-5),
        compare("maxvals", decoded.maxvals, z["out/maxvals"], atol=5e-5),
    ]
    checks += [compare(f"hm_{axis}", p, z[f"out/hm_{axis}"], atol=5e-5) for axis, p in zip("xyz", decoded.marginals, strict=False)]
    if "out/heatmap_logits" in z:
        checks.append(compare("logits", logits, z["out/heatmap_logits"], atol=5e-4))
    return checks


def _sample(name: str, sample: Sample, z: Arrays, dims: str = "uv") -> list[Check]:
    return [
        compare(f"{name} target", sample.target, z[f"out/{name}/target_{dims}"], atol=1e-5),
        compare(f"{name} weight", sample.weight, z[f"out/{name}/target_{dims}_weight"]),
        compare(f"{name} box", sample.box, z[f"out/{name}/bbox"], atol=1e-4),
    ]


def _crops(path: Path) -> list[Check]:
    z, cfg = load(path)
    size = (cfg["input"][0], cfg["input"][1])
    height, width = z["in/image"].shape[:2]
    boxes = z["in/boxes_xyxy"]
    pairs = [box_to_centre_scale(box, size[1] / size[0]) for box in boxes]
    got: dict[str, Any] = {
        "center": [c for c, _ in pairs],
        "scale": [s for _, s in pairs],
        "affine": [affine(c, s, 0, size) for c, s in pairs],
        "affine_inverse": [affine(c, s, 0, size, inverse=True) for c, s in pairs],
        "affine_rotated": [affine(c, s, r, size) for (c, s), r in zip(pairs, z["in/rot"], strict=True)],
        "box_after": [centre_scale_to_box(c, s) for c, s in pairs],
        "clipped_xyxy": clip_box(xywh_to_xyxy(z["in/boxes_xywh"]), width, height),
    }
    checks = [compare(name, np.array(value), z[f"out/{name}"], atol=1e-4) for name, value in got.items()]
    bgr = np.ascontiguousarray(z["in/image"][..., ::-1])
    for i, (want, (centre, scale)) in enumerate(zip(z["out/test_input_tensor"], pairs, strict=False)):
        crop = cut(z["in/image"], affine(centre, scale, 0, size), size).transpose(2, 0, 1)
        checks.append(compare(f"pixels of the test crop {i}", PUBLISHED_2D.apply(crop), want, atol=6e-3))
    joints, visible = z["in/joints_3d"][:, :2, 0], z["in/joints_3d"][:, 0, 1]
    flat = CropTransform(size, coco.PAIRS)(bgr, boxes[0], joints, visible, Draws(0))
    checks += _sample("val2d", flat, z)
    maps, keep = gaussian_targets(torch.from_numpy(flat.target)[None], torch.from_numpy(flat.weight)[None], (size[0] // 4, size[1] // 4))
    checks.append(compare("val2d heatmap", maps[0], z["out/val2d/target_hm"], atol=1e-5))
    checks.append(compare("val2d heatmap weight", keep[0], z["out/val2d/target_hm_weight"]))
    seeds = sorted(int(key.split("seed")[1].split("/")[0]) for key in z if key.startswith("out/train2d_seed") and key.endswith("/bbox"))
    train = CropTransform(size, coco.PAIRS, AUGMENTATIONS["coco"])
    for seed in seeds:  # the vector takes the box of the seed's number
        checks += _sample(f"train2d_seed{seed}", train(bgr, boxes[seed % len(boxes)], joints, visible, Draws(seed)), z)
    deep = CropTransform((256, 256), h36m.PAIRS, enlarge=1.0, inside_only=True)
    volume = deep(bgr, boxes[0], z["out/val3d/in_joint_img"], np.ones(len(z["out/val3d/in_joint_img"])), Draws(0))
    checks += _sample("val3d", volume, z, "uvd")
    corner = z["out/val3d/image_corner"]
    checks.append(compare("val3d pixels", PUBLISHED_3D.apply(volume.image)[:, : corner.shape[1], : corner.shape[2]], corner, atol=0.03))
    face = CropTransform((256, 256), mtfl.PAIRS, whole=True, inside_only=True)
    return checks + _sample("valface", face(bgr, boxes[0], z["in/landmarks"], np.ones(5), Draws(0)), z)


def _metrics(path: Path) -> list[Check]:
    z, _ = load(path)
    truth, found = (json.loads(str(z[f"in/coco_{name}_json"])) for name in ("gt", "dt"))
    points = np.array([d["keypoints"] for d in found]).reshape(len(found), -1, 3)[..., :2]
    areas = np.array([d["area"] for d in found])
    matrix = np.stack([scoring.oks(p, points, a, areas) for p, a in zip(points, areas, strict=True)])
    kept = scoring.suppress(found)
    checks = [
        compare("oks", matrix, z["out/oks_matrix"], atol=1e-9),
        compare("order after suppression", np.array(kept), z["out/nms_keep_order"]),
        compare("AP", np.array(list(scoring.coco_ap(truth, found).values())), z["out/coco_ap/all"], atol=1e-9),
        compare(
            "AP after suppression", np.array(list(scoring.coco_ap(truth, [found[i] for i in kept]).values())),
            z["out/coco_ap/after_nms"], atol=1e-9,
        ),
    ]  # fmt: skip
    focal, centre = z["in/h36m/f"], z["in/h36m/c"]
    camera = h36m.with_thorax(h36m.to_camera(z["in/h36m/keypoints_world"], z["in/h36m/R"], z["in/h36m/t"]))
    image = h36m.to_pixels(camera, focal, centre)
    poses = scoring.h36m_poses(z["out/h36m/pred_uvd"], camera[:, 0, 2], focal, centre)
    errors = scoring.h36m_errors(poses, camera, np.zeros(len(poses), np.int64))
    faces = scoring.mtfl_errors(z["in/mtfl/pred"], z["in/mtfl/gt"])
    return [
        *checks,
        compare("camera", camera, z["out/h36m/joint_cam"], atol=1e-6),
        compare("pixels", image, z["out/h36m/joint_img"], atol=1e-6),
        compare("poses", poses, z["out/h36m/pred_cam_root_relative"], atol=1e-6),
        compare("mpjpe", errors["mpjpe_mm"], z["out/h36m/mpjpe"], atol=1e-6),
        compare("pa-mpjpe", errors["pa_mpjpe_mm"], z["out/h36m/pa_mpjpe"], atol=1e-6),
        compare("mtfl", np.array([faces["abs_px"], faces["rel_percent"]]), z["out/mtfl/abs_rel"], atol=1e-6),
    ]


def _names(path: Path) -> list[Check]:
    """The published network of the task that the file is named after."""
    task = path.stem.split("_")[2]
    with torch.device("meta"):
        network = NETWORKS[task](PUBLISHED_NETWORKS[task])
    return compare_names(network.state_dict(), sum(p.numel() for p in network.parameters()), path)


HANDLERS = [
    ("d3dp/statedict_samax_*.json", _names),
    ("d3dp/samax_net_*.npz", _networks),
    ("d3dp/samax_crops_targets.npz", _crops),
    ("d3dp/samax_metrics.npz", _metrics),
]
