"""D3DP: 3D human pose by diffusion, conditioned on 2D keypoints."""

from .mixste import D3DP, MixSTE, MixSTEConfig

__all__ = ["D3DP", "MixSTE", "MixSTEConfig"]
