"""The networks of a DHMP checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pose_rt.models.dhmp import CVAE, Basis, DHMPConfig, DiverseSampling, build_cvae, build_sampler
from training.common import checkpoint


@dataclass(frozen=True)
class Trained:
    """Networks in eval mode; `sampler` is None after stage 1."""

    config: DHMPConfig
    cvae: CVAE
    sampler: DiverseSampling | None
    basis: Basis | None
    dataset: str = "cmu17"


def load_networks(path: Path) -> Trained:
    """Networks from a checkpoint of either stage; one of stage 2 carries the frozen CVAE under "cvae".

    Raises:
        InputError: not a checkpoint of ours.
    """
    values = checkpoint.load(path, ("config", "model"))
    config = DHMPConfig.from_dict(values["config"])
    cvae = build_cvae(config)
    cvae.load_state_dict(values.get("cvae", values["model"]))
    sampler = None
    if "cvae" in values:
        sampler = build_sampler(config)
        sampler.load_state_dict(values["model"])
        sampler.eval()
    basis = Basis(**values["basis"]) if "basis" in values else None
    return Trained(config, cvae.eval(), sampler, basis, str(values.get("dataset", "cmu17")))
