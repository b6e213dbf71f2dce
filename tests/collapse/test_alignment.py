import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse import alignment as module
from benchmark.collapse.moments import moments

ROUNDING = 1e-10  # float64 sums of some hundred terms of order one, ordered differently


def alignment(features: Tensor, labels: Tensor) -> float:
    return float(module.alignment(moments(features, labels, unit=True)))


def alignment_between(features: Tensor, fine: Tensor, to_coarse: list[int]) -> float:
    return float(module.alignment_between(moments(features, fine, unit=True), torch.tensor(to_coarse)))


def uniformity(features: Tensor) -> float:
    return float(module.uniformity(features))


def simplex(count: int) -> Tensor:
    """The simplex ETF: `count` vectors with all angles equal, u.v = -1 / (count - 1)."""
    return torch.eye(count, dtype=torch.float64) - 1 / count


# Alignment


@pytest.mark.parametrize("level", ["fine", "coarse"])
def test_alignment_equals_the_pairwise_reference(level: str, clouds) -> None:
    labels = getattr(clouds, level)
    expected = metrics.alignment(clouds.features, labels)
    assert alignment(clouds.features, labels) == pytest.approx(expected, rel=ROUNDING)


def test_alignment_of_a_hand_worked_case() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -5.0]])
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    # class 0: one pair, (1, 0) and (0, 1), squared distance 2
    # class 1: pairs 0, 2, 2, mean 4/3; class 2 has no pair and is left out: (2 + 4/3) / 2 = 5/3
    assert alignment(features, labels) == pytest.approx(5 / 3, rel=1e-12)


def test_alignment_of_classes_of_one_direction_is_zero() -> None:
    lengths = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
    directions = torch.tensor([[3.0, 4.0], [3.0, 4.0], [3.0, 4.0], [-1.0, 1.0], [-1.0, 1.0]])
    # collapsed: every pair of a class is at distance 0; 1 - |u|² is 0 up to 1e-16
    assert 0 <= alignment(lengths[:, None] * directions, torch.tensor([0, 0, 0, 1, 1])) < 1e-14


@pytest.mark.parametrize("count", [2, 3, 7])
def test_alignment_of_a_simplex_as_one_class(count: int) -> None:
    # |u - v|² = 2 - 2 u.v = 2 + 2 / (n - 1) = 2n / (n - 1); n = 2 is an antipodal pair: the largest value, 4
    expected = 2 * count / (count - 1)
    assert alignment(simplex(count), torch.zeros(count, dtype=torch.int64)) == pytest.approx(expected, rel=1e-12)


def test_alignment_of_orthogonal_features_is_two() -> None:
    # |u - v|² = 1 + 1 for each pair, whatever the sizes 4 and 2 of the classes
    assert alignment(torch.eye(6) * 3, torch.tensor([0, 1, 0, 0, 1, 0])) == pytest.approx(2, rel=1e-12)


def test_alignment_is_undefined_without_a_class_of_two() -> None:
    assert math.isnan(alignment(torch.eye(3), torch.arange(3)))


def test_alignment_leaves_out_classes_of_one_image(clouds) -> None:
    kept = clouds.fine != 4
    whole = alignment(clouds.features, clouds.fine)
    assert whole == pytest.approx(alignment(clouds.features[kept], clouds.fine[kept]), rel=ROUNDING)


def test_alignment_in_one_dimension_counts_signs() -> None:
    # signs + + -: distances 0, 4, 4, mean 8/3
    features = torch.tensor([[5.0], [0.1], [-2.0]])
    assert alignment(features, torch.zeros(3, dtype=torch.int64)) == pytest.approx(8 / 3, rel=1e-12)


# Uniformity


def test_uniformity_equals_the_pairwise_reference(clouds) -> None:
    assert uniformity(clouds.features) == pytest.approx(metrics.uniformity(clouds.features), rel=ROUNDING)


def test_uniformity_with_fewer_images_than_dimensions(rng: torch.Generator) -> None:
    features = torch.randn(4, 9, generator=rng, dtype=torch.float64)
    assert uniformity(features) == pytest.approx(metrics.uniformity(features), rel=ROUNDING)


def test_uniformity_of_a_hand_worked_case() -> None:
    features = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    # squared distances 2, 0, 2: mean of exp(-4), exp(0), exp(-4)
    expected = math.log((2 * math.exp(-4) + 1) / 3)
    assert uniformity(features) == pytest.approx(expected, rel=1e-12)


def test_uniformity_of_one_direction_is_zero() -> None:
    # every squared distance is 0: log exp(0) = 0, and never above it by rounding
    features = torch.tensor([0.3, 0.7, 0.9]).repeat(5, 1)
    assert -1e-14 < uniformity(features) <= 0


def test_uniformity_of_two_antipodal_features_is_minus_eight() -> None:
    # |u - v|² = 4: log exp(-8)
    assert uniformity(torch.tensor([[1.0, 2.0], [-2.0, -4.0]])) == pytest.approx(-8, rel=1e-12)


@pytest.mark.parametrize("count", [3, 5])
def test_uniformity_of_a_simplex(count: int) -> None:
    # every squared distance is 2n / (n - 1): log exp(-4n / (n - 1))
    assert uniformity(simplex(count)) == pytest.approx(-4 * count / (count - 1), rel=1e-12)


def test_uniformity_of_orthogonal_features_is_minus_four() -> None:
    assert uniformity(torch.eye(5)) == pytest.approx(-4, rel=1e-12)  # every squared distance is 2


def test_uniformity_of_one_image_is_undefined() -> None:
    assert math.isnan(uniformity(torch.ones(1, 3)))


@pytest.mark.parametrize("chunk", [1, 3, 13, 25, 26, 27])
def test_uniformity_does_not_depend_on_the_chunks(chunk: int, clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = uniformity(clouds.features)
    monkeypatch.setattr(module, "BLOCK", chunk)
    assert uniformity(clouds.features) == pytest.approx(whole, rel=1e-12)  # the same terms in another order


# Alignment between fine classes


TO_COARSE = [0, 0, 1, 1, 1, 2]


def test_alignment_between_equals_the_pairwise_reference(clouds) -> None:
    expected = metrics.alignment_between(clouds.features, clouds.fine, clouds.coarse)
    assert alignment_between(clouds.features, clouds.fine, TO_COARSE) == pytest.approx(expected, rel=ROUNDING)


def test_alignment_between_of_a_hand_worked_case() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 1.0]])
    # superclass 0: fine 0 has (1, 0) and (0, 1), fine 1 has (-1, 0): distances 4 and 2, mean 3
    # superclass 1 has the one fine class 2 and no pair
    assert alignment_between(features, torch.tensor([0, 0, 1, 2]), [0, 0, 1]) == pytest.approx(3, rel=1e-12)


def test_alignment_between_of_a_superclass_of_one_direction_is_zero() -> None:
    features = torch.tensor([[3.0, 4.0]]).repeat(5, 1)
    assert 0 <= alignment_between(features, torch.tensor([0, 0, 1, 1, 1]), [0, 0]) < 1e-14


def test_alignment_between_without_two_fine_classes_is_undefined(clouds) -> None:
    assert math.isnan(alignment_between(clouds.features, clouds.fine, [0, 1, 2, 3, 4, 5]))


def test_all_pairs_of_a_superclass_are_those_within_and_those_between(clouds) -> None:
    inside = clouds.coarse == 0  # fine classes of 2 and 5 images: 2, 20 and 2 * 10 ordered pairs of 42
    features, fine = clouds.features[inside], clouds.fine[inside]
    within = [alignment(features[fine == label], fine[fine == label]) for label in (0, 1)]
    between = alignment_between(features, fine, [0, 0])
    expected = (2 * within[0] + 20 * within[1] + 20 * between) / 42
    assert alignment(features, torch.zeros_like(fine)) == pytest.approx(expected, rel=ROUNDING)


def test_uniformity_of_many_images_is_of_evenly_spaced_ones(rng: torch.Generator, monkeypatch) -> None:
    features = torch.randn(3000, 6, generator=rng) + 0.5
    whole = uniformity(features)
    monkeypatch.setattr(module, "UNIFORMITY_IMAGES", 1000)
    part = uniformity(features)
    # a U-statistic of 1000 images: its standard error here, over 20 random thousands, is 0.01
    assert part == pytest.approx(whole, abs=0.03)
    assert part != whole
    assert uniformity(features[torch.randperm(3000, generator=rng)]) == pytest.approx(part, rel=1e-9)


def test_uniformity_of_resamples_leaves_out_pairs_of_copies(clouds, rng: torch.Generator) -> None:
    weights = torch.randint(3, (4, 26), generator=rng)
    values = module.uniformity(clouds.features, weights)
    u = metrics.unit(clouds.features)
    for value, counts in zip(values.tolist(), weights.tolist(), strict=True):
        pairs = [(i, j) for i in range(26) for j in range(26) if i != j]
        total = sum(counts[i] * counts[j] * math.exp(-2 * sum((u[i] - u[j]) ** 2)) for i, j in pairs)
        assert value == pytest.approx(math.log(total / sum(counts[i] * counts[j] for i, j in pairs)), rel=ROUNDING)


# Invariances of all three


MEASURES = {
    "alignment": lambda features, labels: alignment(features, labels),
    "uniformity": lambda features, labels: uniformity(features),
    "alignment_between": lambda features, labels: alignment_between(features, labels, [0, 0, 1]),
}


@pytest.mark.parametrize("name", MEASURES)
def test_rotation_changes_nothing(name: str, clouds, rotation: Tensor) -> None:
    measure = MEASURES[name]
    rotated = measure(clouds.features @ rotation, clouds.coarse)
    assert rotated == pytest.approx(measure(clouds.features, clouds.coarse), rel=ROUNDING)


@pytest.mark.parametrize("name", MEASURES)
def test_the_lengths_of_features_change_nothing(name: str, clouds, rng: torch.Generator) -> None:
    measure = MEASURES[name]
    lengths = torch.rand(26, 1, generator=rng, dtype=torch.float64) * 100 + 0.01
    stretched = measure(clouds.features * lengths, clouds.coarse)
    assert stretched == pytest.approx(measure(clouds.features, clouds.coarse), rel=ROUNDING)


@pytest.mark.parametrize("name", MEASURES)
def test_the_order_of_images_changes_nothing(name: str, clouds, shuffle: Tensor) -> None:
    measure = MEASURES[name]
    shuffled = measure(clouds.features[shuffle], clouds.coarse[shuffle])
    assert shuffled == pytest.approx(measure(clouds.features, clouds.coarse), rel=ROUNDING)


@pytest.mark.parametrize("name", ["alignment"])
def test_the_names_of_classes_change_nothing(name: str, clouds, renamed: Tensor) -> None:
    measure = MEASURES[name]
    other = measure(clouds.features, renamed[clouds.fine])
    assert other == pytest.approx(measure(clouds.features, clouds.fine), rel=ROUNDING)
