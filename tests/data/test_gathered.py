"""A split that is gathered where it is indexed, against the tensor it stands for."""

import pytest
import torch

from benchmark.data import gathered, policy
from benchmark.data.gathered import Gathered


@pytest.fixture
def pair(rng: torch.Generator) -> tuple[Gathered, torch.Tensor]:
    decoded = torch.randint(0, 256, (20, 3, 4, 5), generator=rng).to(torch.uint8)
    index = torch.randperm(20, generator=rng)[:13]
    return Gathered(decoded, index), decoded[index]


@pytest.mark.parametrize(
    "at", [0, -1, 12, slice(None), slice(3, 7), slice(20, 30), torch.tensor([5, 5, 0]), torch.tensor([], dtype=int)]
)
def test_indexes_like_the_tensor(pair: tuple[Gathered, torch.Tensor], at: object):
    view, tensor = pair
    torch.testing.assert_close(view[at], tensor[at], rtol=0, atol=0)


def test_shape_length_and_iteration_are_the_tensors(pair: tuple[Gathered, torch.Tensor]):
    view, tensor = pair
    assert (view.shape, len(view)) == (tuple(tensor.shape), len(tensor))
    torch.testing.assert_close(torch.stack(list(view)), tensor, rtol=0, atol=0)
    with pytest.raises(IndexError):
        view[13]


@pytest.mark.parametrize("size", [1, 5, 13, 100])
def test_split_is_the_tensors(pair: tuple[Gathered, torch.Tensor], size: int, monkeypatch: pytest.MonkeyPatch):
    view, tensor = pair
    for ours, theirs in zip(view.split(size), tensor.split(size), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    monkeypatch.setattr(gathered, "BLOCK", size)
    torch.testing.assert_close(view.to(torch.device("cpu")), tensor, rtol=0, atol=0)


def test_channel_statistics_are_the_tensors_at_any_block(
    pair: tuple[Gathered, torch.Tensor], monkeypatch: pytest.MonkeyPatch
):
    view, tensor = pair
    monkeypatch.setattr(policy, "BLOCK", 4)
    for ours, of in zip(policy.channel_statistics(view), (torch.mean, torch.std), strict=True):
        expected = of(
            tensor.double().transpose(0, 1).reshape(3, -1), dim=1, **({"correction": 0} if of is torch.std else {})
        )
        torch.testing.assert_close(ours.flatten(), expected.float(), rtol=1e-6, atol=0)
