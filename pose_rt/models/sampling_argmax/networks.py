"""The three networks of the paper: a ResNet, three transposed convolutions, a 1x1 convolution, the head. Published key names."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from .config import PUBLISHED, HeadConfig
from .decode import Decoded
from .layer import Heat, Sampled, SamplingArgmax
from .noise import Noise
from .resnet import ResNet

_UP = 3
STRIDE = 4
"""Pixels of the input a cell: the ResNet divides by 32, the transposed convolutions give back 2^3."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a network.

    Attributes:
        head: joints, grid, and how they are trained.
        layers, width: of the ResNet.
        filters: channels of each transposed convolution.
    """

    head: HeadConfig
    layers: int = 50
    width: int = 64
    filters: int = 256

    @property
    def image(self) -> tuple[int, int]:
        """(height, width) px of the input."""
        return self.head.grid[-2] * STRIDE, self.head.grid[-1] * STRIDE

    @property
    def channels(self) -> int:
        """Of the final layer: K, or K D."""
        return self.head.joints * (self.head.grid[0] if len(self.head.grid) == 3 else 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints."""
        return {**asdict(self), "head": {**asdict(self.head), "grid": list(self.head.grid)}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkConfig:
        head = dict(values["head"])
        return cls(**{**values, "head": HeadConfig(**{**head, "grid": tuple(head["grid"])})})


class HeatmapNetwork(nn.Module):
    """Images (B, 3, H, W) -> positions of joints; what the three models share.

    In training the head draws samples, in evaluation it takes the mean (`SamplingArgmax`).
    """

    dims = 2

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        if len(config.head.grid) != self.dims:
            raise ValueError(f"{type(self).__name__}: got the grid {config.head.grid}, wanted {self.dims} axes")
        if any(size % 32 for size in config.image):
            raise ValueError(f"{type(self).__name__}: images of {config.image} px, wanted multiples of 32: the grid in multiples of 8")
        self.config = config
        self.preact = ResNet(config.layers, config.width)
        layers: list[nn.Module] = []
        channels = self.preact.channels
        for _ in range(_UP):
            layers += [nn.ConvTranspose2d(channels, config.filters, 4, 2, 1, bias=False), nn.BatchNorm2d(config.filters), nn.ReLU(True)]
            channels = config.filters
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(channels, config.channels, 1)
        self.head = SamplingArgmax(config.head)
        for module in (*layers, self.final_layer):
            if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)
        assert self.final_layer.bias is not None
        nn.init.zeros_(self.final_layer.bias)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Of the backbone (B, C, H / 32, W / 32) and of the last transposed convolution (B, F, H / 4, W / 4)."""
        deep = self.preact(images)
        return deep, self.deconv_layers(deep)

    def logits(self, images: Tensor) -> Tensor:
        """(B, K, H / 4, W / 4), or (B, K D, ...) with channel k D + z."""
        out: Tensor = self.final_layer(self.features(images)[1])
        return out

    def forward(self, images: Tensor, noise: Noise | None = None, *, epoch: int | None = None) -> Sampled | Decoded | Heat:
        result: Sampled | Decoded | Heat = self.head(self.logits(images), noise, epoch=epoch)
        return result


class SimplePose(HeatmapNetwork):
    """2D pose (COCO)."""


class SimpleLandmark(HeatmapNetwork):
    """Face landmarks (MTFL)."""


class SimplePose3D(HeatmapNetwork):
    """3D pose in the volume of a crop (Human3.6M with MPII)."""

    dims = 3


NETWORKS = {"coco": SimplePose, "h36m": SimplePose3D, "mtfl": SimpleLandmark, "images": SimplePose}
"""The network of each task."""
PUBLISHED_NETWORKS = {
    "coco": NetworkConfig(PUBLISHED["coco"]),
    "h36m": NetworkConfig(PUBLISHED["h36m"]),
    "mtfl": NetworkConfig(PUBLISHED["mtfl"], layers=18),
}
