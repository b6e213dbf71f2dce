"""SupCon with class-conditional InfoNCE: against its sums view by view, the ends of alpha, degenerate batches."""

import math
from copy import deepcopy

import numpy as np
import pytest
import torch

from benchmark.errors import InputError
from benchmark.methods.supcon_cnce import SupConCNCE, spread_loss
from benchmark.registry import method as make


def both_terms(z, labels, temperature):
    """Means of L_SC and L_cNCE, anchor by anchor: every view against the views of the other kind."""
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    first, second = z[: len(labels)], z[len(labels) :]
    attraction, repulsion = [], []
    for anchors, others in ((first, second), (second, first)):
        for i, anchor in enumerate(anchors):
            weights = [math.exp(anchor @ other / temperature) for other in others]
            positives = [w for w, y in zip(weights, labels, strict=True) if y == labels[i]]
            negatives = [w for w, y in zip(weights, labels, strict=True) if y != labels[i]]
            attraction.append(sum(-math.log(w / (w + sum(negatives))) for w in positives) / len(positives))
            repulsion.append(-math.log(weights[i] / sum(positives)))
    return np.mean(attraction), np.mean(repulsion)


def cross_entropy(network, features, labels):
    logits = features @ network.weight.detach().numpy().T + network.bias.detach().numpy()
    return np.mean([math.log(np.exp(z).sum()) - z[y] for z, y in zip(logits, [*labels, *labels], strict=True)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("params", [{}, {"alpha": 0.2, "temperature": 0.1}, {"projection": 0}, {"projection": 3}])
def test_equals_its_sums(linear64, progress, params, seed):
    method, generator = SupConCNCE(**params), torch.Generator().manual_seed(seed)
    features = torch.randn(14, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (7,), generator=generator)
    head, projected = method.auxiliary(linear64, generator), features.numpy()
    if method.projection:
        w1, b1, w2, b2 = (p.detach().numpy() for p in head.double().parameters())
        projected = np.maximum(projected @ w1.T + b1, 0) @ w2.T + b2
        assert projected.shape == (14, method.projection)
    vars(linear64)["auxiliary"] = head
    loss = method.loss(linear64, features, labels, progress, generator)

    attraction, repulsion = both_terms(projected, labels.tolist(), method.temperature)
    contrast = (1 - method.alpha) * attraction + method.alpha * repulsion
    expected = cross_entropy(linear64, features.numpy(), labels.tolist()) + contrast
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_without_projection_there_is_no_head(resnet64, rng):
    assert SupConCNCE(projection=0).auxiliary(resnet64, rng) is None


def test_by_hand():
    # Projections on a line, t = 1: image 1 is a and a, image 2 of its class a and -a, image 3 of another class -a and
    # -a. First views against second ones: s = [[1, -1, -1], [1, -1, -1], [-1, 1, 1]].
    # L_SC: anchor 1 has p of 1 and -1 and n of -1; anchor 2 the same; anchor 3 has p of 1, n of -1 and 1.
    # L_cNCE: -log e / (e + 1/e), -log (1/e) / (e + 1/e), 0. Second against first is the transpose, worked out alike.
    e = math.e
    near, far, mixed = math.log(1 + e**-2), math.log(2), math.log(1 + e**2)
    # rows of s: anchors 1 and 2: p 1 with n -1 is near, p -1 with n -1 is far; anchor 3: p 1 with n -1 and 1
    attraction = (near + far) / 2 * 2 + math.log(1 + e**-2 + 1)
    # columns of s: anchor 1: p 1, 1 with n -1; anchor 2: p -1, -1 with n 1; anchor 3: p 1 with n -1, -1
    attraction += near + mixed + math.log(1 + 2 * e**-2)
    # rows: 1 against -1 and -1 against 1; columns: two equal ones, twice
    repulsion = near + mixed + 0 + far + far + 0
    projected = torch.tensor([[1.0], [1], [-1], [1], [-1], [-1]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1])
    assert spread_loss(projected, labels, 1.0, 0.0).item() == pytest.approx(attraction / 6, rel=1e-12)
    assert spread_loss(projected, labels, 1.0, 1.0).item() == pytest.approx(repulsion / 6, rel=1e-12)


def test_the_conditional_term_spreads_a_collapsed_class_and_the_other_does_not():
    # Two images of one class around one point, each close to its own other view.
    angles = torch.tensor([0.1, -0.1, 0.12, -0.12], dtype=torch.float64).requires_grad_()
    projected, labels = torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0])
    (pull,) = torch.autograd.grad(spread_loss(projected, labels, 0.5, 0.0), angles, retain_graph=True)
    (push,) = torch.autograd.grad(spread_loss(projected, labels, 0.5, 1.0), angles)
    assert pull.abs().max() == 0  # without another class there is nothing to pull from
    assert push[0] < 0 < push[1] and push[2] < 0 < push[3]  # descent moves each image away from the other


@pytest.mark.parametrize("labels", [[2], [1, 1, 1], [0, 1, 2]])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_degenerate_batches_have_finite_gradients(rng, labels, alpha):
    projected = torch.randn(2 * len(labels), 4, generator=rng).requires_grad_()
    loss = spread_loss(projected, torch.tensor(labels), 0.01, alpha)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(projected.grad).all()


def test_all_classes_distinct_leave_no_class_to_spread(rng):
    projected = torch.randn(8, 4, generator=rng, dtype=torch.float64)
    assert spread_loss(projected, torch.arange(4), 0.5, 1.0).item() == pytest.approx(0, abs=1e-12)


def test_the_encoder_learns_from_the_labels_too(resnet64, batch64, progress, rng):
    network = deepcopy(resnet64)
    network.auxiliary = SupConCNCE().auxiliary(network, rng).double()
    gradients = []
    for labels in (torch.tensor([0, 0, 1]), torch.tensor([2, 2, 3])):  # the same classes for the contrast
        network.zero_grad()
        SupConCNCE().loss(network, batch64[0], labels, progress, rng).backward()
        gradients.append(network.model.conv1[0].weight.grad.clone())
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize("params", [{"temperature": 0}, {"alpha": 1.1}, {"alpha": -0.1}, {"projection": -1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.supcon_cnce.{next(iter(params))}"):
        make("supcon_cnce", params)
