"""Long tails and imbalanced subclasses: the published counts, and a draw that keeps them."""

import numpy as np
import pytest

from benchmark.data.imbalance import long_tail_counts, subclass_counts, thin


@pytest.mark.parametrize(
    ("largest", "classes", "factor", "images"),
    [  # sizes of the CIFAR-LT training sets that papers print, e.g. Table 1 of Zhou et al., BBN (CVPR 2020)
        (5000, 10, 100, 12406),
        (5000, 10, 50, 13996),
        (5000, 10, 10, 20431),
        (500, 100, 100, 10847),
        (500, 100, 50, 12608),
        (500, 100, 10, 19573),
    ],
)
def test_counts_add_up_to_the_published_sets(largest: int, classes: int, factor: float, images: int):
    counts = long_tail_counts(largest, classes, factor)
    assert sum(counts) == images
    assert counts[0] == largest
    assert counts[-1] == largest // factor
    assert counts == sorted(counts, reverse=True)


def test_one_class_keeps_all():
    assert long_tail_counts(7, 1, 100) == [7]


def test_subclass_counts_follow_the_order_within_each_superclass():
    assert subclass_counts([1, 0, 1, 0, 2, 2], [50, 5]) == [50, 50, 5, 5, 50, 5]


def test_thin_takes_the_first_after_one_shuffle_for_each_class():
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 1])
    published = np.random.RandomState(0)  # the published code's np.random.seed(0), without the global generator
    zeros, ones = published.permutation([0, 2, 4, 6]), published.permutation([1, 3, 5, 7, 8])
    assert thin(labels, [2, 3]).tolist() == sorted([*zeros[:2], *ones[:3]])


def test_thin_keeps_what_there_is():
    assert thin(np.array([0, 0, 1, 1, 1]), [9, 9]).tolist() == [0, 1, 2, 3, 4]
