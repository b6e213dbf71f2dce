import pytest
import torch
from torch import Tensor

from benchmark.collapse import groups
from benchmark.collapse.alignment import alignment, class_separation_r2, uniformity
from benchmark.collapse.neural_collapse import nc1
from benchmark.collapse.rank import rankme
from benchmark.collapse.separability import subclass_separability

DIRECTIONAL = {
    "alignment": alignment,
    "uniformity": lambda features, labels: uniformity(features),
    "class_separation_r2": class_separation_r2,
    "subclass_separability": lambda features, labels: subclass_separability(features, labels, labels),
}
ALL = DIRECTIONAL | {"nc1": nc1, "rankme": lambda features, labels: rankme(features)}
LABELLED = {name: ALL[name] for name in ("alignment", "class_separation_r2", "subclass_separability", "nc1")}


def test_class_means_of_a_hand_worked_case() -> None:
    features = torch.tensor([[1.0, 0.0], [4.0, 4.0], [3.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
    means, sizes, position = groups.class_means(features, torch.tensor([9, 2, 9, 9]))
    # label 2: (4, 4); label 9: ((1 + 3 + 2) / 3, (0 + 2 + 1) / 3) = (2, 1)
    expected = torch.tensor([[4.0, 4.0], [2.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(means, expected, rtol=0, atol=1e-15)  # one rounding of a division by 3
    assert sizes.tolist() == [1, 3]
    assert position.tolist() == [1, 0, 1, 1]


def test_unit_features_have_length_one_in_float64(rng: torch.Generator) -> None:
    features = torch.randn(7, 3, generator=rng)
    unit = groups.unit(features)
    assert unit.dtype == torch.float64
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(7, dtype=torch.float64), rtol=0, atol=1e-15)
    lengths = features.double().norm(dim=1, keepdim=True)
    torch.testing.assert_close(unit * lengths, features.double(), rtol=1e-15, atol=0)


@pytest.mark.parametrize("length", [1e-30, 1e-13, 1e30])
def test_unit_features_do_not_depend_on_the_scale(length: float) -> None:
    unit = groups.unit(torch.tensor([[3.0, -4.0]]) * length)
    # 3-4-5 triangle; float32 inputs of such lengths are off by their own rounding, 6e-8 relative
    torch.testing.assert_close(unit, torch.tensor([[0.6, -0.8]], dtype=torch.float64), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_every_metric_refuses_features_that_are_not_finite(name: str, value: float) -> None:
    features = torch.ones(4, 3)
    features[2, 1] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        ALL[name](features, torch.tensor([0, 0, 1, 1]))


@pytest.mark.parametrize("name", DIRECTIONAL)
def test_every_metric_of_directions_refuses_a_zero_feature(name: str) -> None:
    features = torch.ones(4, 3)
    features[2] = 0
    with pytest.raises(ValueError, match="1 of 4 features are zero"):
        DIRECTIONAL[name](features, torch.tensor([0, 0, 1, 1]))


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize("count", [3, 5])
def test_every_metric_refuses_labels_of_another_length(name: str, count: int, rng: torch.Generator) -> None:
    labels = torch.arange(count) % 2
    with pytest.raises(ValueError, match=r"expected labels \(4,\)"):
        LABELLED[name](torch.randn(4, 3, generator=rng), labels)


def test_separability_refuses_coarse_labels_of_another_length(rng: torch.Generator) -> None:
    with pytest.raises(ValueError, match=r"expected labels \(4,\)"):
        subclass_separability(torch.randn(4, 3, generator=rng), torch.arange(4), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(4,), (4, 0), (0, 3), (4, 3, 1)])
def test_every_metric_refuses_features_that_are_no_matrix(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected features \(N, D\)"):
        ALL[name](torch.ones(shape), torch.zeros(shape[0], dtype=torch.int64))


@pytest.mark.parametrize("name", ALL)
def test_every_metric_leaves_its_inputs_as_they_were(name: str, clouds: tuple[Tensor, Tensor, Tensor]) -> None:
    features, labels, _ = clouds
    before = features.clone(), labels.clone()
    ALL[name](features, labels)
    assert torch.equal(features, before[0])
    assert torch.equal(labels, before[1])
