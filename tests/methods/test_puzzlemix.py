"""PuzzleMix: the cut against every labelling, the energy and the transport from their formulas, and special cases."""

from itertools import product
from math import comb, log

import numpy as np
import pytest
import torch

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.base import input_saliency, one_hot
from benchmark.methods.puzzlemix import Energy, PuzzleMix, minimise, transport_plan
from benchmark.registry import method as make


def total(energy, image, labels):
    """What a labelling (h, w) of one image costs, block by block."""
    unary, down, right = (part[image].numpy() for part in energy)
    height, width, levels = unary.shape
    z = 1 - labels / (levels - 1)
    cost = sum(unary[y, x, labels[y, x]] for y in range(height) for x in range(width))
    cost += sum(down[y, x] * (z[y, x] - z[y + 1, x]) ** 2 for y in range(height - 1) for x in range(width))
    return cost + sum(right[y, x] * (z[y, x] - z[y, x + 1]) ** 2 for y in range(height) for x in range(width - 1))


@pytest.mark.parametrize(
    ("height", "width", "levels"), [(2, 2, 2), (2, 2, 3), (2, 2, 5), (2, 3, 3), (3, 2, 2), (1, 1, 3)]
)
def test_the_cut_is_the_least_of_all_labellings(height, width, levels, rng):
    count = 6
    energy = Energy(
        torch.randn(count, height, width, levels, generator=rng, dtype=torch.float64),
        3 * torch.rand(count, height - 1, width, generator=rng, dtype=torch.float64) ** 2,
        3 * torch.rand(count, height, width - 1, generator=rng, dtype=torch.float64) ** 2,
    )
    found = ((1 - minimise(energy)) * (levels - 1)).round().long().numpy()
    for image in range(count):
        every = product(range(levels), repeat=height * width)
        least = min(total(energy, image, np.array(labels).reshape(height, width)) for labels in every)
        assert total(energy, image, found[image]) == pytest.approx(least, abs=1e-5)


def test_neighbours_are_joined_and_images_are_not():
    # Two blocks that differ by 1 each way, joined by a weight of 10: cheaper to agree. Apart in two images: not.
    unary = torch.tensor([[0.0, 0.6], [0.5, 0.0]])  # of label 0 (z = 1) and label 1 (z = 0)
    joined = Energy(unary[None, None], torch.zeros(1, 0, 2), torch.full((1, 1, 1), 10.0))
    assert minimise(joined).flatten().tolist() == [1, 1]  # 0.5 for z = 1, 0.6 for z = 0
    apart = Energy(unary[:, None, None], torch.zeros(2, 0, 1), torch.zeros(2, 1, 0))
    assert minimise(apart).flatten().tolist() == [1, 0]


def pooled(values, rows, columns):
    """Block means of (H, W)."""
    height, width = values.shape[0] // rows, values.shape[1] // columns
    return values.reshape(rows, height, columns, width).mean(axis=(1, 3))


def reference_energy(method, images, saliency, i, j, number, lam, z):
    """The binary energy of the paper for z in {0, 1}: lost saliency, prior, label and data smoothness, by loops."""
    height, width = (size // number for size in images.shape[2:])
    own, other = (pooled(saliency[k], number, number) for k in (i, j))
    own, other = own / own.sum(), other / other.sum()
    extent = images.max(axis=(0, 2, 3)) - images.min(axis=(0, 2, 3))
    x = {1: images[i] / extent[:, None, None], 0: images[j] / extent[:, None, None]}
    cell = min(method.seam, height)
    cells = {k: np.stack([pooled(c, c.shape[0] // cell, c.shape[1] // cell) for c in v]) for k, v in x.items()}
    every, smooth, cost = height // cell, method.beta / number / 16, 0.0
    assert height == width
    for r in range(number):
        for c in range(number):
            chance = comb(method.labels - 1, 0) * (lam if z[r, c] else 1 - lam) ** (method.labels - 1)
            cost += other[r, c] if z[r, c] else own[r, c]
            cost -= method.eta / number**2 * log(chance + 1e-8)
            for dr, dc in ((1, 0), (0, 1)):
                if r + dr < number and c + dc < number:
                    across = [c * every + k if dr else r * every + k for k in range(every)]
                    edge = (r + 1) * every - 1 if dr else (c + 1) * every - 1
                    here, there = cells[z[r, c]], cells[z[r + dr, c + dc]]
                    gaps = [
                        abs(here[:, edge, k] - there[:, edge + 1, k])
                        if dr
                        else abs(here[:, k, edge] - there[:, k, edge + 1])
                        for k in across
                    ]
                    cost += smooth * (z[r, c] != z[r + dr, c + dc]) + smooth * method.gamma * np.mean(gaps)
    return cost


@pytest.mark.parametrize(("size", "number"), [(8, 2), (8, 4), (24, 2)])
def test_the_energy_equals_its_formula_up_to_a_constant(size, number, rng):
    images = torch.randn(3, 2, size, size, generator=rng, dtype=torch.float64)
    saliency = torch.rand(3, size, size, generator=rng, dtype=torch.float64)
    order, method = torch.tensor([1, 2, 0]), PuzzleMix(gamma=0.8)
    energy = method.energy(images, saliency, order, number, 0.3)
    for i, j in enumerate(order.tolist()):
        offsets = []
        for _ in range(6):
            z = torch.randint(2, (number, number), generator=rng).numpy()
            ours = total(energy, i, (1 - z) * (method.labels - 1))
            offsets.append(ours - reference_energy(method, images.numpy(), saliency.numpy(), i, j, number, 0.3, z))
        np.testing.assert_allclose(offsets, offsets[0], rtol=0, atol=1e-12)


def test_the_label_between_has_the_mean_cost_and_its_own_prior(rng):
    images, saliency = torch.randn(2, 3, 8, 8, generator=rng), torch.rand(2, 8, 8, generator=rng)
    method, lam = PuzzleMix(), 0.3
    unary = method.energy(images, saliency, torch.tensor([1, 0]), 4, lam).unary
    priors = [-0.2 / 16 * log(chance + 1e-8) for chance in (lam**2, 2 * lam * (1 - lam), (1 - lam) ** 2)]
    between = (unary[..., 0] - priors[0] + unary[..., 2] - priors[2]) / 2 + priors[1]
    torch.testing.assert_close(unary[..., 1], between)


def reference_transport(salient, wanted, cost):
    """The paper's rounds over explicit matrices; the block that holds each place, its own if none does."""
    height, width = salient.shape
    count = height * width
    s, z = salient.ravel(), wanted.ravel()
    costs = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            squared = (i // width - j // width) ** 2 + (i % width - j % width) ** 2
            costs[i, j] = cost * squared / (max(height, width) - 1) ** 2 - s[i] * z[j]
    for _ in range(max(height, width)):
        holder, place = np.full(count, -1), costs.argmin(axis=1)
        for i in range(count):
            j = place[i]
            if holder[j] < 0 or costs[i, j] < costs[holder[j], j]:
                holder[j] = i
        for i in range(count):
            if holder[place[i]] != i:
                costs[i, place[i]] += 1
    return np.where(holder < 0, np.arange(count), holder)


@pytest.mark.parametrize("cost", [0.0, 0.05, 0.8])
@pytest.mark.parametrize("shape", [(4, 4), (3, 5)])
def test_transport_equals_the_papers_rounds_where_it_is_seen(cost, shape, rng):
    salient = torch.rand(5, *shape, generator=rng, dtype=torch.float64) ** 4
    salient = salient / salient.sum(dim=(1, 2), keepdim=True)
    wanted = torch.rand(5, *shape, generator=rng) < 0.5
    plan = transport_plan(salient, wanted, cost)
    for image in range(5):
        seen = wanted[image].flatten().numpy()
        expected = reference_transport(salient[image].numpy(), wanted[image].numpy(), cost)
        np.testing.assert_array_equal(plan[image].numpy()[seen], expected[seen])


def test_a_salient_block_moves_to_the_wanted_place_by_hand():
    # The right column is wanted and a step costs 0.1. Block 0 bids 0.1 - 0.5 = -0.4 for place 1, whose own block bids
    # -0.1; block 2 bids 0.1 - 0.3 = -0.2 for place 3, whose own block bids -0.1. Both move.
    salient = torch.tensor([[[0.5, 0.1], [0.3, 0.1]]])
    wanted = torch.tensor([[[False, True], [False, True]]])
    plan = transport_plan(salient, wanted, 0.1)
    assert plan[0, 1] == 0 and plan[0, 3] == 2
    assert transport_plan(salient, wanted, 10.0).tolist() == [[0, 1, 2, 3]]  # too dear to move


@pytest.mark.parametrize("seed", range(3))
def test_without_transport_shares_are_blocks_and_targets_their_mean(seed, rng):
    # Image 0 is 1 everywhere and image 1 is 0: a mixed pixel is the share of image 0.
    images = torch.stack([torch.ones(1, 16, 16), torch.zeros(1, 16, 16)])
    saliency = torch.rand(2, 16, 16, generator=rng)
    mixed, targets = PuzzleMix(transport=False).mix(images, torch.eye(2), saliency, torch.Generator().manual_seed(seed))
    assert set(mixed.unique().tolist()) <= {0.0, 0.5, 1.0}
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), targets[:, 0])


def test_moved_blocks_come_from_the_two_images(rng):
    # All pixels differ, two levels: each mixed block of 4 px is a block of one of the two, and targets count them.
    images = torch.arange(2 * 16 * 16, dtype=torch.float32).reshape(2, 1, 16, 16)
    saliency = torch.rand(2, 16, 16, generator=rng) ** 6
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        mixed, targets = PuzzleMix(labels=2, transport_cost=0).mix(images, torch.eye(2), saliency, generator)
        of_first = (mixed < 256).float().mean(dim=(1, 2, 3))
        torch.testing.assert_close(of_first, targets[:, 0])


def test_loss_is_cross_entropy_of_the_mixed(resnet64, batch64, progress):
    images, labels = batch64
    method = PuzzleMix()
    loss = method.loss(resnet64, images, labels, progress, torch.Generator().manual_seed(0))
    targets = one_hot(labels, 4, torch.float64)
    saliency = input_saliency(resnet64, images, targets)
    mixed, soft = method.mix(images, targets, saliency, torch.Generator().manual_seed(0))
    assert not torch.equal(mixed, images)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(loss, -(soft * resnet64(mixed).log_softmax(1)).sum(1).mean())


@pytest.mark.parametrize(("height", "width"), [(28, 28), (8, 8), (27, 27), (32, 48), (8, 12)])
def test_any_size_of_images(height, width, rng):
    images, saliency = torch.randn(3, 3, height, width, generator=rng), torch.rand(3, height, width, generator=rng)
    for seed in range(4):
        mixed, targets = PuzzleMix().mix(images, torch.eye(3), saliency, torch.Generator().manual_seed(seed))
        assert mixed.shape == images.shape and torch.isfinite(mixed).all()
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(3))


def test_no_saliency_leaves_it_to_the_prior(rng):
    images = torch.zeros(3, 1, 8, 8)
    mixed, targets = PuzzleMix().mix(images, torch.eye(3), torch.zeros(3, 8, 8), torch.Generator().manual_seed(0))
    same = torch.Generator().manual_seed(0)
    torch.randint(3, (), generator=same)
    lam = draws.beta(1.0, same)
    likeliest = (1.0, 0.5, 0.0)[int(np.argmax([lam**2, 2 * lam * (1 - lam), (1 - lam) ** 2]))]
    order = torch.randperm(3, generator=same)
    torch.testing.assert_close(targets, likeliest * torch.eye(3) + (1 - likeliest) * torch.eye(3)[order])
    assert torch.isfinite(mixed).all()


@pytest.mark.parametrize(
    "params",
    [
        {"alpha": 0},
        {"labels": 1},
        {"beta": -1},
        {"gamma": 1.5},
        {"eta": -1},
        {"seam": 0},
        {"transport_size": 0},
        {"transport_cost": -1},
    ],
)
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.puzzlemix.{next(iter(params))}"):
        make("puzzlemix", params)
