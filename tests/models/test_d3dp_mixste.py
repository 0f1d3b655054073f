"""Structure of the D3DP denoiser: keys, layouts, what may and what may not influence what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from pose_rt.models.d3dp import D3DP, MixSTE, MixSTEConfig  # noqa: E402
from pose_rt.models.layers.transformer import SPATIAL, TEMPORAL, Block, DropPath  # noqa: E402

SMALL = MixSTEConfig(frames=5, width=16, depth=2, heads=4)
STATE_DICT = Path(__file__).resolve().parents[3] / "shared" / "parity" / "d3dp" / "statedict_d3dp_f243_c512_d8.json"


def _small() -> MixSTE:
    torch.manual_seed(0)
    network = MixSTE(SMALL).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


def test_keys_and_sizes_are_those_of_published_checkpoints() -> None:
    if not STATE_DICT.is_file():
        pytest.skip("the list of published keys (../shared/parity) is not here")
    listed = json.loads(STATE_DICT.read_text())
    entries = listed.get("state_dict", listed)
    with torch.device("meta"):
        network = MixSTE(MixSTEConfig())
    ours = {f"pose_estimator.{key}": list(value.shape) for key, value in network.state_dict().items()}
    ours |= {key: list(value.shape) for key, value in D3DP(SMALL).state_dict().items() if not key.startswith("pose_estimator.")}
    theirs = {key: list(value["shape"] if isinstance(value, dict) else value[0]) for key, value in entries.items()}
    assert ours == theirs
    assert sum(p.numel() for p in network.parameters()) == 34_835_459


def test_hypotheses_are_a_batch() -> None:
    network = _small()
    xy, noisy, step = torch.randn(2, 5, 17, 2), torch.randn(2, 3, 5, 17, 3), torch.tensor([10, 900])
    together = network(xy, noisy, step)
    for h in range(3):
        torch.testing.assert_close(together[:, h], network(xy, noisy[:, h], step), atol=1e-5, rtol=1e-5)  # another batch size


@pytest.mark.parametrize("axis", [SPATIAL, TEMPORAL])
def test_the_fused_attention_is_the_formula(axis: str) -> None:
    torch.manual_seed(0)
    block = Block(16, 4, axis)
    x = torch.randn(2, 7, 5, 16, requires_grad=True)
    results = []
    for block.attn.fused in (True, False):
        y = block(x)
        results.append((y, torch.autograd.grad(y.square().sum(), x)[0]))
    for fused, plain in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain, atol=1e-5, rtol=1e-5)  # the kernels sum in another order


def test_each_sample_uses_its_own_step() -> None:
    network = _small()
    xy, noisy = torch.randn(1, 5, 17, 2).expand(2, -1, -1, -1), torch.randn(1, 5, 17, 3).expand(2, -1, -1, -1)
    first, second = network(xy, noisy, torch.tensor([10, 900]))
    assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize(("axis", "reaches"), [(SPATIAL, (slice(2, 3), slice(None))), (TEMPORAL, (slice(None), slice(4, 5)))])
def test_a_block_mixes_along_its_own_axis_only(axis: str, reaches: tuple[slice, slice]) -> None:
    torch.manual_seed(0)
    block = Block(8, 2, axis).eval()
    x = torch.randn(1, 5, 7, 8)
    changed = x.clone()
    changed[0, 2, 4] = torch.randn(8)  # a constant would vanish in the norm
    touched = (block(changed) - block(x)).abs().amax(-1)[0] > 1e-6
    want = torch.zeros(5, 7, dtype=torch.bool)
    want[reaches] = True
    assert torch.equal(touched, want)


@pytest.mark.parametrize(("axis", "constant_along"), [(SPATIAL, 2), (TEMPORAL, 1)])
def test_stochastic_depth_drops_whole_sequences_and_keeps_the_mean(axis: str, constant_along: int) -> None:
    torch.manual_seed(0)
    layer = DropPath(0.25, axis).train()
    out = layer(torch.ones(400, 6, 5, 3))
    assert torch.equal(out.amin(constant_along), out.amax(constant_along))
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert out.mean().item() == pytest.approx(1.0, abs=0.06)  # at least 2000 rows: five standard errors are 0.065
    assert torch.equal(layer.eval()(torch.ones(2, 6, 5, 3)), torch.ones(2, 6, 5, 3))


def test_width_must_fit_the_heads() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        MixSTE(MixSTEConfig(frames=3, width=10, heads=4))
