"""Midpoint mixup: against a loop over pairs, and as the mean of two one-sided losses."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark.errors import InputError
from benchmark.methods.midpoint_mixup import MidpointMixup
from benchmark.registry import method as make


@pytest.mark.parametrize("seed", range(4))
def test_equals_a_loop_over_pairs(resnet64, batch64, progress, seed):
    images, labels = batch64
    loss = MidpointMixup().loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed)).tolist()
    model = resnet64.model
    h = model.maxpool(model.act1(model.bn1(model.conv1(images))))
    features = model.global_pool(model.layer4(model.layer3(model.layer2(model.layer1(h))))).detach().numpy()
    weight, bias = model.fc.weight.detach().numpy(), model.fc.bias.detach().numpy()
    total = 0.0
    for i, j in enumerate(order):
        z = weight @ ((features[i] + features[j]) / 2) + bias
        log_p = z - np.log(np.exp(z).sum())
        total -= (log_p[labels[i]] + log_p[labels[j]]) / 2
    assert loss.item() == pytest.approx(total / 6, rel=1e-6)


def test_averages_the_two_one_sided_losses(resnet64, batch64, progress):
    # CE at a half-and-half label is the mean of the CEs at the two labels.
    images, labels = batch64
    loss = MidpointMixup().loss(resnet64, images, labels, progress, torch.Generator().manual_seed(3))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(3))
    features = resnet64.features(images)
    logits = resnet64.classify((features + features[order]) / 2)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits, labels[order])) / 2
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_it_has_no_parameters():
    with pytest.raises(InputError, match="unknown parameter of midpoint_mixup 'lam'"):
        make("midpoint_mixup", {"lam": 0.3})
