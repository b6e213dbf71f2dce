import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse import neural_collapse as module
from benchmark.collapse.moments import moments, within_root

ROUNDING = 1e-8  # the reference inverts S_B, whose condition number is the square of that of the centred means


def nc1(features: Tensor, labels: Tensor) -> float:
    of = moments(features, labels)
    return float(module.nc1(of, within_root(features, labels, of)))


def nc2(features: Tensor, labels: Tensor) -> tuple[float, float]:
    of = moments(features, labels)
    return float(module.equinorm(of)), float(module.equiangular(of))


def nc3(features: Tensor, labels: Tensor, weight: Tensor) -> float:
    return float(module.nc3(moments(features, labels), weight))


def nc4(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> float:
    return float(module.nc4(features, moments(features, labels), (weight, bias)).mean())


def simplex(count: int) -> Tensor:
    """The simplex ETF: `count` vectors of equal length with all angles equal."""
    return torch.eye(count, dtype=torch.float64) - 1 / count


@pytest.fixture
def head(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random classifier of six classes on five dimensions."""
    return torch.randn(6, 5, generator=rng), torch.randn(6, generator=rng)


# NC1


@pytest.mark.parametrize("level", ["fine", "coarse"])
def test_equals_the_reference_with_a_pseudo_inverse(level: str, clouds) -> None:
    labels = getattr(clouds, level)  # coarse: rank K - 1 = 2 of 5; fine: full rank 5
    assert nc1(clouds.features, labels) == pytest.approx(metrics.nc1(clouds.features, labels), rel=ROUNDING)


def test_equals_the_reference_with_fewer_images_than_dimensions(rng: torch.Generator) -> None:
    features = torch.randn(7, 12, generator=rng, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 0, 0, 1, 2])
    assert nc1(features, labels) == pytest.approx(metrics.nc1(features, labels), rel=ROUNDING)


def test_equals_the_reference_with_more_classes_than_dimensions(rng: torch.Generator) -> None:
    features = torch.randn(30, 2, generator=rng, dtype=torch.float64)
    labels = torch.arange(30) % 7
    assert nc1(features, labels) == pytest.approx(metrics.nc1(features, labels), rel=ROUNDING)


def test_hand_worked_case_in_one_dimension() -> None:
    # means 1 and 5, their mean 3 (not 7/3, the mean of images); S_W = (1 + 1 + 0) / 3 = 2/3
    # S_B = ((1 - 3)² + (5 - 3)²) / 2 = 4; (2/3) / 4 / K = 1/12
    features = torch.tensor([[0.0], [2.0], [5.0]])
    assert nc1(features, torch.tensor([0, 0, 1])) == pytest.approx(1 / 12, rel=1e-12)


def test_simplex_means_with_equal_noise_in_every_direction() -> None:
    # class k: a e_k ± b e_j for j = 1, 2, 3. S_W = (2 b² / 6) I = (b² / K) I
    # S_B = (a² / K) (I - 11ᵀ / K) has K - 1 eigenvalues a² / K; the trace is (K - 1) b² / a²
    # a = 2, b = 1/2, K = 3: 2/3 * (1/4) / 4 = 1/24
    noise = torch.cat([torch.eye(3), -torch.eye(3)]) / 2
    features = torch.cat([2 * row + noise for row in torch.eye(3)])
    assert nc1(features, torch.arange(3).repeat_interleave(6)) == pytest.approx(1 / 24, rel=1e-12)


def test_classes_of_one_point_give_zero(rng: torch.Generator) -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    points = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    assert 0 <= nc1(points[labels], labels) < 1e-25  # squared rounding errors of three equal terms


def test_spread_outside_the_span_of_the_means_does_not_count(clouds, rng: torch.Generator) -> None:
    # a further dimension with the same mean, 0, in each class: S_B⁺ is zero there
    extra = torch.randn(26, 1, generator=rng, dtype=torch.float64)
    for label in range(3):
        extra[clouds.coarse == label] -= extra[clouds.coarse == label].mean()
    wider = torch.cat([clouds.features, extra], dim=1)
    assert nc1(wider, clouds.coarse) == pytest.approx(nc1(clouds.features, clouds.coarse), rel=ROUNDING)


def test_means_on_a_line_use_only_the_line() -> None:
    # means (-3, 0), (0, 0), (3, 0), two images each at ±(1, 10): S_W along the line 1, S_B = 18/3 = 6; 1/6 / K = 1/18
    spread = torch.tensor([[1.0, 10.0], [-1.0, -10.0]])
    features = torch.cat([spread + torch.tensor([x, 0.0]) for x in (-3.0, 0.0, 3.0)])
    assert nc1(features, torch.tensor([0, 0, 1, 1, 2, 2])) == pytest.approx(1 / 18, rel=1e-12)


def test_a_class_of_one_image_has_a_mean_and_no_spread(clouds) -> None:
    features = clouds.features.clone()
    single = int((clouds.fine == 4).nonzero())
    features[single] += 100
    # farther away it adds to the scatter between and nothing to the scatter within
    assert 0 < nc1(features, clouds.fine) < nc1(clouds.features, clouds.fine)


def test_one_class_is_undefined(rng: torch.Generator) -> None:
    assert math.isnan(nc1(torch.randn(5, 3, generator=rng), torch.zeros(5, dtype=torch.int64)))


@pytest.mark.parametrize("offset", [0.0, 1.0, 1000.0])
def test_coinciding_means_are_undefined(offset: float, rng: torch.Generator) -> None:
    half = torch.randn(6, 3, generator=rng, dtype=torch.float64) + offset
    # the same images in another order: the means agree up to rounding only
    features = torch.cat([half, half.flip(0)])
    assert math.isnan(nc1(features, torch.arange(2).repeat_interleave(6)))


def test_constant_features_are_undefined() -> None:
    assert math.isnan(nc1(torch.full((6, 3), 0.1), torch.tensor([0, 0, 0, 0, 1, 1])))
    assert math.isnan(nc1(torch.zeros(6, 3), torch.tensor([0, 0, 0, 0, 1, 1])))


def test_rotation_and_scale_and_shift_change_nothing(clouds, rotation: Tensor) -> None:
    moved = 1e-3 * clouds.features @ rotation + 5
    # the shift is 5,000 times the spread, which costs four digits
    assert nc1(moved, clouds.coarse) == pytest.approx(nc1(clouds.features, clouds.coarse), rel=1e-8)


def test_a_linear_map_changes_nothing_at_full_rank(clouds, rng: torch.Generator) -> None:
    # S_W -> A S_W Aᵀ and S_B⁻¹ -> A⁻ᵀ S_B⁻¹ A⁻¹ leave the trace; needs K - 1 >= D: 5 and 5
    skew = torch.eye(5, dtype=torch.float64) + 0.1 * torch.randn(5, 5, generator=rng, dtype=torch.float64)
    expected = nc1(clouds.features, clouds.fine)
    assert nc1(clouds.features @ skew, clouds.fine) == pytest.approx(expected, rel=ROUNDING)


def test_order_and_names_change_nothing(clouds, shuffle: Tensor, renamed: Tensor) -> None:
    other = nc1(clouds.features[shuffle], renamed[clouds.fine[shuffle]])
    assert other == pytest.approx(nc1(clouds.features, clouds.fine), rel=ROUNDING)


# NC2


@pytest.mark.parametrize("level", ["fine", "coarse"])
def test_nc2_equals_the_reference(level: str, clouds) -> None:
    labels = getattr(clouds, level)
    assert nc2(clouds.features, labels) == pytest.approx(metrics.nc2(clouds.features, labels), rel=1e-10)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_nc2_of_a_simplex_is_zero(count: int) -> None:
    labels = torch.arange(count).repeat(2)
    spread = torch.tensor([[0.1], [-0.1]], dtype=torch.float64).repeat_interleave(count, dim=0)
    # two images around each vertex, far from the origin
    assert nc2(simplex(count)[labels] + spread + 7, labels) == pytest.approx((0, 0), abs=1e-12)


def test_nc2_of_a_hand_worked_case() -> None:
    # means 0, 3, 9 on a line, their mean 4: arms -4, -1, 5, mean length 10/3, variance (16 + 1 + 25)/3 - 100/9 = 26/9
    # cosines 1, -1, -1; plus 1/2: 3/2, -1/2, -1/2, mean size 5/6
    features = torch.tensor([[0.0], [2.0], [4.0], [9.0]])
    equinorm, equiangular = nc2(features, torch.tensor([0, 1, 1, 2]))
    assert equinorm == pytest.approx(math.sqrt(26) / 10, rel=1e-12)
    assert equiangular == pytest.approx(5 / 6, rel=1e-12)


def test_nc2_of_two_classes_is_always_zero(clouds) -> None:
    # the two arms are opposite whatever the features
    assert nc2(clouds.features, clouds.fine % 2) == pytest.approx((0, 0), abs=1e-12)


def test_nc2_is_undefined_for_one_class_and_for_equal_means(clouds) -> None:
    assert all(math.isnan(value) for value in nc2(clouds.features, torch.zeros_like(clouds.fine)))
    assert all(math.isnan(value) for value in nc2(torch.full((4, 3), 0.1), torch.tensor([0, 0, 0, 1])))


def test_nc2_is_not_moved_by_rotation_scale_shift_order_and_names(clouds, rotation, shuffle, renamed) -> None:
    moved = (0.01 * clouds.features @ rotation + 1)[shuffle]
    expected = nc2(clouds.features, clouds.fine)
    assert nc2(moved, renamed[clouds.fine[shuffle]]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rows", [1, 4, 6])
def test_angles_do_not_depend_on_the_blocks_of_classes(rows: int, clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = nc2(clouds.features, clouds.fine)
    monkeypatch.setattr(module, "PAIR_ROWS", rows)
    assert nc2(clouds.features, clouds.fine) == pytest.approx(whole, rel=1e-12)


# NC3


@pytest.mark.parametrize("level", ["fine", "coarse"])
def test_nc3_equals_the_reference(level: str, clouds, head) -> None:
    labels = getattr(clouds, level)
    expected = metrics.nc3(clouds.features, labels, head[0])
    assert nc3(clouds.features, labels, head[0]) == pytest.approx(expected, rel=1e-10)


def test_nc3_of_a_simplex_with_its_own_vertices_is_zero_and_with_their_opposites_four() -> None:
    labels = torch.tensor([0, 1, 1, 2])
    features = simplex(3)[labels] * 5 + 1
    assert nc3(features, labels, simplex(3) * 0.3) == pytest.approx(0, abs=1e-12)
    assert nc3(features, labels, -simplex(3)) == pytest.approx(4, rel=1e-12)


def test_nc3_of_a_hand_worked_case() -> None:
    # M = (-1, 1) / sqrt(2); W = (0, 2) / 2 = (0, 1): 1/2 + (1 - 1/sqrt(2))² = 2 - sqrt(2). W is not centred
    features = torch.tensor([[3.0], [5.0]])
    expected = 2 - math.sqrt(2)
    assert nc3(features, torch.tensor([0, 1]), torch.tensor([[0.0], [2.0]])) == pytest.approx(expected, rel=1e-12)


def test_nc3_takes_the_rows_of_classes_with_images(clouds, head) -> None:
    kept = (clouds.fine == 1) | (clouds.fine == 3)
    names = clouds.fine[kept] // 2
    alone = nc3(clouds.features[kept], names, head[0][[1, 3]])
    assert nc3(clouds.features[kept], clouds.fine[kept], head[0]) == pytest.approx(alone, rel=1e-12)


def test_nc3_without_a_direction_is_undefined(clouds, head) -> None:
    assert math.isnan(nc3(clouds.features, clouds.fine, torch.zeros(6, 5)))
    assert math.isnan(nc3(torch.ones(3, 5), torch.tensor([0, 1, 1]), head[0]))


def test_nc3_of_rotated_features_and_rows_stays(clouds, head, rotation: Tensor) -> None:
    weight = head[0].double()
    expected = nc3(clouds.features, clouds.fine, weight)
    assert nc3(9 * clouds.features @ rotation, clouds.fine, weight @ rotation / 7) == pytest.approx(expected, rel=1e-10)


# NC4


@pytest.mark.parametrize("level", ["fine", "coarse"])
def test_nc4_equals_the_reference(level: str, clouds, head) -> None:
    labels = getattr(clouds, level)
    expected = metrics.nc4(clouds.features, labels, *head)
    assert nc4(clouds.features, labels, *head) == pytest.approx(expected, abs=1e-12)
    assert 0 < expected < 1


def test_nc4_of_the_nearest_mean_rule_itself_is_zero(clouds) -> None:
    means = torch.stack([torch.from_numpy(m) for m in metrics.class_means(clouds.features, clouds.fine).values()])
    # |h - mu|² is least where h.mu - |mu|²/2 is largest
    assert nc4(clouds.features, clouds.fine, means, -means.square().sum(dim=1) / 2) == 0
    assert nc4(clouds.features, clouds.fine, -means, means.square().sum(dim=1) / 2) == 1


def test_nc4_of_a_hand_worked_case() -> None:
    # means 1 and 6: the border is 3.5; the classifier's is 5: of 0, 2, 4, 8 only 4 is between
    features = torch.tensor([[0.0], [2.0], [4.0], [8.0]])
    weight, bias = torch.tensor([[0.0], [1.0]]), torch.tensor([0.0, -5.0])
    assert nc4(features, torch.tensor([0, 0, 1, 1]), weight, bias) == 1 / 4


def test_nc4_counts_an_answer_without_images_as_differing(clouds) -> None:
    weight, bias = torch.zeros(7, 5), torch.eye(7)[6]
    assert nc4(clouds.features, clouds.fine, weight, bias) == 1


def test_nc4_of_one_class_is_undefined(clouds, head) -> None:
    assert math.isnan(nc4(clouds.features, torch.zeros_like(clouds.fine), *head))


@pytest.mark.parametrize(("rows", "dimensions", "biases"), [(6, 4, 6), (6, 5, 5)])
def test_a_classifier_of_another_shape_is_refused(rows: int, dimensions: int, biases: int, clouds) -> None:
    with pytest.raises(ValueError, match=r"expected weight \(K, 5\) and bias \(K,\)"):
        nc4(clouds.features, clouds.fine, torch.zeros(rows, dimensions), torch.zeros(biases))
