"""ResNet (He, Zhang, Ren, Sun, CVPR 2016) without its classifier, under torchvision's names, so that its weights load."""

from __future__ import annotations

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (18 and 34 layers)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and a shortcut; the stride is on the 3x3 one (50 layers and more)."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


Block = type[BasicBlock] | type[Bottleneck]
DEPTHS: dict[int, tuple[Block, tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """(B, 3, H, W) -> (B, `channels`, H / 32, W / 32) features.

    Args:
        layers: 18, 34, 50, 101 or 152.
        width: channels of the first stage; 64 as published, fewer for a network that learns on a CPU.

    Raises:
        ValueError: another number of layers.
    """

    def __init__(self, layers: int, width: int = 64) -> None:
        super().__init__()
        if layers not in DEPTHS:
            raise ValueError(f"layers: got {layers}, wanted one of {', '.join(map(str, DEPTHS))}")
        block, counts = DEPTHS[layers]
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = width
        for i, count in enumerate(counts):
            stage, channels = _stage(block, channels, width << i, count, stride=1 if i == 0 else 2)
            setattr(self, f"layer{i + 1}", stage)
        self.channels = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
        return x


def _stage(block: Block, channels: int, width: int, count: int, stride: int) -> tuple[nn.Sequential, int]:
    blocks = []
    for i in range(count):
        step, out = stride if i == 0 else 1, width * block.expansion
        shortcut = None
        if step != 1 or channels != out:
            shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, step, bias=False), nn.BatchNorm2d(out))
        blocks.append(block(channels, width, step, shortcut))
        channels = out
    return nn.Sequential(*blocks), channels
