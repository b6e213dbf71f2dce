import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse import margins as module
from benchmark.collapse.margins import head_margins, margins

LABELS = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3])


def class_margins(logits: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    of_image = margins(logits, weight, labels)
    return torch.stack([of_image[labels == label].mean() for label in labels.unique()])


def summarised(logits: Tensor, weight: Tensor, labels: Tensor) -> dict[str, float]:
    summary = module.margin_summary(margins(logits, weight, labels), labels)
    return {name: float(value) for name, value in summary.items()}


def margin_summary(logits: Tensor, weight: Tensor, labels: Tensor) -> tuple[float, float]:
    summary = summarised(logits, weight, labels)
    return summary["margin_mean"], summary["margin_cv"]


@pytest.fixture
def head(rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of 11 unbalanced images by a random head of four classes on six dimensions, the head, the features."""
    weight = torch.randn(4, 6, generator=rng, dtype=torch.float64)
    features = weight[LABELS] + torch.randn(11, 6, generator=rng, dtype=torch.float64)
    bias = torch.randn(4, generator=rng, dtype=torch.float64)
    return features @ weight.T + bias, weight, features


def assert_equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)  # rounding of a few float64 operations


def test_class_margins_equal_the_reference(head) -> None:
    logits, weight, _ = head
    assert_equal(class_margins(logits, weight, LABELS), torch.from_numpy(metrics.class_margins(logits, weight, LABELS)))


def test_summary_is_mean_and_population_deviation_over_classes(head) -> None:
    logits, weight, _ = head
    margins = metrics.class_margins(logits, weight, LABELS)
    mean = sum(margins) / 4
    deviation = math.sqrt(sum((margin - mean) ** 2 for margin in margins) / 4)
    expected = pytest.approx((mean, deviation / abs(mean)), rel=1e-10)
    assert margin_summary(logits, weight, LABELS) == expected


# rows at distances |w0 - w1| = 5, |w0 - w2| = 10, |w1 - w2| = 5
WEIGHT = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
LOGITS = torch.tensor([[10.0, 5.0, -10.0], [0.0, 10.0, -10.0], [0.0, 5.0, 20.0]])


def test_hand_worked_case() -> None:
    # image 0, label 0: min(5/5, 20/10) = 1; image 1, label 0: min(-10/5, 10/10) = -2; class 0: -1/2
    # image 2, label 2: min(20/10, 15/5) = 2; class 2: 2
    labels = torch.tensor([0, 0, 2])
    assert class_margins(LOGITS, WEIGHT, labels).tolist() == pytest.approx([-0.5, 2], rel=1e-12)
    # mean 3/4, deviation 5/4: 5/3
    assert margin_summary(LOGITS, WEIGHT, labels) == pytest.approx((3 / 4, 5 / 3), rel=1e-12)


def test_a_margin_is_the_distance_to_the_boundary(head) -> None:
    logits, weight, features = head
    bias = logits[7] - weight @ features[7]
    margin = float(class_margins(logits[7:8], weight, LABELS[7:8]))
    ties = []
    for rival in (0, 1, 3):
        normal = (weight[2] - weight[rival]) / (weight[2] - weight[rival]).norm()
        moved = weight @ (features[7] - margin * normal) + bias
        ties.append(float(moved[2] - moved[rival]))
    # moved by the margin towards each boundary the image is on the nearest one and still before the others
    assert min(ties) == pytest.approx(0, abs=1e-12)


def test_a_simplex_head_on_its_own_rows_is_balanced() -> None:
    weight = torch.eye(4, dtype=torch.float64) - 1 / 4
    labels = torch.tensor([0, 1, 1, 2, 3, 3, 3])
    logits = (weight @ weight.T)[labels]
    # z_y - z_k = 3/4 + 1/4 = 1, |w_y - w_k| = sqrt(2): every margin 1/sqrt(2)
    mean, variation = margin_summary(logits, weight, labels)
    assert mean == pytest.approx(1 / math.sqrt(2), rel=1e-12)
    assert variation == pytest.approx(0, abs=1e-12)


def test_a_wrong_head_has_negative_margins() -> None:
    # image 0 as label 1: min(-5/5, 15/5) = -1; image 2 as label 0: min(-5/5, -20/10) = -2
    # mean -3/2, deviation 1/2: 1/3, measured in the size of the mean and so never negative
    summary = margin_summary(LOGITS[[0, 2]], WEIGHT, torch.tensor([1, 0]))
    assert summary == pytest.approx((-3 / 2, 1 / 3), rel=1e-12)


def test_mean_of_zero_has_no_variation() -> None:
    # margins 1 and -1: mean 0, so the quotient is undefined
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    mean, variation = margin_summary(logits, torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1]))
    assert mean == 0
    assert math.isnan(variation)


def test_a_class_with_the_same_row_has_no_boundary() -> None:
    # rows 0 and 1 are equal: only class 2 counts for label 0, (3 - 1) / 2 = 1
    weight = torch.tensor([[0.0], [0.0], [2.0]])
    assert class_margins(torch.tensor([[3.0, 3.0, 1.0]]), weight, torch.tensor([0])).tolist() == [1]


def test_without_any_boundary_the_margin_is_infinite() -> None:
    logits = torch.tensor([[3.0, 3.0]])
    mean, variation = margin_summary(logits, torch.zeros(2, 4), torch.tensor([0]))
    assert mean == math.inf
    assert math.isnan(variation)


def test_float32_inputs_are_computed_in_float64() -> None:
    margins = class_margins(LOGITS, WEIGHT, torch.tensor([0, 0, 2]))
    assert margins.dtype == torch.float64


def test_scaling_the_head_changes_nothing(head) -> None:
    logits, weight, _ = head
    assert_equal(class_margins(100 * logits, 100 * weight, LABELS), class_margins(logits, weight, LABELS))


def test_scaling_the_features_scales_the_margins() -> None:
    labels = torch.tensor([0, 0, 2])
    # without bias z is linear in the features; the coefficient of variation stays
    mean, variation = margin_summary(7 * LOGITS, WEIGHT, labels)
    assert (mean, variation) == pytest.approx((7 * 3 / 4, 5 / 3), rel=1e-12)


def test_what_all_classes_share_changes_nothing(head, rng: torch.Generator) -> None:
    logits, weight, _ = head
    offset = torch.randn(11, 1, generator=rng, dtype=torch.float64)
    row = torch.randn(6, generator=rng, dtype=torch.float64)
    assert_equal(class_margins(logits + offset, weight + row, LABELS), class_margins(logits, weight, LABELS))


def test_rotating_the_feature_space_changes_nothing(head, rng: torch.Generator) -> None:
    logits, weight, _ = head
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=rng, dtype=torch.float64)).Q
    assert_equal(class_margins(logits, weight @ rotation, LABELS), class_margins(logits, weight, LABELS))


def test_order_of_images_changes_nothing(head, rng: torch.Generator) -> None:
    logits, weight, _ = head
    order = torch.randperm(11, generator=rng)
    assert_equal(class_margins(logits[order], weight, LABELS[order]), class_margins(logits, weight, LABELS))


def test_classes_may_change_places(head) -> None:
    logits, weight, _ = head
    order = torch.tensor([2, 0, 3, 1])  # new class j is old class order[j]
    moved = class_margins(logits[:, order], weight[order], order.argsort()[LABELS])
    assert_equal(moved, class_margins(logits, weight, LABELS)[order])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_refused(value: float) -> None:
    logits = LOGITS.clone()
    logits[1, 1] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        margin_summary(logits, WEIGHT, torch.tensor([0, 0, 2]))


@pytest.mark.parametrize(
    ("logits", "weight", "count"),
    [(LOGITS, WEIGHT, 2), (LOGITS, WEIGHT[:2], 3), (LOGITS[:, :1], WEIGHT[:1], 3)],
    ids=["labels", "weight", "one class"],
)
def test_shapes_that_disagree_are_refused(logits: Tensor, weight: Tensor, count: int) -> None:
    with pytest.raises(ValueError, match=r"expected logits .* and K >= 2"):
        margin_summary(logits, weight, torch.zeros(count, dtype=torch.int64))


def test_share_negative_is_a_mean_over_classes() -> None:
    # label 0: margins 1 and -2; label 2: margin 2: (1/2 + 0) / 2
    assert summarised(LOGITS, WEIGHT, torch.tensor([0, 0, 2]))["margin_negative"] == 1 / 4


def test_share_negative_equals_the_reference(head) -> None:
    logits, weight, _ = head
    of_image = metrics.margins(logits, weight, LABELS)
    shares = [
        sum(of_image[i] < 0 for i in positions) / len(positions) for positions in metrics.members(LABELS).values()
    ]
    assert summarised(logits, weight, LABELS)["margin_negative"] == pytest.approx(sum(shares) / 4, rel=1e-12)


@pytest.mark.parametrize("chunk", [1, 4, 11])
def test_margins_of_features_are_those_of_their_logits(chunk: int, head, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, weight, features = head
    bias = logits[0] - weight @ features[0]
    monkeypatch.setattr("benchmark.collapse.moments.CHUNK", chunk)
    assert_equal(head_margins(features, LABELS, (weight, bias)), margins(logits, weight, LABELS))


def test_resampled_summaries_are_those_of_repeated_images(head, rng: torch.Generator) -> None:
    logits, weight, _ = head
    weights = 1 + torch.randint(3, (3, 11), generator=rng)
    weights[:, 0] = 0
    resampled = module.margin_summary(margins(logits, weight, LABELS), LABELS, weights)
    for b, counts in enumerate(weights):
        rows = torch.arange(11).repeat_interleave(counts)
        expected = summarised(logits[rows], weight, LABELS[rows])
        assert {name: float(value[b]) for name, value in resampled.items()} == pytest.approx(expected, rel=1e-10)
