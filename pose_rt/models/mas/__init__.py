"""MAS: a diffusion model of 2D motion (MDM), and the variational autoencoder whose latent space the metrics use."""

from .evaluator import Evaluator, EvaluatorConfig
from .mdm import MDM, MDMConfig, guided

__all__ = ["MDM", "Evaluator", "EvaluatorConfig", "MDMConfig", "guided"]
