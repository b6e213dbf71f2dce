import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse import alignment as module
from benchmark.collapse.alignment import alignment, class_separation_r2, uniformity

ROUNDING = 1e-10  # float64 sums of some hundred terms of order one, ordered differently


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
    monkeypatch.setattr(module, "CHUNK", chunk)
    assert uniformity(clouds.features) == pytest.approx(whole, rel=1e-12)  # the same terms in another order


# Class separation


@pytest.mark.parametrize("level", ["fine", "coarse"])
def test_separation_equals_the_pairwise_reference(level: str, clouds) -> None:
    labels = getattr(clouds, level)
    expected = metrics.class_separation_r2(clouds.features, labels)
    assert class_separation_r2(clouds.features, labels) == pytest.approx(expected, rel=ROUNDING)


def test_separation_of_a_hand_worked_case() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, -3.0]])
    # class 0: mean of u (1/2, 1/2), distance within 1 - 1/2 = 1/2; class 1: one image, 0; mean 1/4
    # between: mean of the class means (1/4, -1/4), 1 - 1/8 = 7/8; R² = 1 - (1/4) / (7/8) = 5/7
    assert class_separation_r2(features, torch.tensor([0, 0, 1])) == pytest.approx(5 / 7, rel=1e-12)


def test_separation_of_collapsed_classes_is_one() -> None:
    features = simplex(3).repeat_interleave(torch.tensor([1, 4, 2]), dim=0)
    # no distance within: 1 - 0 / total
    labels = torch.tensor([0, 1, 1, 1, 1, 2, 2])
    assert class_separation_r2(features, labels) == pytest.approx(1, rel=1e-12)


def test_separation_of_equal_classes_is_zero() -> None:
    # both classes hold (1, 0) and (0, 1) in equal shares: as far within as between
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(3, 1)
    assert class_separation_r2(features, torch.tensor([0, 0, 1, 1, 1, 1])) == pytest.approx(0, abs=1e-12)


def test_separation_of_one_direction_is_undefined() -> None:
    features = torch.tensor([[0.3, 0.7], [0.6, 1.4], [0.9, 2.1]], dtype=torch.float64)
    assert math.isnan(class_separation_r2(features, torch.tensor([0, 0, 1])))


# Invariances of all three


MEASURES = {
    "alignment": lambda features, labels: alignment(features, labels),
    "uniformity": lambda features, labels: uniformity(features),
    "class_separation_r2": class_separation_r2,
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


@pytest.mark.parametrize("name", ["alignment", "class_separation_r2"])
def test_the_names_of_classes_change_nothing(name: str, clouds, renamed: Tensor) -> None:
    measure = MEASURES[name]
    other = measure(clouds.features, renamed[clouds.fine])
    assert other == pytest.approx(measure(clouds.features, clouds.fine), rel=ROUNDING)
