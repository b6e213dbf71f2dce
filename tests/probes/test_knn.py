import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.probes import knn

Bank = tuple[Tensor, Tensor]


@pytest.fixture
def bank(rng: torch.Generator) -> Bank:
    """Forty unbalanced images of four classes in three dimensions."""
    labels = torch.arange(4).repeat_interleave(torch.tensor([3, 20, 6, 11]))
    return torch.randn(4, 3, generator=rng)[labels] + torch.randn(40, 3, generator=rng), labels


@pytest.fixture
def queries(rng: torch.Generator) -> Tensor:
    return torch.randn(33, 3, generator=rng)


@pytest.mark.parametrize("k", [1, 5, 20, 39])
def test_equals_the_reference(k: int, bank: Bank, queries: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "K", k)
    assert knn.predict(bank, queries, 4).tolist() == metrics.knn(bank, queries, 4, k)


def test_a_bank_smaller_than_k_votes_as_a_whole(bank: Bank, queries: Tensor) -> None:
    small = bank[0][::3], bank[1][::3]
    assert len(small[0]) == 14 < knn.K
    assert knn.predict(small, queries, 4).tolist() == metrics.knn(small, queries, 4, k=14)


def test_similarity_decides_and_not_the_number_of_neighbours() -> None:
    # one neighbour at cosine 1, three at cosine 0.9 (scaled: 0.9, sqrt(0.19)); all four are neighbours
    # class 0: exp(1 / 0.07) = exp(14.29); class 1: 3 exp(0.9 / 0.07) = 3 exp(12.86) = exp(13.96)
    near, far = [1.0, 0.0], [0.9, 0.19**0.5]
    labels = torch.tensor([1, 0, 1, 1])
    assert knn.predict((torch.tensor([far, near, far, far]), labels), torch.tensor([near]), 2).tolist() == [0]
    # five at 0.9: 5 exp(12.86) = exp(14.47) > exp(14.29)
    labels = torch.tensor([1, 0, 1, 1, 1, 1])
    assert knn.predict((torch.tensor([far, near, *[far] * 4]), labels), torch.tensor([near]), 2).tolist() == [1]


def test_only_the_nearest_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = [1.0, 0.0], [0.9, 0.19**0.5]
    stored = torch.tensor([far, near, *[far] * 4]), torch.tensor([1, 0, 1, 1, 1, 1])
    monkeypatch.setattr(knn, "K", 2)  # one of each class: the nearer wins, which lost above
    assert knn.predict(stored, torch.tensor([near]), 2).tolist() == [0]


def test_lengths_of_features_change_nothing(bank: Bank, queries: Tensor) -> None:
    longer = bank[0] * torch.logspace(-3, 3, 40)[:, None]
    assert torch.equal(knn.predict((longer, bank[1]), 50 * queries, 4), knn.predict(bank, queries, 4))


@pytest.mark.parametrize("chunk", [1, 7, 32, 33])
def test_chunks_change_nothing(chunk: int, bank: Bank, queries: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = knn.predict(bank, queries, 4)
    monkeypatch.setattr(knn, "ENTRIES", 40 * chunk)
    assert torch.equal(knn.predict(bank, queries, 4), whole)


@pytest.mark.parametrize("threads", [1, 2, 5, 40])
def test_threads_change_nothing_and_are_left_as_they_were(threads: int, bank: Bank, queries: Tensor) -> None:
    alone = knn.predict(bank, queries, 4)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert knn.predict(bank, queries, 4).tolist() == alone.tolist()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("block", [1, 3, 40, 64])
def test_blocks_change_nothing(block: int, bank: Bank, queries: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "BLOCK", block)
    assert knn.predict(bank, queries, 4).tolist() == metrics.knn(bank, queries, 4, knn.K)


@pytest.mark.parametrize("size", [64, 65, 1000])
def test_the_nearest_are_those_of_a_sort(size: int, rng: torch.Generator) -> None:
    cosines = torch.rand(7, -(-size // 64) * 64, generator=rng)
    cosines[:, size:] = -2
    cosines[:, : size // 2] += 1  # neighbours crowd into some of the blocks
    similarity, place = knn._nearest(cosines, knn.K)
    expected = cosines.sort(dim=1, descending=True)
    assert torch.equal(similarity, expected.values[:, : knn.K])
    assert torch.equal(place, expected.indices[:, : knn.K])


def test_order_of_the_bank_changes_nothing(bank: Bank, queries: Tensor, rng: torch.Generator) -> None:
    order = torch.randperm(40, generator=rng)
    shuffled = bank[0][order], bank[1][order]
    assert torch.equal(knn.predict(shuffled, queries, 4), knn.predict(bank, queries, 4))


def test_a_class_missing_from_the_bank_is_never_predicted(bank: Bank, queries: Tensor) -> None:
    assert 6 not in knn.predict((bank[0], 2 * bank[1] + 1), queries, 9).tolist()
    assert torch.equal(knn.predict((bank[0], 2 * bank[1] + 1), queries, 9), 2 * knn.predict(bank, queries, 4) + 1)


def test_protocol() -> None:
    assert (knn.K, knn.TEMPERATURE) == (20, 0.07)
