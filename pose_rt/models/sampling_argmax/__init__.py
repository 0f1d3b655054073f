"""Sampling-argmax, differentiable sampling of joint positions from heatmaps (Li, Chen, Shi, Lou, Li, Lu, NeurIPS 2021)."""

from .config import BASES, NORMS, PUBLISHED, HeadConfig, temperature_2d, temperature_3d
from .decode import Decoded, argmax_decode, decode, decode_peaks, merge_flipped, to_image
from .layer import Heat, Sampled, SamplingArgmax, SignGradientProduct, sample_coordinates
from .losses import heatmap_mse, joint_accuracy, l1_joint_regression, l1_loss_dim
from .networks import NETWORKS, PUBLISHED_NETWORKS, HeatmapNetwork, NetworkConfig, SimpleLandmark, SimplePose, SimplePose3D
from .noise import Noise, addressed_noise, random_noise
from .resnet import ResNet

__all__ = [
    "BASES",
    "NETWORKS",
    "NORMS",
    "PUBLISHED",
    "PUBLISHED_NETWORKS",
    "Decoded",
    "HeadConfig",
    "Heat",
    "HeatmapNetwork",
    "NetworkConfig",
    "Noise",
    "ResNet",
    "Sampled",
    "SamplingArgmax",
    "SignGradientProduct",
    "SimpleLandmark",
    "SimplePose",
    "SimplePose3D",
    "addressed_noise",
    "argmax_decode",
    "decode",
    "decode_peaks",
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
