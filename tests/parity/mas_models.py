"""MAS vectors of the networks: the motion model, the evaluator, and training steps."""

from __future__ import annotations

from pathlib import Path

import torch

from pose_rt.diffusion.gaussian import make_tables
from pose_rt.models.mas import MDM, Evaluator, EvaluatorConfig, MDMConfig
from pose_rt.models.mas.evaluator import evaluator_loss
from tests.parity.check import Check
from tests.parity.gfpose import Vectors, fill_weights
from training.mas.objective import diffusion_loss, make_optimizer


def motion_model(v: Vectors, dropout: float = 0.1) -> MDM:
    """The network of a file, with the published behaviour of the padding and of the recurrence."""
    c = v.cfg
    joints = (
        v.arrays["in__data_mean"] if "in__data_mean" in v.arrays else v.arrays["in__x" if "in__x" in v.arrays else "in__motion"]
    ).shape
    config = MDMConfig(
        joints[0] if "in__data_mean" in v.arrays else joints[-3], 2, c["latent_dim"], c["ff_size"], c["layers"], c["num_heads"], dropout,
        arch=c["arch"], emb_trans_dec=c["emb_trans_dec"], cond=c["cond"], num_actions=c["num_actions"], over_time=False, mask_padding=False,
    )  # fmt: skip
    network = MDM(config)
    fill_weights(network, v)
    return network.eval()


@torch.no_grad()
def _mdm(path: Path) -> list[Check]:
    v = Vectors(path)
    network = motion_model(v)
    x, t, lengths = v.input("x"), v.input("timesteps"), v.input("lengths")
    action = v.input("action") if v.cfg["cond"] == "action" else None
    checks = [
        v.check("y", network(x, t, lengths, action)),
        v.check("emb_t", network.embed_timestep(t)),
        v.check("pe_first16", network.sequence_pos_encoder.pe[:16, 0]),
    ]
    if action is not None:
        checks.append(v.check("y_uncond", network(x, t, lengths, action, uncond=True)))
    return checks


@torch.no_grad()
def _vae(path: Path) -> list[Check]:
    v = Vectors(path)
    c, x, lengths = v.cfg, v.input("x"), v.input("lengths")
    config = EvaluatorConfig(x.shape[1], x.shape[2], c["e_latent_dim"], c["e_ff_size"], c["e_num_layers"], c["e_num_heads"])
    network = Evaluator(config)
    fill_weights(network, v)
    network.eval()
    reconstruction, mean, log_variance = network.reconstruct(x, lengths, v.noise("latent_eps"))
    loss = evaluator_loss(network, x, lengths, v.noise("latent_eps_loss"))
    return [v.check("mu", mean), v.check("logvar", log_variance), v.check("recon", reconstruction), v.check("loss", loss)]


def _train(path: Path) -> list[Check]:
    v = Vectors(path)
    network = motion_model(v, dropout=0.0).train()
    optimizer, losses, checks = make_optimizer(network, v.cfg["lr"]), [], []
    tables = make_tables(v.cfg["noise_schedule"], v.cfg["T"])
    for i in range(len(v.arrays["in__motion"])):
        motion, lengths = v.input("motion")[i], v.input("lengths")[i]
        within = (torch.arange(motion.shape[-1])[None] < lengths[:, None])[:, None, None]
        mask = (within * v.input("joint_mask")[i]).expand_as(motion).float()
        optimizer.zero_grad()
        loss = diffusion_loss(network, tables, motion, lengths, mask, v.noise("t")[i], v.noise("noise")[i])
        loss.backward()
        if i == 0:
            checks.append(v.check("mask0", mask))
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            checks.append(v.check("grad_norm", torch.stack([g.double().square().sum() for g in gradients]).sum().sqrt()))
            checks.append(v.check("grad_poseFinal", network.output_process.poseFinal.weight.grad))
        optimizer.step()
        losses.append(loss.item())
    state = network.state_dict()
    checks += [v.check("param_" + key[11:], state[key[11:]]) for key in v.arrays if key.startswith("out__param_")]
    return [*checks, v.check("losses", losses)]


HANDLERS = [
    ("gfmas/mas_mdm_*.npz", _mdm),
    ("gfmas/mas_vae_*.npz", _vae),
    ("gfmas/mas_train_steps.npz", _train),
]
