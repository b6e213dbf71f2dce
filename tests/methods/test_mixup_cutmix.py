"""Mixup or CutMix: each branch against its formula, and how often each is taken."""

import pytest
import torch
from reference import mixing

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.mixup_cutmix import MixupCutMix
from benchmark.registry import method as make


@pytest.mark.parametrize("seed", range(10))
def test_loss_equals_the_loop(resnet64, batch64, progress, seed):
    images, labels = batch64
    method = MixupCutMix(mixup_alpha=0.8, cutmix_alpha=1.5)
    loss = method.loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))

    same = torch.Generator().manual_seed(seed)
    cut = mixing.uniform(same) < 0.5
    mask = lam = draws.beta(1.5 if cut else 0.8, same)
    order = mixing.permutation(6, same)
    if cut:
        mask = mixing.box_mask(32, 32, 1 - lam, mixing.uniform(same), mixing.uniform(same))
        lam = mask.mean()
    logits = resnet64(torch.from_numpy(mixing.blend(images, order, mask)))
    expected = mixing.cross_entropy(logits, mixing.blend(mixing.one_hot(labels, 4), order, lam))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def cut(method, generator):
    """Whether a batch was cut: then every pixel is one of the sources."""
    mixed, _ = method.mix(mixing.sources(7, 8, 8), torch.eye(7), generator)
    return bool((mixed == mixed.round()).all())


def test_the_coin_is_fair_and_its_ends_are_the_two_methods():
    generator = torch.Generator().manual_seed(0)
    assert not any(cut(MixupCutMix(switch_probability=0), generator) for _ in range(50))
    assert all(cut(MixupCutMix(switch_probability=1), generator) for _ in range(50))
    assert 440 < sum(cut(MixupCutMix(), generator) for _ in range(1000)) < 560  # four standard deviations are 63


@pytest.mark.parametrize(
    "params", [{"mixup_alpha": 0}, {"cutmix_alpha": 0}, {"switch_probability": 1.1}, {"switch_probability": -0.1}]
)
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.mixup_cutmix.{next(iter(params))}"):
        make("mixup_cutmix", params)
