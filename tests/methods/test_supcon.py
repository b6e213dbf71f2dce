"""SupCon: against its double sum pair by pair, NT-Xent as a special case, and who learns from which loss."""

import math
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.errors import InputError
from benchmark.methods.shared.contrast import similarities, supervised_contrast
from benchmark.methods.supcon import SupCon
from benchmark.registry import method as make


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def one_cross_entropy(logits, label):
    return math.log(sum(math.exp(z) for z in logits)) - logits[label]


def double_sum(z, labels, temperature):
    """Equation 2 over lists of numbers, averaged over the anchors; views i and i + B share a label."""
    z = [[x / math.sqrt(dot(row, row)) for x in row] for row in z]
    labels, everyone, total = labels * 2, range(len(z)), 0.0
    for i in everyone:
        denominator = sum(math.exp(dot(z[i], z[a]) / temperature) for a in everyone if a != i)
        positives = [p for p in everyone if p != i and labels[p] == labels[i]]
        for p in positives:
            total -= math.log(math.exp(dot(z[i], z[p]) / temperature) / denominator) / len(positives)
    return total / len(z)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("params", [{}, {"temperature": 0.07}, {"temperature": 1.0}])
def test_equals_the_double_sum(linear64, progress, params, seed):
    method, generator = SupCon(**params), torch.Generator().manual_seed(seed)
    head = method.auxiliary(linear64, generator).double()
    vars(linear64)["auxiliary"] = head
    features = torch.randn(14, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (7,), generator=generator)
    loss = method.loss(linear64, features, labels, progress, generator)

    hidden = (features @ head[0].weight.T + head[0].bias).clamp(min=0)
    projected = hidden @ head[2].weight.T + head[2].bias
    assert projected.shape == (14, 128)
    logits = (features @ linear64.weight.T + linear64.bias).tolist()
    coarse = sum(one_cross_entropy(z, y) for z, y in zip(logits, labels.tolist() * 2, strict=True)) / 14
    expected = double_sum(projected.tolist(), labels.tolist(), method.temperature) + coarse
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_by_hand():
    # Two images of one class, all four projections on one line: a, a and -a, -a; t = 1.
    # An anchor a meets e^1 once and e^-1 twice, so Z = e + 2/e; its positives are all three others:
    # loss = -1/3 [(1 - log Z) + 2 (-1 - log Z)] = log Z + 1/3
    projected = torch.tensor([[2.0], [3.0], [-1.0], [-5.0]], dtype=torch.float64)
    loss = supervised_contrast(projected, torch.tensor([0, 0]), 1.0)
    assert loss.item() == pytest.approx(math.log(math.e + 2 / math.e) + 1 / 3, rel=1e-12)


def test_a_collapsed_batch_costs_the_logarithm_of_the_others():
    # All similarities are equal, so every share is 1 / (2B - 1).
    loss = supervised_contrast(torch.ones(12, 3), torch.tensor([0, 1, 0, 2, 1, 0]), 0.1)
    assert loss.item() == pytest.approx(math.log(11), rel=1e-6)


def test_labels_all_distinct_give_nt_xent(rng):
    projected = torch.randn(10, 6, generator=rng, dtype=torch.float64)
    scores = F.cosine_similarity(projected[:, None], projected[None], dim=2) / 0.3
    without_itself = scores.masked_fill(torch.eye(10, dtype=torch.bool), -torch.inf)
    nt_xent = F.cross_entropy(without_itself, torch.tensor([5, 6, 7, 8, 9, 0, 1, 2, 3, 4]))
    ours = supervised_contrast(projected, torch.tensor([7, 3, 9, 1, 0]), 0.3)
    torch.testing.assert_close(ours, nt_xent, rtol=1e-9, atol=0)


@pytest.mark.parametrize("labels", [[2], [1, 1, 1], [0, 1, 2]])
def test_degenerate_batches_have_finite_gradients(rng, labels):
    projected = torch.randn(2 * len(labels), 4, generator=rng).requires_grad_()
    loss = supervised_contrast(projected, torch.tensor(labels), 0.01)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(projected.grad).all()


def test_one_image_costs_nothing(rng):
    # Its other view is the only other: log [e^s / e^s] = 0
    assert supervised_contrast(torch.randn(2, 4, generator=rng), torch.tensor([1]), 0.1).item() == 0


def test_the_encoder_learns_from_the_contrast_alone(resnet64, batch64, progress, rng):
    images, labels = batch64[0], batch64[1][:3]
    network = deepcopy(resnet64)
    network.auxiliary = SupCon().auxiliary(network, rng).double()
    SupCon().loss(network, images, labels, progress, rng).backward()
    full = {name: p.grad.clone() for name, p in network.named_parameters()}

    network.zero_grad()
    projected = network.auxiliary(network.features(images))
    supervised_contrast(projected, labels, 0.1).backward()
    for name, parameter in network.named_parameters():
        if name in ("model.fc.weight", "model.fc.bias"):
            assert parameter.grad is None and full[name].abs().sum() > 0
        else:
            torch.testing.assert_close(full[name], parameter.grad)


def test_similarities_keep_their_precision_under_autocast(rng):
    projected = torch.randn(8, 128, generator=rng)
    full = similarities(projected, projected, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(similarities(projected, projected, 0.1), full)


def test_two_views_and_a_seeded_head_of_the_networks_width(resnet64, rng):
    method = SupCon()
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8, generator=rng)
    assert method.views(images, rng).shape == (6, 3, 8, 8)
    first, again, other = (method.auxiliary(resnet64, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert [type(layer) for layer in first] == [nn.Linear, nn.ReLU, nn.Linear]
    width = resnet64.num_features
    assert first[0].weight.shape == (width, width) and first[2].weight.shape == (128, width)
    assert torch.equal(first[2].weight, again[2].weight) and not torch.equal(first[2].weight, other[2].weight)


@pytest.mark.parametrize("params", [{"temperature": 0}, {"temperature": -1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.supcon.{next(iter(params))}"):
        make("supcon", params)
