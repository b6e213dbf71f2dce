import math

import pytest
import torch
from reference import read_outs

from benchmark.probes import retrieval


def turned(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


@pytest.mark.parametrize("sizes", [(3, 20, 6, 11), (1, 1, 5, 2), (9,), (1,)])
def test_equals_the_reference(sizes: tuple[int, ...], rng: torch.Generator) -> None:
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=rng)]
    features = torch.randn(len(sizes), 4, generator=rng)[labels] + torch.randn(len(labels), 4, generator=rng)
    firsts, precisions = retrieval.search(features, labels)
    expected = read_outs.retrieval(features, labels)
    assert firsts.tolist() == expected[0]
    assert precisions.tolist() == pytest.approx(expected[1], abs=1e-6, nan_ok=True)


def test_by_hand() -> None:
    # on the circle: a at 0, b at 10, a at 25, a at 60, b at 100
    firsts, precisions = retrieval.search(turned(0, 10, 25, 60, 100), torch.tensor([0, 1, 0, 0, 1]))
    # from  0: b10, a25, a60, b100: first hit at 2; R = 2: (0 + 1/2) / 2
    # from 10: a0, a25, a60, b100: first hit at 4; R = 1: 0
    # from 25: b10, a0, a60, b100: at 2, as from 0
    # from 60: a25, b100, b10, a0: at 1; (1 + 0) / 2
    # from 100: a60, a25, b10, a0: at 3; R = 1: 0
    assert firsts.tolist() == [2, 4, 2, 1, 3]
    assert precisions.tolist() == [0.25, 0, 0.25, 0.5, 0]


def test_equal_cosines_rank_by_position() -> None:
    # all in one direction: from any image the others come in order of position
    firsts, precisions = retrieval.search(torch.ones(5, 3), torch.tensor([0, 1, 1, 0, 1]))
    # from 0: 1 1 0 1 -> 3; from 1: 0 1 0 1 -> 2; from 2: 0 1 -> 2; from 3: 0 -> 1; from 4: 0 1 -> 2
    assert firsts.tolist() == [3, 2, 2, 1, 2]
    # R = 1, 2, 2, 1, 2: misses, (0 + 1/2) / 2, the same, 1, (0 + 1/2) / 2
    assert precisions.tolist() == [0, 0.25, 0.25, 1, 0.25]


def test_opposite_and_orthogonal_directions_rank_last() -> None:
    # cosines from the first: -1, 0, 0.7, -0.7; a zero of either sign is one value
    features = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-0.0, 1.0], [1.0, 1.0], [-1.0, 1.0]])
    for hit, rank in ((3, 1), (2, 2), (4, 3), (1, 4)):
        labels = torch.tensor([0, 1, 2, 3, 4])
        labels[hit] = 0
        assert retrieval.search(features, labels)[0][0] == rank


def test_one_class_is_always_found_and_an_only_image_never() -> None:
    firsts, precisions = retrieval.search(turned(0, 30, 50, 100), torch.tensor([0, 0, 0, 1]))
    assert firsts.tolist() == [1, 1, 1, 0]
    assert precisions[:3].tolist() == [1, 1, 1]
    assert math.isnan(precisions[3])


@pytest.mark.parametrize("entries", [1, 90, 10_000])
def test_chunks_change_nothing(entries: int, rng: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = torch.randn(45, 6, generator=rng), torch.randint(4, (45,), generator=rng)
    whole = retrieval.search(features, labels)
    monkeypatch.setattr(retrieval, "ENTRIES", entries)
    parts = retrieval.search(features, labels)
    assert torch.equal(parts[0], whole[0])
    torch.testing.assert_close(parts[1], whole[1], rtol=0, atol=1e-6)


def test_length_rotation_and_order_of_images_change_nothing(rng: torch.Generator) -> None:
    features, labels = torch.randn(40, 5, generator=rng), torch.randint(4, (40,), generator=rng)
    firsts, precisions = retrieval.search(features, labels)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=rng))[0]
    order = torch.randperm(40, generator=rng)
    lengths = 0.1 + 10 * torch.rand(40, 1, generator=rng)
    moved = retrieval.search((features * lengths @ rotation)[order], labels[order])
    assert torch.equal(moved[0], firsts[order])
    torch.testing.assert_close(moved[1], precisions[order], rtol=0, atol=1e-6)
