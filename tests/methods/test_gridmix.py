"""GridMix: against a loop over pixels, the mean its masks promise, and its special cases."""

import numpy as np
import pytest
import torch
from reference import mixing

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.gridmix import GridMix, grid_mask
from benchmark.registry import method as make


def mask_by_loop(height, width, cells, lam, rng):
    chosen = torch.randperm(cells * cells, generator=rng).tolist()[: round(lam * cells * cells)]
    return np.array(
        [
            [float((y * cells // height) * cells + x * cells // width in chosen) for x in range(width)]
            for y in range(height)
        ]
    )


@pytest.mark.parametrize("cells", [1, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_loss_equals_the_loop(resnet64, batch64, progress, cells, seed):
    images, labels = batch64
    loss = GridMix(cells=cells).loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))

    same = torch.Generator().manual_seed(seed)
    mask = mask_by_loop(32, 32, cells, draws.beta(1.0, same), same)
    order = mixing.permutation(6, same)
    logits = resnet64(torch.from_numpy(mixing.blend(images, order, mask)))
    expected = mixing.cross_entropy(logits, mixing.blend(mixing.one_hot(labels, 4), order, mask.mean()))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_label_weight_equals_the_pixels_kept_on_cells_of_unequal_size(seed):
    mixed, targets = GridMix().mix(
        mixing.sources(5, 9, 13), torch.eye(5, dtype=torch.float64), torch.Generator().manual_seed(seed)
    )
    for i in range(5):
        np.testing.assert_allclose(targets[i].numpy(), mixing.shares(mixed[i], 5), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("lam", [0.0, 0.1, 0.3, 0.5, 0.97, 1.0])
def test_masks_are_whole_cells_and_have_their_mean(lam):
    mask = grid_mask(32, 48, 4, lam, torch.Generator().manual_seed(1))
    blocks = mask.reshape(4, 8, 4, 12)
    assert torch.equal(blocks, blocks[:, :1, :, :1].expand_as(blocks))
    assert mask.mean().item() == pytest.approx(round(lam * 16) / 16, abs=1e-12)


def test_every_pixel_is_kept_with_the_chance_the_mask_promises():
    generator = torch.Generator().manual_seed(0)
    mean = sum(grid_mask(9, 13, 4, 0.3, generator) for _ in range(1000)) / 1000
    # 0.3 * 16 rounds to 5 cells of 16; a pixel's standard error is sqrt(5/16 * 11/16 / 1000) = 0.0147, five are 0.073
    assert (mean - 5 / 16).abs().max() < 0.073


def test_the_mean_over_batches_is_one_half():
    # lam ~ U(0, 1): the share kept has mean 1/2 and standard deviation 0.29, so 0.0093 over 1000 batches
    generator = torch.Generator().manual_seed(0)
    kept = [grid_mask(8, 8, 4, draws.beta(1.0, generator), generator).mean().item() for _ in range(1000)]
    assert np.mean(kept) == pytest.approx(0.5, abs=0.045)


def test_half_of_four_cells_by_hand(rng):
    # n = 2, lam = 1/2: 2 of 4 cells, so half the pixels of 4 x 4
    assert grid_mask(4, 4, 2, 0.5, rng).sum() == 8


@pytest.mark.parametrize("params", [{"alpha": 0}, {"cells": 0}, {"cells": 9}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.gridmix.{next(iter(params))}"):
        make("gridmix", params)
