"""Laws of the DHMP losses and of the valid-angle check."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from pose_rt.core.skeleton import H36M17  # noqa: E402
from training.dhmp import losses  # noqa: E402
from training.dhmp.angles import COSINES, LIMITS, load_limits, measure_limits, valid_angle, violation_share  # noqa: E402
from training.dhmp.config import REFERENCE_STAGE1, REFERENCE_STAGE2, published_factor, timed_factor  # noqa: E402

PARENTS = H36M17.parents or ()


def motion(*shape: int, seed: int = 0) -> "torch.Tensor":
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_reconstruction_looks_at_the_future_only_and_history_at_the_rest() -> None:
    gt = motion(2, 48, 30)
    past, future = gt.clone(), gt.clone()
    past[..., :10] += 1
    future[..., 10:] += 1
    assert losses.recons(past, gt, 10) == 0
    assert losses.recons(future, gt, 10).item() == pytest.approx(48 * 20)
    assert losses.recover_history(future, gt, 10) == 0
    assert losses.recover_history(past, gt, 10).item() == pytest.approx(48)
    assert losses.recover_history(past[:, None].expand(-1, 3, -1, -1), gt, 10).item() == pytest.approx(48)


def test_first_step_is_zero_only_without_a_jump() -> None:
    gt = motion(2, 48, 30)
    predicted = gt.clone()
    predicted[..., 10] = gt[..., 9]
    assert losses.first_step(predicted, gt, 10) == 0
    predicted[:, 0, 10] += 2
    assert losses.first_step(predicted, gt, 10).item() == pytest.approx(4)


def test_limb_length_does_not_see_rotations() -> None:
    gt = motion(2, 48, 1).expand(2, 48, 12)
    turn, _ = torch.linalg.qr(motion(3, 3, seed=1))
    turned = torch.einsum("ij,bvjt->bvit", turn, gt.unflatten(1, (16, 3))).flatten(1, 2)
    assert losses.limb_length(turned, gt, PARENTS) < 1e-10
    wanted = losses.bone_lengths(gt[..., :1], PARENTS).square().sum() * 0.01 / 2
    assert losses.limb_length(1.1 * gt, gt, PARENTS).item() == pytest.approx(wanted.item(), rel=1e-4)


def test_kl_is_zero_for_the_prior_and_positive_elsewhere() -> None:
    assert losses.kl(torch.zeros(3, 4), torch.zeros(3, 4)) == 0
    assert losses.kl(torch.ones(3, 4), torch.zeros(3, 4)).item() == pytest.approx(2)
    assert losses.kl(torch.zeros(3, 4), torch.full((3, 4), -1.0)) > 0


def test_only_the_best_future_gets_a_gradient() -> None:
    futures = motion(1, 4, 6, 5).requires_grad_()
    losses.recons_best(futures, futures.detach()[:, 2] + 0.01).backward()
    assert futures.grad is not None
    assert futures.grad[0, 2].abs().max() > 0
    assert futures.grad[0, [0, 1, 3]].abs().max() == 0


def test_empty_pseudo_futures_do_not_count() -> None:
    futures, similar = motion(2, 4, 6, 5), motion(2, 3, 6, 5, seed=1)
    similar[:, 1:] = 0
    assert losses.recons_best_multimodal(futures, similar) == losses.recons_best(futures, similar[:, 0])
    assert losses.recons_best_multimodal(futures, torch.zeros(2, 3, 6, 5)) == 0


def test_hinge_pushes_near_pairs_apart_and_leaves_far_ones() -> None:
    near = torch.zeros(1, 2, 6, 5)
    near[0, 1, 0, 0] = 1.0
    near.requires_grad_()
    losses.hinge_diversity(near, 3.0).backward()
    assert near.grad is not None and near.grad[0, 1, 0, 0] < 0 < near.grad[0, 0, 0, 0]
    assert losses.hinge_diversity(near * 10, 3.0) == 0


def test_groups_change_nothing_but_the_leftover() -> None:
    futures = motion(2, 7, 6, 5)
    assert losses.hinge_diversity(futures, 9.0, group=3) == losses.hinge_diversity(futures[:, :6], 9.0)


def test_valid_angle_is_the_mean_excess_of_the_violators() -> None:
    poses = motion(8, 48)
    cosine = COSINES[16](poses)["Shoulder2Shoulder"]
    limit = float(cosine.sort().values[5:7].mean())
    excess = (cosine[cosine > limit] - limit).square().mean()
    assert len(cosine[cosine > limit]) == 2
    assert torch.allclose(valid_angle(poses, {"Shoulder2Shoulder": (-1.0, limit)}), excess)
    assert valid_angle(poses, {"Shoulder2Shoulder": (-0.99, 0.99)}) == 0


@pytest.mark.parametrize("nodes", [16, 14])
def test_cosines_do_not_see_rotation_and_size(nodes: int) -> None:
    poses = motion(6, 3 * nodes).double()
    turn, _ = torch.linalg.qr(motion(3, 3, seed=2).double())
    turn = turn * torch.sign(torch.linalg.det(turn))
    moved = 1.7 * (poses.unflatten(-1, (nodes, 3)) @ turn.T).flatten(1)
    for name, value in COSINES[nodes](poses, select=False).items():
        assert (COSINES[nodes](moved, select=False)[name] - value).abs().max() < 1e-9, name


def test_cosines_of_exactly_three_poses_are_those_of_each_alone() -> None:
    poses = motion(3, 48)
    for name, value in COSINES[16](poses, select=False).items():
        alone = torch.cat([COSINES[16](poses[i : i + 1], select=False)[name] for i in range(3)], dim=-1)
        assert torch.allclose(value, alone, atol=1e-6), name


def test_measured_limits_hold_for_all_but_the_tails() -> None:
    poses = motion(2000, 48).double()
    limits = measure_limits(poses, percentile=5)
    low, high = limits["Neck2Spine"]
    cosine = COSINES[16](poses)["Neck2Spine"]
    assert ((cosine < low).double().mean() - 0.05).abs() < 0.005
    assert ((cosine > high).double().mean() - 0.05).abs() < 0.005
    assert abs(violation_share(poses, limits) - 0.1) < 0.01


def test_bundled_limits_name_every_cosine() -> None:
    assert set(load_limits(LIMITS)) == set(COSINES[16](motion(4, 48)))
    assert json.loads(Path(LIMITS).read_text())["poses"] > 100_000


def test_schedules() -> None:
    assert [published_factor(e, 100, 2000) for e in (0, 100)] == [1, 1]
    assert published_factor(1999, 100, 2000) == pytest.approx(1 - 1899 / 1901)
    assert timed_factor(0.3, 0.3) == 1 and timed_factor(0.65, 0.3) == pytest.approx(0.5) and timed_factor(2.0, 0.3) == 0.01


def test_reference_weights_are_the_published_arithmetic() -> None:
    for weights in REFERENCE_STAGE1.values():
        assert weights.history_added and weights.angle_every == 1
    for ours in REFERENCE_STAGE2.values():
        assert not ours.finished and ours.angle == 0 and ours.hinge_group == 25
