"""MAS vectors of the joints of SMPL and of the body fit on a stand-in body."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pose_rt.core.rotations import axis_angle_to_matrix, matrix_to_six
from pose_rt.core.smpl_joints import SOURCES, face_forward, to_smpl22
from pose_rt.models.mas.smpl import Body, make_prior
from pose_rt.models.mas.smplify import Weights, bending, body_loss, fit, geman_mcclure, torso_guess, torso_loss
from tests.parity.check import Check
from tests.parity.gfpose import Vectors


def _convert(path: Path) -> list[Check]:
    v = Vectors(path)
    checks = [v.check("rotate", face_forward(v.arrays["in__rot"]).astype(np.float32))]
    for name in ("nba", "gymnastics"):
        joints = to_smpl22(v.arrays["in__" + name], SOURCES[name])
        turned = np.stack([face_forward(clip[:, :22]) for clip in joints])
        checks += [v.check(name + "_converted", joints), v.check(name + "_rotated", turned)]
    return checks


def _smplify(path: Path) -> list[Check]:
    v = Vectors(path)
    rest, shapes = v.input("rest"), v.input("shape_dirs")
    body = Body(rest, shapes, None, torch.eye(24, dtype=rest.dtype), tuple(v.cfg["parents"]), None, torch.zeros(0, 3))
    prior = make_prior(v.input("gmm_means"), v.input("gmm_covars"), v.input("gmm_weights"))
    pose, betas, camera, confidence = v.input("pose"), v.input("betas"), v.input("cam"), v.input("conf")
    # The fitted joints are those of the true pose, moved by a constant that the file does not name.
    target = torch.from_numpy(v.arrays["out__target_joints"])
    moved = target - body(v.input("true_pose"), v.input("true_betas"))[1][:, :22]
    constant = moved.mean((0, 1))
    joints = body(pose, betas)[1]
    guess = torso_guess(joints, target)
    checks = [
        v.check("target_joints", target - moved + constant),
        v.check("model_joints", joints),
        v.check("prior", prior(pose[:, 3:])),
        v.check("gmof", geman_mcclure(rest * 100)),
        v.check("angle_prior", bending(pose[:, 3:])),
        v.check("init_cam", guess),
    ]
    turn, body_pose, shape, cam = (t.clone().requires_grad_() for t in (pose[:, :3], pose[:, 3:], betas, camera))
    model = body(torch.cat([turn, body_pose], 1), shape)[1][:, :22]
    loss = body_loss(body_pose, pose[:, 3:], shape, model, cam, target, confidence, prior, Weights(preserve=5.0))
    loss.backward()
    checks += [
        v.check("body_loss", loss), v.check("body_grad_body_pose", body_pose.grad), v.check("body_grad_global_orient", turn.grad),
        v.check("body_grad_betas", shape.grad), v.check("body_grad_cam", cam.grad),
    ]  # fmt: skip
    turn, cam = pose[:, :3].clone().requires_grad_(), camera.clone().requires_grad_()
    loss = torso_loss(body(torch.cat([turn, pose[:, 3:]], 1), betas)[1], target, cam, guess[:, None], Weights())
    loss.backward()
    checks += [v.check("cam_loss", loss), v.check("cam_grad_go", turn.grad), v.check("cam_grad_cam", cam.grad)]
    for kind in ("lbfgs", "adam"):
        found = fit(body, prior, target, pose, betas, iterations=v.cfg["num_iters"], confidence=confidence, optimizer=kind)
        vertices, posed = body(found.pose, found.betas)
        parts = {"vertices": vertices, "joints": posed, "pose": found.pose, "betas": found.betas, "cam": found.translation}
        checks += [v.check(f"{kind}_{key}", value) for key, value in parts.items()]
        checks.append(v.check(kind + "_final_loss", found.loss))
    return [*checks, v.check("thetas6d", matrix_to_six(axis_angle_to_matrix(pose.numpy().reshape(-1, 24, 3))))]


HANDLERS = [("gfmas/mas_convert_skeleton.npz", _convert), ("gfmas/mas_smplify_standin.npz", _smplify)]
