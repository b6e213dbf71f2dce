import itertools
import math

import pytest
import torch
from reference import read_outs
from torch import Tensor

from benchmark.probes import clustering

TO_COARSE = torch.tensor([0, 1, 0, 2, 0])  # superclasses of three, one and one fine classes


@pytest.fixture
def clouds(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Well separated directions, lengths that say nothing."""
    fine = torch.arange(5).repeat_interleave(torch.tensor([8, 5, 12, 3, 6]))[torch.randperm(34, generator=rng)]
    features = torch.eye(5, 7)[fine] + 0.05 * torch.randn(34, 7, generator=rng)
    return features * (0.1 + 10 * torch.rand(34, 1, generator=rng)), fine


def partition(clusters: Tensor) -> list[tuple[int, ...]]:
    return sorted(tuple((clusters == c).nonzero().flatten().tolist()) for c in clusters.unique())


def test_separate_clouds_are_found(clouds: tuple[Tensor, Tensor]) -> None:
    features, fine = clouds
    clusters = clustering.predict(features, fine, TO_COARSE, seed=3)
    first = TO_COARSE[fine] == 0
    assert partition(clusters[first]) == partition(fine[first])
    assert sorted(clusters[first].unique().tolist()) == [0, 1, 2]
    assert clusters[~first].tolist() == [0] * 8  # superclasses of one fine class
    assert clustering.agreement(clusters[first], fine[first]) == pytest.approx((1, 1))


def test_fine_labels_give_the_number_of_clusters_and_nothing_else(clouds: tuple[Tensor, Tensor]) -> None:
    features, fine = clouds
    first = (TO_COARSE[fine] == 0).nonzero().flatten()
    others = fine.clone()
    others[first] = fine[first.flip(0)]
    expected = clustering.predict(features, fine, TO_COARSE, seed=3)
    assert torch.equal(clustering.predict(features, others, TO_COARSE, seed=3), expected)


def test_classes_without_test_images_are_not_looked_for(clouds: tuple[Tensor, Tensor]) -> None:
    kept = clouds[1] != 4
    clusters = clustering.predict(clouds[0][kept], clouds[1][kept], TO_COARSE, seed=3)
    assert clusters.max() == 1


def test_one_seed_gives_one_clustering(rng: torch.Generator) -> None:
    features, fine = torch.randn(60, 4, generator=rng), torch.randint(5, (60,), generator=rng)
    clusters = [clustering.predict(features, fine, TO_COARSE, seed) for seed in (2**62 + 1, 2**62 + 1, 5)]
    assert torch.equal(clusters[0], clusters[1])
    assert not torch.equal(clusters[0], clusters[2])


def test_collapsed_features_are_one_cluster() -> None:
    fine = torch.tensor([0, 2, 4, 0, 2, 4, 0])
    clusters = clustering.predict(torch.ones(7, 3), fine, TO_COARSE, seed=0)
    ami, accuracy = clustering.agreement(clusters, fine)
    assert ami == pytest.approx(0, abs=1e-12)
    assert accuracy == pytest.approx(3 / 7)  # the largest class


@pytest.mark.parametrize(
    ("clusters", "fine"),
    [
        ([0, 0, 1, 1, 2, 2, 2], [5, 5, 5, 6, 6, 7, 7]),
        ([0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1]),
        ([0, 0, 0, 0, 1, 1], [0, 1, 2, 2, 1, 1]),
        ([0, 1, 2, 3, 0], [0, 0, 1, 1, 1]),
    ],
)
def test_agreement_equals_the_reference(clusters: list[int], fine: list[int]) -> None:
    ami, accuracy = clustering.agreement(torch.tensor(clusters), torch.tensor(fine))
    assert ami == pytest.approx(read_outs.adjusted_mutual_information(clusters, fine), abs=1e-9)
    assert accuracy == pytest.approx(read_outs.matched_accuracy(clusters, fine), abs=1e-12)


def test_names_of_clusters_mean_nothing() -> None:
    clusters, fine = torch.tensor([0, 0, 1, 2, 2, 1, 0]), torch.tensor([0, 0, 1, 2, 1, 1, 2])
    expected = clustering.agreement(clusters, fine)
    for names in itertools.permutations(range(3)):
        assert clustering.agreement(torch.tensor(names)[clusters], fine) == pytest.approx(expected, abs=1e-12)


def test_one_fine_class_has_no_agreement() -> None:
    assert all(math.isnan(value) for value in clustering.agreement(torch.tensor([0, 1]), torch.tensor([3, 3])))
    assert all(math.isnan(value) for value in clustering.agreement(torch.tensor([]).long(), torch.tensor([]).long()))
