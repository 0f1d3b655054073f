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
        blend_frames: time constant of the handover from the linear extension to the networks (`FinishStep`).
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
    blend_frames: float = 15.0

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


PUBLISHED = {
    "h36m": DHMPConfig(16, 25, 100, dct_n=10, hidden=256, z=64, sampler_hidden=256, base_dim=128, bases=40, canonical=False),
    "humaneva": DHMPConfig(14, 15, 60, dct_n=10, hidden=256, z=64, sampler_hidden=256, base_dim=128, bases=40, rate_hz=60, canonical=False),
}
"""The sizes of the paper's models; state dicts of those load into networks built from them."""
