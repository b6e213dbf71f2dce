import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.probes import ncm

Bank = tuple[Tensor, Tensor]


@pytest.fixture
def bank(rng: torch.Generator) -> Bank:
    """Thirty unbalanced images of four classes in five dimensions, in random order."""
    labels = torch.arange(4).repeat_interleave(torch.tensor([1, 15, 5, 9]))[torch.randperm(30, generator=rng)]
    return torch.randn(4, 5, generator=rng)[labels] + torch.randn(30, 5, generator=rng), labels


@pytest.fixture
def queries(rng: torch.Generator) -> Tensor:
    return torch.randn(40, 5, generator=rng)


def test_equals_the_reference(bank: Bank, queries: Tensor) -> None:
    assert ncm.predict(bank, queries, 4).tolist() == metrics.ncm(bank, queries)


def test_hand_worked_case() -> None:
    # class 0: (1, 0) and (0, 1), mean at 45°; class 1: (1, 0); class 2: (-1, 0). Lengths must not matter:
    # the mean of the raw features of class 0, (100, 1) / 2, would lie at 0.6°
    stored = torch.tensor([[100.0, 0.0], [0.0, 1.0], [1.0, 0.0], [-3.0, 0.0]])
    queries = torch.tensor([[5.0, 3.0], [5.0, 1.0], [-1.0, 0.5], [0.0, 1.0]])
    # at 31° nearest to 45°; at 11° nearest to 0°; at 153° to 180°; at 90° to 45°
    assert ncm.predict((stored, torch.tensor([0, 0, 1, 2])), queries, 3).tolist() == [0, 1, 2, 0]


def test_the_angle_to_the_mean_decides_and_not_its_length() -> None:
    # class 0 spreads over ±80° around the first axis: mean (cos 80°, 0), length 0.17; class 1 lies at 40°
    # at 10° the mean of class 0 is nearer in angle, though its inner product, 0.17, is far below cos 30° = 0.87
    angles = torch.deg2rad(torch.tensor([80.0, -80.0, 40.0]))
    query = torch.deg2rad(torch.tensor([10.0]))
    stored = torch.stack([angles.cos(), angles.sin()], dim=1)
    direction = torch.stack([query.cos(), query.sin()], dim=1)
    assert ncm.predict((stored, torch.tensor([0, 0, 1])), direction, 2).tolist() == [0]


def test_class_means_are_classified_as_their_class(bank: Bank) -> None:
    unit = bank[0] / bank[0].norm(dim=1, keepdim=True)
    means = torch.stack([unit[bank[1] == label].mean(dim=0) for label in range(4)])
    assert ncm.predict(bank, means, 4).tolist() == [0, 1, 2, 3]


def test_lengths_of_features_change_nothing(bank: Bank, queries: Tensor) -> None:
    longer = bank[0] * torch.logspace(-3, 3, 30)[:, None]
    assert torch.equal(ncm.predict((longer, bank[1]), 50 * queries, 4), ncm.predict(bank, queries, 4))


def test_order_of_the_bank_changes_nothing(bank: Bank, queries: Tensor, rng: torch.Generator) -> None:
    order = torch.randperm(30, generator=rng)
    shuffled = bank[0][order], bank[1][order]
    assert torch.equal(ncm.predict(shuffled, queries, 4), ncm.predict(bank, queries, 4))
