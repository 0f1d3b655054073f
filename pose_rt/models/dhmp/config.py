"""Sizes of a DHMP network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class DHMPConfig:
    """Sizes of the CVAE and of the sampler; the defaults are the bundled model (`published` gives the paper's).

    Attributes:
        nodes: joints without the root.
        history, future: observed and predicted frames at `rate_hz`.
        dct_n: DCT coefficients kept of the history + future frames.
        hidden: width of the CVAE's graph convolutions.
        z: size of the latent code.
        sampler_hidden: width of the sampler's condition encoder.
        base_dim, bases: size and number (M) of the basis vectors of the auxiliary space.
        temperature: of the Gumbel-softmax coefficients.
        canonical: the networks see body axes (`body_axes`) instead of camera axes; published models do not.
        finish: futures pass `FinishStep` (continuity, bone lengths); those of published models do not.
        blend_frames, blend_power: time constant and shape of its handover from the linear extension to the networks.
    """

    nodes: int = 16
    history: int = 25
    future: int = 100
    dct_n: int = 20
    hidden: int = 128
    z: int = 32
    sampler_hidden: int = 64
    base_dim: int = 64
    bases: int = 40
    temperature: float = 0.85
    rate_hz: int = 50
    canonical: bool = True
    finish: bool = True
    blend_frames: float = 20.0
    blend_power: float = 2.0

    @property
    def frames(self) -> int:
        return self.history + self.future

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DHMPConfig:
        """The inverse of `to_dict`.

        Raises:
            ValueError: on a name that is not a field.
        """
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"DHMP configuration: unknown fields {sorted(unknown)}")
        return cls(**values)


_RELEASED = {"dct_n": 10, "hidden": 256, "z": 64, "sampler_hidden": 256, "base_dim": 128, "bases": 40, "canonical": False, "finish": False}

PUBLISHED = {
    "h36m": DHMPConfig.from_dict({"nodes": 16, "history": 25, "future": 100, "rate_hz": 50, **_RELEASED}),
    "humaneva": DHMPConfig.from_dict({"nodes": 14, "history": 15, "future": 60, "rate_hz": 60, **_RELEASED}),
}
"""The sizes of the paper's models; state dicts of those load into networks built from them."""
