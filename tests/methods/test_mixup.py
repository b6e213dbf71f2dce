"""Mixup against its formula, image by image, and its limits."""

import numpy as np
import pytest
import torch
from reference import mixing

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.base import one_hot
from benchmark.methods.mixup import Mixup
from benchmark.registry import method as make


@pytest.mark.parametrize("seed", range(5))
def test_mixup_equals_its_formula(rng, seed):
    images = torch.randn(6, 3, 8, 9, generator=rng, dtype=torch.float64)
    targets = one_hot(torch.tensor([0, 1, 2, 0, 1, 2]), 3, torch.float64)
    mixed, soft = Mixup(alpha=0.7).mix(images, targets, torch.Generator().manual_seed(seed))

    same = torch.Generator().manual_seed(seed)
    lam, order = draws.beta(0.7, same), mixing.permutation(6, same)
    np.testing.assert_allclose(mixed.numpy(), mixing.blend(images, order, lam), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(soft.numpy(), mixing.blend(targets, order, lam), rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_loss_equals_the_loop(resnet64, batch64, progress, seed):
    images, labels = batch64
    loss = Mixup().loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))

    same = torch.Generator().manual_seed(seed)
    lam, order = draws.beta(1.0, same), mixing.permutation(6, same)
    logits = resnet64(torch.from_numpy(mixing.blend(images, order, lam)))
    expected = mixing.cross_entropy(logits, mixing.blend(mixing.one_hot(labels, 4), order, lam))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_one_image_stays_as_it_is(rng):
    images, targets = torch.randn(1, 3, 8, 8, generator=rng, dtype=torch.float64), torch.eye(3).double()[:1]
    mixed, soft = Mixup().mix(images, targets, rng)
    torch.testing.assert_close(mixed, images, rtol=1e-12, atol=0)
    torch.testing.assert_close(soft, targets, rtol=1e-12, atol=0)


def test_alpha_out_of_range_is_refused():
    with pytest.raises(InputError, match=r"method\.mixup\.alpha"):
        make("mixup", {"alpha": 0})
