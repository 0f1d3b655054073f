"""Sampling-argmax, differentiable sampling of joint positions from heatmaps (Li, Chen, Shi, Lou, Li, Lu, NeurIPS 2021): the head."""

from .config import BASES, PUBLISHED, HeadConfig, temperature_2d, temperature_3d
from .decode import Decoded, argmax_decode, decode, merge_flipped, to_image
from .layer import Sampled, SamplingArgmax, SignGradientProduct, sample_coordinates
from .losses import heatmap_mse, joint_accuracy, l1_joint_regression, l1_loss_dim
from .noise import Noise, addressed_noise, random_noise

__all__ = [
    "BASES",
    "PUBLISHED",
    "Decoded",
    "HeadConfig",
    "Noise",
    "Sampled",
    "SamplingArgmax",
    "SignGradientProduct",
    "addressed_noise",
    "argmax_decode",
    "decode",
    "heatmap_mse",
    "joint_accuracy",
    "l1_joint_regression",
    "l1_loss_dim",
    "merge_flipped",
    "random_noise",
    "sample_coordinates",
    "temperature_2d",
    "temperature_3d",
    "to_image",
]
