"""AlignMix: Sinkhorn against a plain loop, both directions against a hand run of the network, and special cases."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from benchmark import backbones
from benchmark import rng as draws
from benchmark.backbones import Network
from benchmark.errors import InputError
from benchmark.methods.alignmix import AlignMix, assignment
from benchmark.registry import method as make

K = 4


@pytest.fixture(scope="module")
def resnet():
    """Last maps of 2 x 2 positions in float64."""
    return backbones.build("test_resnet", {}, K, 3, 64, seed=0).double().eval()


@pytest.fixture
def batch(rng):
    return torch.randn(6, 3, 64, 64, generator=rng, dtype=torch.float64), torch.randint(0, K, (6,), generator=rng)


def log_sum_exp(values):
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def sinkhorn_by_loop(first, second, epsilon, iterations):
    """R = r P* of features (C, r): potentials u and v of the log-domain algorithm, one number at a time."""
    r = first.shape[1]
    cost = [[((first[:, i] - second[:, j]) ** 2).sum() for j in range(r)] for i in range(r)]
    u, v = [0.0] * r, [0.0] * r
    for _ in range(iterations):
        for i in range(r):
            u[i] = epsilon * (math.log(1 / r) - log_sum_exp([(v[j] - cost[i][j]) / epsilon for j in range(r)]))
        for j in range(r):
            v[j] = epsilon * (math.log(1 / r) - log_sum_exp([(u[i] - cost[i][j]) / epsilon for i in range(r)]))
    return np.array([[r * math.exp((u[i] + v[j] - cost[i][j]) / epsilon) for j in range(r)] for i in range(r)])


def mixed_by_loop(first, second, lam, keep_first, method):
    """A pair of maps (C, h, w) by the paper's equations."""
    a, b = first.reshape(len(first), -1), second.reshape(len(second), -1)
    plan = sinkhorn_by_loop(a, b, method.epsilon, method.iterations)
    mixed = lam * a + (1 - lam) * b @ plan.T if keep_first else lam * (a @ plan) + (1 - lam) * b
    return mixed.reshape(first.shape)


def cross_entropy_by_loop(logits, labels, order, lam):
    total = 0.0
    for i, z in enumerate(logits.detach().numpy()):
        target = lam * np.eye(K)[labels[i]] + (1 - lam) * np.eye(K)[labels[order[i]]]
        total -= sum(target[k] * (z[k] - log_sum_exp(z)) for k in range(K))
    return total / len(logits)


def draw(seed, method, size):
    """What a seed draws, in the documented order."""
    same = torch.Generator().manual_seed(seed)
    aligned = draws.uniform(same) < method.probability
    lam, order = draws.beta(method.alpha, same), torch.randperm(size, generator=same)
    return aligned, lam, order, draws.uniform(same) < 0.5


def resnet_to_maps(network, images):
    model = network.model
    x = model.maxpool(model.act1(model.bn1(model.conv1(images))))
    return model.layer4(model.layer3(model.layer2(model.layer1(x))))


def test_equals_a_hand_run_of_a_resnet(resnet, batch, progress):
    images, labels = batch
    method, met = AlignMix(iterations=7, epsilon=0.3), set()
    for seed in range(8):
        loss = method.loss(resnet, images, labels, progress, torch.Generator().manual_seed(seed))
        aligned, lam, order, keep_first = draw(seed, method, 6)
        met.add((aligned, aligned and keep_first))
        if aligned:
            maps = resnet_to_maps(resnet, images).detach().numpy()
            mixed = [mixed_by_loop(maps[i], maps[order[i]], lam, keep_first, method) for i in range(6)]
            maps = torch.from_numpy(np.stack(mixed))
        else:
            maps = resnet_to_maps(resnet, lam * images + (1 - lam) * images[order])
        logits = resnet.model.fc(maps.mean(dim=(2, 3)))
        assert loss.item() == pytest.approx(cross_entropy_by_loop(logits, labels, order, lam), rel=1e-6)
    assert met == {(False, False), (True, False), (True, True)}


def test_equals_a_hand_run_of_a_vit_before_its_last_stage(vit64, batch64, progress):
    images, labels = batch64
    method, model = AlignMix(iterations=3, epsilon=0.5, probability=1), vit64.model
    for seed in range(3):
        loss = method.loss(vit64, images, labels, progress, torch.Generator().manual_seed(seed))
        _, lam, order, keep_first = draw(seed, method, 6)
        tokens = model.norm_pre(model._pos_embed(model.patch_embed(images)))
        for block in model.blocks[:4]:  # 6 blocks: stages after 1, 3, 4 and 6
            tokens = block(tokens)
        patches = tokens[:, 1:].detach().numpy().transpose(0, 2, 1)  # (B, C, r)
        mixed = [mixed_by_loop(patches[i], patches[order[i]], lam, keep_first, method) for i in range(6)]
        patches = torch.from_numpy(np.stack(mixed).transpose(0, 2, 1))
        first = lam * tokens[:, :1] + (1 - lam) * tokens[order, :1]
        logits = model.forward_head(model.norm(model.blocks[4:](torch.cat([first, patches], dim=1))))
        assert loss.item() == pytest.approx(cross_entropy_by_loop(logits, labels, order, lam), rel=1e-6)


def test_sinkhorn_rows_and_columns_sum_to_one_when_it_has_converged(rng):
    first, second = torch.randn(2, 3, 5, 6, generator=rng, dtype=torch.float64)
    plan = assignment(first, second, 1.0, 500)
    torch.testing.assert_close(plan.sum(dim=1), torch.ones(3, 6, dtype=torch.float64))
    torch.testing.assert_close(plan.sum(dim=2), torch.ones(3, 6, dtype=torch.float64))


def test_a_sharp_plan_undoes_a_permutation_of_places(rng):
    # A' is A with its places permuted: cost 0 exactly where they match, so R tends to that permutation.
    first, order = torch.randn(1, 8, 16, generator=rng), torch.randperm(16, generator=rng)
    plan = assignment(first, first[:, :, order], 0.01, 50)
    torch.testing.assert_close(plan[0], torch.eye(16)[:, order], rtol=0, atol=1e-5)


def test_sinkhorn_by_hand():
    # Features 0 and 1 against 0 and 1 on a line, epsilon = 1: costs [[0, 1], [1, 0]], kernel [[1, q], [q, 1]] with
    # q = 1/e. It is symmetric, so both scalings are 1 / (1 + q) at once: R = [[1, q], [q, 1]] / (1 + q).
    line = torch.tensor([[[0.0, 1.0]]])
    q = math.exp(-1)
    expected = torch.tensor([[[1, q], [q, 1]]]) / (1 + q)
    torch.testing.assert_close(assignment(line, line, 1.0, 1), expected)


def test_huge_costs_and_autocast_stay_finite_in_float32(rng):
    first, second = 100 * torch.randn(2, 2, 8, 9, generator=rng)
    plain = assignment(first, second, 0.1, 20)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(assignment(first, second, 0.1, 20), plain)
    assert plain.dtype == torch.float32 and torch.isfinite(plain).all()
    torch.testing.assert_close(plain.sum(dim=1), torch.ones(2, 9))


def test_the_plan_has_no_gradient_but_both_maps_have(resnet, batch):
    # With R fixed, lam A + (1 - lam) A' R^T has gradients lam and, in A', (1 - lam) times the columns' sums of R.
    maps = resnet_to_maps(resnet, batch[0][:2]).detach().requires_grad_()
    order = torch.tensor([1, 0])
    (gradient,) = torch.autograd.grad(AlignMix()._mixed(resnet, maps, order, 0.3, True).sum(), maps)
    columns = assignment(maps.flatten(2), maps[order].flatten(2), 0.1, 50).sum(dim=1)[order]  # those of A' at i
    torch.testing.assert_close(gradient.flatten(2), (0.3 + 0.7 * columns[:, None]).expand(2, maps.shape[1], -1))


def test_a_network_without_maps_that_reach_the_head_is_refused():
    with pytest.raises(InputError, match=r"alignmix needs a backbone with hidden feature maps, e\.g\. resnet18-small"):
        AlignMix().check(Network(nn.Linear(3, 2), 2, 3))


def test_common_backbones_are_accepted(resnet, vit64):
    AlignMix().check(resnet)
    AlignMix().check(vit64)


@pytest.mark.parametrize("params", [{"alpha": 0}, {"epsilon": 0}, {"iterations": 0}, {"probability": 1.1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.alignmix.{next(iter(params))}"):
        make("alignmix", params)
