"""Batches that are moved ahead of their use are the batches that were asked for."""

import threading

import pytest
import torch

from benchmark.data.ahead import Ahead

CPU = torch.device("cpu")


class Watched:
    """Images that tell which thread asked for which places."""

    shape = (20, 3, 4, 4)

    def __init__(self, images):
        self.images, self.asked = images, []

    def __getitem__(self, at):
        self.asked.append((threading.current_thread().name, at))
        return self.images[at]


@pytest.fixture
def images(rng):
    return torch.randint(0, 256, (20, 3, 4, 4), dtype=torch.uint8, generator=rng)


def test_every_batch_is_the_one_asked_for_and_gathered_once_in_the_background(images, rng):
    watched = Watched(images)
    ahead = Ahead(watched, CPU)
    for _ in range(2):
        indices = torch.randperm(20, generator=rng).split(6)
        for handed_out, index in zip(ahead.each(indices), indices, strict=True):
            assert handed_out is index
            assert torch.equal(ahead[handed_out], images[index])
    assert len(watched.asked) == 8 and all(name.startswith("gather") for name, _ in watched.asked)


def test_the_next_batch_is_under_way_before_this_one_is_taken(images):
    watched = Watched(images)
    ahead = Ahead(watched, CPU)
    indices = torch.arange(20).split(5)
    batches = ahead.each(indices)
    assert torch.equal(ahead[next(batches)], images[:5])
    ahead._underway[0][1].result()
    assert [at[0].item() for _, at in watched.asked] == [0, 5]


def test_other_places_and_a_new_start_are_served_as_well(images):
    ahead = Ahead(images, CPU)
    broken_off = ahead.each(torch.arange(20).split(5))
    next(broken_off)
    assert torch.equal(ahead[torch.tensor([3, 1])], images[[3, 1]])
    for index in ahead.each(torch.arange(20).flip(0).split(8)):
        assert torch.equal(ahead[index], images[index])
    assert ahead.shape == (20, 3, 4, 4) and torch.equal(ahead[:2], images[:2])
    assert torch.equal(torch.cat(list(ahead.split(7))), images) and torch.equal(ahead.to(CPU), images)


def test_a_failure_in_the_background_is_raised_where_the_batch_is_taken(images):
    ahead = Ahead(images, CPU)
    (index,) = ahead.each([torch.tensor([99])])
    with pytest.raises(IndexError):
        ahead[index]
