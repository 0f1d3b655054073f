"""Anything that predicts futures, behind one call: exported models, our checkpoints, the published ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose_rt.core import rng as philox
from pose_rt.core.skeleton import H36M17
from pose_rt.errors import InputError
from pose_rt.models.dhmp import CVAE, PUBLISHED, DHMPConfig, DiverseSampling, Forecaster, build_cvae, build_sampler

from .networks import load_networks
from .published import PUBLISHED_SETS

Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(history (N, T_his, J, 3), coefficients (N, K, M), eps (N, K, z)) -> futures (N, K, T_pred, J, 3)."""


@dataclass(frozen=True)
class Predictor:
    """A forecaster and what it expects; `dataset` is where it was trained."""

    predict: Predict
    history: int
    future: int
    rate_hz: int
    bases: int
    z: int
    temperature: float
    dataset: str

    def draws(self, k: int, seed: int, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Gumbel coefficients (K, M) and noise (K, z), addressed by (seed, window)."""
        weights = coefficients(window, k, self.bases, self.temperature, seed)
        return weights, philox.normal((k, self.z), seed=seed, frame=window, stream=philox.STREAM_FORECAST_EPS)

    def futures(self, history: np.ndarray, k: int, seed: int, window: int) -> np.ndarray:
        """K futures (K, T_pred, J, 3) of one history (T_his, J, 3).

        Raises:
            InputError: they are not finite.
        """
        weights, eps = self.draws(k, seed, window)
        futures = self.predict(history[None], weights[None], eps[None])[0]
        if not np.isfinite(futures).all():
            raise InputError(f"window {window}: the model gave futures that are not finite")
        return futures


def coefficients(window: int, k: int, bases: int, temperature: float, seed: int) -> np.ndarray:
    """(K, M) Gumbel-softmax coefficients, the draws addressed by (seed, window)."""
    g = philox.gumbel((k, bases), seed=seed, frame=window, stream=philox.STREAM_FORECAST_GUMBEL) / np.float32(temperature)
    e = np.exp(g - g.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


def load_onnx(path: Path) -> Predictor:
    """An exported forecaster.

    Raises:
        InputError: not a forecaster.
    """
    import onnxruntime

    if not path.is_file():
        raise InputError(f"{path}: no such model")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    meta: dict[str, Any] = json.loads(session.get_modelmeta().custom_metadata_map.get("pose_rt", "{}"))
    if meta.get("kind") != "dhmp":
        raise InputError(f"{path}: no forecaster (kind {meta.get('kind')!r})", "export one with: python -m exporters dhmp")

    def predict(history: np.ndarray, weights: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(["futures"], {"history": history, "weights": weights, "eps": eps})[0])

    dataset = "humaneva" if meta.get("skeleton") == "humaneva15" else meta.get("dataset", "cmu17")
    sizes = {name: meta[name] for name in ("history", "future", "rate_hz", "bases", "z", "temperature")}
    return Predictor(predict, **sizes, dataset=dataset)


def from_networks(config: DHMPConfig, cvae: CVAE, sampler: DiverseSampling | None, dataset: str, basis: Any = None) -> Predictor:
    """Networks in torch; without a sampler (stage 1) the latent codes are drawn from the prior: `eps` itself."""
    parents = PUBLISHED_SETS[dataset].parents if dataset in PUBLISHED_SETS else H36M17.parents or ()
    network = Forecaster(config, parents, cvae, sampler or build_sampler(config), basis).eval()

    @torch.no_grad()
    def predict(history: np.ndarray, weights: np.ndarray, eps: np.ndarray) -> np.ndarray:
        seen, shares, noise = (torch.from_numpy(x) for x in (history, weights, eps))
        return (network.decode(seen, noise) if sampler is None else network(seen, shares, noise)).numpy()

    return Predictor(predict, config.history, config.future, config.rate_hz, config.bases, config.z, config.temperature, dataset)


def load_checkpoint(path: Path) -> Predictor:
    """One of our checkpoints, of either stage."""
    trained = load_networks(path)
    return from_networks(trained.config, trained.cvae, trained.sampler, trained.dataset, trained.basis)


def load_published(path: Path, dataset: str, stage1: Path | None) -> Predictor:
    """Published checkpoints (`h36m_t1.pth` ...), read without unpickling code.

    Args:
        stage1: checkpoint of stage 1 that belongs to one of stage 2; default: the file beside it with t1 for t2 in its name.

    Raises:
        InputError: a file is missing or of the other data set.
    """
    from exporters import checkpoint as foreign

    if dataset not in PUBLISHED:
        raise InputError(f"{path}: published checkpoints belong to {' or '.join(PUBLISHED)}, not to {dataset}")
    config = PUBLISHED[dataset]
    state = foreign.state_of(foreign.read(path), "model", path)
    cvae, sampler = build_cvae(config), None
    if any(name.startswith("bases_p1.") for name in state):
        sampler = build_sampler(config)
        foreign.load_into(sampler, state, path)
        path = stage1 or path.with_name(path.name.replace("t2", "t1"))
        state = foreign.state_of(foreign.read(path), "model", path)
    foreign.load_into(cvae, state, path)
    return from_networks(config, cvae.eval(), None if sampler is None else sampler.eval(), dataset)


def load(path: Path, dataset: str | None, stage1: Path | None = None) -> Predictor:
    """A predictor from a file of any kind, for a data set (default: the one it was trained on).

    Raises:
        InputError: no such file, or a checkpoint of another data set.
    """
    torch.set_num_threads(1)
    if path.suffix == ".pth":
        return load_published(path, dataset or ("humaneva" if "humaneva" in path.name else "h36m"), stage1)
    predictor = load_onnx(path) if path.suffix == ".onnx" else load_checkpoint(path)
    # Both have the skeleton of H36M-17 at 50 Hz; whoever asks for the other one wants to see how a model carries over.
    exchangeable = {predictor.dataset, dataset} <= {"cmu17", "h36m"}
    if dataset is not None and predictor.dataset != dataset and not exchangeable:
        raise InputError(f"{path}: trained on {predictor.dataset}, wanted {dataset}", "give a checkpoint of that data set")
    return predictor
