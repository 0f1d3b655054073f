"""DHMP, diverse human motion prediction by sampling in an auxiliary space (Dang, Nie, Long, Zhang, Li, ACM Multimedia 2022)."""

from .canonical import body_axes
from .classifier import CLASSES, ActionClassifier
from .config import PUBLISHED, DHMPConfig
from .cvae import CVAE, reparameterise
from .forecaster import FinishStep, Forecaster, build_cvae, build_sampler
from .gcn import GraphConv, GraphConvBlock, ResGCB
from .representation import Basis, MotionDCT, pad_last, to_channels
from .sampler import DiverseSampling, gumbel_coefficients

__all__ = [
    "CLASSES",
    "CVAE",
    "PUBLISHED",
    "ActionClassifier",
    "Basis",
    "DHMPConfig",
    "DiverseSampling",
    "FinishStep",
    "Forecaster",
    "GraphConv",
    "GraphConvBlock",
    "MotionDCT",
    "ResGCB",
    "body_axes",
    "build_cvae",
    "build_sampler",
    "gumbel_coefficients",
    "pad_last",
    "reparameterise",
    "to_channels",
]
