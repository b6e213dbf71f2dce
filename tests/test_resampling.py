import math

import numpy as np
import pytest
import torch

from benchmark import resampling


def test_every_class_keeps_its_size(rng: torch.Generator) -> None:
    fine = torch.tensor([2, 0, 2, 1, 2, 0, 2, 4])  # no image of class 3
    drawn = resampling.weights(fine, 50, rng)
    assert drawn.shape == (50, 8)
    for label, size in {0: 2, 1: 1, 2: 4, 4: 1}.items():
        assert (drawn[:, fine == label].sum(dim=1) == size).all()
    assert (drawn[:, 3] == 1).all()  # alone in its class
    assert len(drawn.unique(dim=0)) > 20


def test_counts_are_multinomial(rng: torch.Generator) -> None:
    drawn = resampling.weights(torch.tensor([0, 1, 0, 1, 1]), 40_000, rng)
    pairs = np.bincount(drawn[:, 0].numpy(), minlength=3) / 40_000  # 0, 1 or 2 times of two draws
    np.testing.assert_allclose(pairs, [1 / 4, 1 / 2, 1 / 4], atol=5 * 0.5 / math.sqrt(40_000))
    triples = np.bincount(drawn[:, 4].numpy(), minlength=4) / 40_000  # of three draws, each with probability 1/3
    np.testing.assert_allclose(triples, [8 / 27, 12 / 27, 6 / 27, 1 / 27], atol=5 * 0.5 / math.sqrt(40_000))
    covariance = np.cov(drawn[:, [0, 1]].double().numpy().T)[0, 1]  # of different classes
    assert abs(covariance) < 0.02


def test_one_seed_gives_the_same_resamples_and_the_next_call_others() -> None:
    fine = torch.arange(30) % 4
    rng = torch.Generator().manual_seed(5)
    first, second = resampling.weights(fine, 3, rng), resampling.weights(fine, 3, rng)
    assert torch.equal(first, resampling.weights(fine, 3, torch.Generator().manual_seed(5)))
    assert not torch.equal(first, second)


def test_percentiles_by_hand() -> None:
    values = torch.arange(201.0)[torch.randperm(201)]  # 2.5 % of 200 steps is 5
    assert resampling.interval(values) == (5.0, 195.0)
    # 2.5 % of 10 steps is 0.25: outwards, to the smallest and the largest
    assert resampling.interval(torch.arange(11.0)) == (0.0, 10.0)
    assert resampling.interval(torch.tensor([3.0])) == (3.0, 3.0)


def test_undefined_resamples_are_passed_over() -> None:
    values = torch.cat([torch.arange(41.0), torch.full((7,), math.nan)])
    assert resampling.interval(values) == (1.0, 39.0)
    assert all(math.isnan(bound) for bound in resampling.interval(torch.tensor([math.nan, math.nan])))
    assert all(math.isnan(bound) for bound in resampling.interval(torch.tensor([])))
    assert resampling.interval(torch.tensor([1.0, math.inf])) == (1.0, math.inf)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_the_interval_of_an_accuracy_is_that_of_a_binomial(share: float, rng: torch.Generator) -> None:
    right = (torch.arange(1000) < 1000 * share).double()
    drawn = resampling.weights(torch.zeros(1000, dtype=torch.int64), 4000, rng)
    low, high = resampling.interval(drawn.double() @ right / 1000)
    half = 1.96 * math.sqrt(share * (1 - share) / 1000)
    assert (low, high) == pytest.approx((share - half, share + half), abs=0.1 * half)
