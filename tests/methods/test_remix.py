"""Remix: against a loop over pairs, and its three cases by hand."""

import numpy as np
import pytest
import torch

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.base import Progress
from benchmark.methods.mixup import Mixup
from benchmark.methods.remix import Remix
from benchmark.registry import method as make


def label_share(n_i, n_j, lam, kappa, tau):
    """Equation of the paper, one pair."""
    if n_i / n_j >= kappa and lam < tau:
        return 0.0
    if n_i / n_j <= 1 / kappa and 1 - lam < tau:
        return 1.0
    return lam


def test_equals_a_loop_over_pairs(resnet64, batch64, progress):
    images, labels = batch64
    counts, met = [40, 30, 20, 10], set()
    for seed in range(10):
        loss = Remix(tau=0.6).loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))
        same = torch.Generator().manual_seed(seed)
        lam, order = draws.beta(1.0, same), torch.randperm(6, generator=same).tolist()
        mixed = torch.stack([lam * images[i] + (1 - lam) * images[j] for i, j in enumerate(order)])
        total = 0.0
        for i, (j, z) in enumerate(zip(order, resnet64(mixed).detach().numpy(), strict=True)):
            log_p = z - np.log(np.exp(z).sum())
            share = label_share(counts[labels[i]], counts[labels[j]], lam, 3.0, 0.6)
            total -= share * log_p[labels[i]] + (1 - share) * log_p[labels[j]]
            met.add("lam" if share == lam else share)
        assert loss.item() == pytest.approx(total / 6, rel=1e-6)
    assert met == {0.0, 1.0, "lam"}


def test_the_three_cases_by_hand():
    # kappa = 3, tau = 1/2; pairs of sizes (30, 10), (10, 30), (20, 10), (10, 20): ratios 3, 1/3, 2, 1/2
    sizes = torch.tensor([30.0, 10.0, 20.0, 10.0])
    order = torch.tensor([1, 0, 3, 2])
    for lam, expected in (
        (0.4, [0.0, 0.4, 0.4, 0.4]),  # lam < tau: the large first image of ratio 3 loses its label
        (0.7, [0.7, 1.0, 0.7, 0.7]),  # 1 - lam < tau: the small first image of ratio 1/3 takes all
        (0.5, [0.5, 0.5, 0.5, 0.5]),  # neither is below tau
    ):
        torch.testing.assert_close(Remix().label_share(sizes, order, lam), torch.tensor(expected))


def test_balanced_classes_make_it_mixup(resnet64, batch64):
    balanced = Progress(epoch=0, fraction=0.0, train_acc=0.0, class_counts=torch.full((4,), 25))
    for seed in range(4):
        remix, mixup = (
            method.loss(resnet64, *batch64, balanced, torch.Generator().manual_seed(seed))
            for method in (Remix(), Mixup())
        )
        torch.testing.assert_close(remix, mixup, rtol=1e-12, atol=0)


@pytest.mark.parametrize("params", [{"alpha": 0}, {"kappa": 1}, {"tau": -0.1}, {"tau": 1.1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.remix.{next(iter(params))}"):
        make("remix", params)
