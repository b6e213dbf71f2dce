"""AM-mixup: against an independent NumPy version, the midpoint identity, the schedules and the degenerate batches."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.am_mixup import AMMixup, one_sided_loss
from benchmark.methods.base import Progress
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


@pytest.mark.parametrize("params", [{"beta": -1}, {"weight": -0.1}, {"schedule": "linear"}, {"alpha": 0}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.am_mixup.{next(iter(params))}"):
        make("am_mixup", params)
