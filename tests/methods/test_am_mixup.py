"""AM-mixup: against an independent NumPy version, the midpoint identity, the schedules and the degenerate batches."""

import math
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.am_mixup import AMMixup
from benchmark.methods.base import Progress
from benchmark.methods.shared.one_sided import both_orders, one_sided_cross_entropy
from benchmark.registry import method as make

B, D, K = 9, 5, 4


class Linear(nn.Module):
    """Features are given as images; only the head has weights. float64 throughout."""

    def __init__(self, rng):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(K, D, generator=rng, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(K, generator=rng, dtype=torch.float64))

    def features(self, images):
        return images

    def classify(self, features):
        return features @ self.weight.T + self.bias


@pytest.fixture
def problem(rng):
    features = torch.randn(B, D, generator=rng, dtype=torch.float64).requires_grad_()
    return Linear(rng), features, torch.randint(0, K, (B,), generator=rng)


def at(train_acc):
    return Progress(epoch=1, fraction=0.2, train_acc=train_acc, class_counts=torch.ones(K))


def one_sided_loss(network, features, labels, order, lam):
    logits = network.classify(both_orders(features, order, lam))
    return one_sided_cross_entropy(logits, labels, order, lam)


def one_cross_entropy(z, label):
    top = max(z)
    return math.log(sum(math.exp(v - top) for v in z)) + top - z[label]


def reference(network, features, labels, order, lam, weight):
    """Pair by pair from the formulas: both orders, one-sided label, same-class pairs left out."""
    w, b = network.weight.detach().numpy(), network.bias.detach().numpy()
    z, y = features.detach().numpy(), labels.numpy()
    clean = sum(one_cross_entropy(w @ z[i] + b, y[i]) for i in range(B)) / B
    mixed = []
    for i in range(B):
        for first, second in ((i, order[i]), (order[i], i)):
            if y[first] != y[second]:
                point = lam * z[first] + (1 - lam) * z[second]
                label = y[first] if lam >= 0.5 else y[second]
                mixed.append(one_cross_entropy(w @ point + b, label))
    return clean + weight * (sum(mixed) / len(mixed) if mixed else 0.0)


@pytest.mark.parametrize(
    ("params", "train_acc"),
    [({}, 0.7), ({"beta": 1.0}, 1.0), ({"weight": 0.3}, 0.2), ({"schedule": "literal", "beta": 0.4}, 0.9)]
    + [({"schedule": "beta", "alpha": 0.4, "beta": 0.5}, acc) for acc in (0.0, 0.3, 0.8)],
)
def test_equals_the_numpy_reference(problem, params, train_acc):
    network, features, labels = problem
    method = AMMixup(**params)
    for seed in range(4):
        loss = method.loss(network, features, labels, at(train_acc), torch.Generator().manual_seed(seed))
        same = torch.Generator().manual_seed(seed)
        order = torch.randperm(B, generator=same).numpy()
        decay = math.exp(-method.beta * train_acc)
        lam = {
            "half": lambda decay=decay: (1 + decay) / 2,
            "literal": lambda decay=decay: max(0.5, decay),
            "beta": lambda decay=decay, same=same: 0.5 + (draws.beta(method.alpha, same) - 0.5) * decay,
        }[method.schedule]()
        expected = reference(network, features, labels, order, lam, method.weight)
        assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_at_one_half_both_orders_are_soft_midpoint_mixing(problem):
    network, features, labels = problem
    order = torch.randperm(B, generator=torch.Generator().manual_seed(0))
    one_sided = one_sided_loss(network, features, labels, order, 0.5)
    different = labels != labels[order]
    logits = network.classify((features + features[order]) / 2)[different]
    half = (F.one_hot(labels, K) + F.one_hot(labels[order], K))[different].double() / 2
    soft = F.cross_entropy(logits, half)
    torch.testing.assert_close(one_sided, soft, rtol=1e-12, atol=0)
    wanted = [features, network.weight, network.bias]
    for ours, theirs in zip(
        torch.autograd.grad(one_sided, wanted, retain_graph=True), torch.autograd.grad(soft, wanted), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)


def test_beta_zero_keeps_lam_at_one_so_the_mixed_loss_is_clean(problem):
    network, features, labels = problem
    method = AMMixup(beta=0)
    assert method.ratio(1.0, torch.Generator()) == 1.0
    order = torch.randperm(B, generator=torch.Generator().manual_seed(0))
    different = labels != labels[order]
    clean = F.cross_entropy(network.classify(features), labels, reduction="none")
    # both orders of a pair at lam = 1 are the clean features of its two ends
    expected = torch.cat([clean[different], clean[order][different]]).mean()
    torch.testing.assert_close(one_sided_loss(network, features, labels, order, 1.0), expected)


def test_weight_zero_is_the_baseline(problem, rng):
    network, features, labels = problem
    loss = AMMixup(weight=0).loss(network, features, labels, at(0.5), rng)
    torch.testing.assert_close(loss, F.cross_entropy(network.classify(features), labels))


def test_gradients_reach_both_features(problem):
    network, features, _ = problem
    labels = torch.tensor([0, 1])
    pair = features[:2].detach().requires_grad_()
    one_sided_loss(network, pair, labels, torch.tensor([1, 0]), 0.9).backward()
    assert (pair.grad.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("size", [1, 6])
def test_a_batch_of_one_class_adds_nothing(problem, rng, size):
    network, features, _ = problem
    features, labels = features[:size].detach(), torch.full((size,), 2)
    loss = AMMixup().loss(network, features, labels, at(0.5), rng)
    torch.testing.assert_close(loss, F.cross_entropy(network.classify(features), labels))


def test_below_one_half_the_label_is_the_other_side(problem):
    network, features, labels = problem
    order = torch.randperm(B, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        one_sided_loss(network, features, labels, order, 0.3),
        one_sided_loss(network, features, labels, order, 0.7),
    )


def test_schedules_by_hand():
    # beta = ln 4, v = 1/2: exp(-beta v) = 1/2
    beta, generator = math.log(4), torch.Generator()
    assert AMMixup(beta=beta).ratio(0.5, generator) == pytest.approx(0.75)
    assert AMMixup(beta=beta, schedule="literal").ratio(0.5, generator) == pytest.approx(0.5)
    assert AMMixup(beta=beta, schedule="literal").ratio(0.25, generator) == pytest.approx(math.sqrt(0.5))
    # reference values of the reconstruction at v = 1
    for value, expected in ((5, 0.5034), (3, 0.525), (1, 0.684)):
        assert AMMixup(beta=value).ratio(1.0, generator) == pytest.approx(expected, abs=5e-4)


def test_the_ratio_falls_to_one_half_with_accuracy_and_never_crosses():
    for schedule in ("half", "literal"):
        ratios = [AMMixup(schedule=schedule).ratio(v, torch.Generator()) for v in np.linspace(0, 1, 11)]
        assert ratios[0] == 1.0 and min(ratios) >= 0.5
        assert ratios == sorted(ratios, reverse=True)


def test_diagnostics_log_the_expected_share_of_the_labelled_side():
    assert AMMixup().diagnostics(at(0.4))["lam"] == AMMixup().ratio(0.4, torch.Generator())
    method, generator = AMMixup(schedule="beta", alpha=0.6, beta=1), torch.Generator().manual_seed(0)
    drawn = [method.ratio(0.4, generator) for _ in range(4000)]
    larger = np.mean([max(lam, 1 - lam) for lam in drawn])
    assert method.diagnostics(at(0.4))["lam"] == pytest.approx(larger, abs=0.01)  # 5 standard errors


def hidden_by_hand(network, images, order, lam, stage):
    """Logits of the clean batch and of both orders of mixtures, ResNet run module by module, each in a pass of its own.

    In evaluation mode images do not see each other, so three passes equal the one pass of a batch of three.
    """
    model = network.model
    logits = []
    for share in (1.0, lam, 1 - lam):
        x = model.maxpool(model.act1(model.bn1(model.conv1(images))))
        for index, layer in enumerate([model.layer1, model.layer2, model.layer3, model.layer4]):
            x = layer(x)
            if index == stage:
                x = share * x + (1 - share) * x[order]
        logits.append(model.fc(model.global_pool(x)).detach().numpy())
    return logits


@pytest.mark.parametrize("stage", range(4))
@pytest.mark.parametrize(
    "params", [{}, {"schedule": "literal", "beta": 0.4, "weight": 0.3}, {"schedule": "beta", "alpha": 0.4, "beta": 0.5}]
)
def test_a_hidden_stage_equals_a_hand_run(resnet64, batch64, params, stage):
    images, labels = batch64
    method = AMMixup(stage=stage, **params)
    below_one_half = []
    for seed in range(4):
        loss = method.loss(resnet64, images, labels, at(0.6), torch.Generator().manual_seed(seed))
        same = torch.Generator().manual_seed(seed)
        order = torch.randperm(6, generator=same)
        decay = math.exp(-method.beta * 0.6)
        if method.schedule == "beta":
            lam = 0.5 + (draws.beta(method.alpha, same) - 0.5) * decay
        else:
            lam = (1 + decay) / 2 if method.schedule == "half" else max(0.5, decay)
        clean, leads, follows = hidden_by_hand(resnet64, images, order, lam, stage)
        mixed = []
        for i, j in enumerate(order.tolist()):
            if labels[i] != labels[j]:
                mixed.append(one_cross_entropy(leads[i], labels[i if lam >= 0.5 else j]))
                mixed.append(one_cross_entropy(follows[i], labels[j if lam >= 0.5 else i]))
        expected = sum(one_cross_entropy(clean[i], labels[i]) for i in range(6)) / 6
        expected += method.weight * sum(mixed) / len(mixed)
        assert loss.item() == pytest.approx(float(expected), rel=1e-6)
        below_one_half.append(lam < 0.5)
    assert any(below_one_half) == (method.schedule == "beta")


def test_the_features_stage_is_the_default_and_lam_one_is_clean_at_every_stage(resnet64, batch64):
    images, labels = batch64
    losses = [
        AMMixup(beta=0, weight=0, stage=stage).loss(resnet64, images, labels, at(0.6), torch.Generator())
        for stage in range(-1, 4)
    ]
    for loss in losses:
        torch.testing.assert_close(loss, F.cross_entropy(resnet64(images), labels), rtol=1e-12, atol=0)
    assert AMMixup() == AMMixup(stage=-1)


def test_behind_a_hidden_stage_normalisation_sees_clean_and_mixed_together(resnet64, batch64):
    images, labels = batch64
    network = deepcopy(resnet64).train()
    before, behind = network.model.layer1, network.model.layer2
    seen = []
    for layer in (before, behind):
        layer.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    AMMixup(stage=0).loss(network, images, labels, at(0.6), torch.Generator())
    assert seen == [6, 18]


def test_a_backbone_without_the_stage_is_refused(resnet64):
    shallow = SimpleNamespace(num_stages=2)
    AMMixup(stage=1).check(shallow)
    AMMixup(stage=3).check(resnet64)
    with pytest.raises(InputError, match=r"hidden stage 2 is needed.*this backbone has 2.*resnet18-thin"):
        AMMixup(stage=2).check(shallow)


@pytest.mark.parametrize(
    "params",
    [{"beta": -1}, {"weight": -0.1}, {"schedule": "linear"}, {"alpha": 0}, {"stage": -2}, {"stage": 4}],
)
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.am_mixup.{next(iter(params))}"):
        make("am_mixup", params)
