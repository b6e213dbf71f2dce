"""SimCLR: against NT-Xent pair by pair, and that no label reaches the encoder."""

import math
from copy import deepcopy

import numpy as np
import pytest
import torch

from benchmark.errors import InputError
from benchmark.methods.simclr import SimCLR
from benchmark.registry import method as make


def nt_xent(z, temperature):
    """Equation 1 of the paper for every ordered pair of views, then their mean."""
    half, total = len(z) // 2, 0.0
    for i in range(2 * half):
        weights = [math.exp(np.dot(z[i], zk) / np.linalg.norm(z[i]) / np.linalg.norm(zk) / temperature) for zk in z]
        total -= math.log(weights[(i + half) % (2 * half)] / (sum(weights) - weights[i]))
    return total / (2 * half)


def coarse(network, features, labels):
    total = 0.0
    for z, y in zip(features.numpy(), labels.tolist() * 2, strict=True):
        logits = network.weight.detach().numpy() @ z + network.bias.detach().numpy()
        total += math.log(np.exp(logits).sum()) - logits[y]
    return total / len(features)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("params", [{}, {"temperature": 0.1}])
def test_equals_nt_xent(linear64, progress, params, seed):
    method, generator = SimCLR(**params), torch.Generator().manual_seed(seed)
    head = method.auxiliary(linear64, generator).double()
    vars(linear64)["auxiliary"] = head
    features = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (6,), generator=generator)
    loss = method.loss(linear64, features, labels, progress, generator)

    w1, b1, w2, b2 = (p.detach().numpy() for p in head.parameters())
    projected = np.maximum(features.numpy() @ w1.T + b1, 0) @ w2.T + b2
    expected = nt_xent(projected, method.temperature) + coarse(linear64, features, labels)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_no_label_reaches_the_encoder(resnet64, batch64, progress, rng):
    network = deepcopy(resnet64)
    network.auxiliary = SimCLR().auxiliary(network, rng).double()
    gradients = []
    for labels in (torch.tensor([0, 1, 2]), torch.tensor([3, 3, 3])):
        network.zero_grad()
        SimCLR().loss(network, batch64[0], labels, progress, rng).backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters()})
    for name, first in gradients[0].items():
        of_the_head = name in ("model.fc.weight", "model.fc.bias")
        assert torch.equal(first, gradients[1][name]) != of_the_head
    assert gradients[0]["model.conv1.0.weight"].abs().sum() > 0


def test_the_order_of_the_images_does_not_matter(linear64, progress, rng):
    features = torch.randn(10, 5, generator=rng, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 1])
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = torch.cat([features[:5][order], features[5:][order]])
    first = SimCLR().loss(linear64, features, labels, progress, rng)
    second = SimCLR().loss(linear64, shuffled, labels[order], progress, rng)
    torch.testing.assert_close(first, second)
    unpaired = torch.cat([features[:5], features[5:][order]])
    assert not torch.allclose(SimCLR().loss(linear64, unpaired, labels, progress, rng), first)


def test_views_are_two(rng):
    images = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8, generator=rng)
    assert SimCLR().views(images, rng).shape == (6, 1, 8, 8)


@pytest.mark.parametrize("params", [{"temperature": 0}, {"temperature": 0.001}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.simclr.{next(iter(params))}"):
        make("simclr", params)
