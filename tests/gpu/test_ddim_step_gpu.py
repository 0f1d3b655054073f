"""The CUDA ddim_step against its definition, bit for bit."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pose_rt.core.skeleton import H36M17
from pose_rt.diffusion.ddim import ddim_coefficients
from pose_rt.diffusion.schedule import cosine_schedule
from pose_rt.ops import reference

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("n", "f"), [(0, 3), (1, 1), (5, 9)])
def test_ddim_step(device: ModuleType, on_device: Callable[[np.ndarray], Any], n: int, f: int, mirrored: bool) -> None:
    rng = np.random.default_rng(0)
    noisy, noise = (rng.normal(size=(n, f, 17, 3)).astype(np.float32) for _ in range(2))
    prediction = rng.normal(size=(n * (1 + mirrored), f, 17, 3)).astype(np.float32)
    mirror = H36M17.mirror.astype(np.int32) if mirrored else None
    k = ddim_coefficients(cosine_schedule(1000), 999, 499)
    network = on_device(np.zeros_like(prediction))
    got = device.ddim_step(on_device(noisy), on_device(prediction), on_device(noise), k, scale=0.7, mirror=mirror, out=None)
    again = device.ddim_step(
        on_device(noisy), on_device(prediction), on_device(noise), k, scale=0.7, mirror=mirror, out=(on_device(noisy), network)
    )
    expected = reference.ddim_step(
        noisy, prediction, noise, alpha=k.alpha, alpha_next=k.alpha_next, sigma=k.sigma, c=k.c, scale=0.7, mirror=mirror
    )
    for one in (got, again):
        for a, b in zip(one, expected, strict=True):
            np.testing.assert_array_equal(a.to_host(), b)
    np.testing.assert_array_equal(network.to_host(), expected[1])
