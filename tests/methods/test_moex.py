"""MoEx: against loops over positions, and what an exchange keeps and moves."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.moex import MoEx, exchange_moments
from benchmark.registry import method as make


def moments(vector):
    return vector.mean(), np.sqrt(vector.var(ddof=1) + 1e-5)


def exchanged_by_hand(maps, order):
    """Position by position: normalise over channels, then the other image's moments."""
    out = np.empty_like(maps)
    for i, j in enumerate(order):
        for y in range(maps.shape[2]):
            for x in range(maps.shape[3]):
                (mean, std), (other_mean, other_std) = moments(maps[i, :, y, x]), moments(maps[j, :, y, x])
                out[i, :, y, x] = other_std * (maps[i, :, y, x] - mean) / std + other_mean
    return out


def cross_entropy(logits, targets):
    total = 0.0
    for z, t in zip(logits.detach().numpy(), targets, strict=True):
        total -= (t * (z - np.log(np.exp(z).sum()))).sum()
    return total / len(logits)


def resnet_by_hand(network, images, order):
    model = network.model
    x = model.layer1(model.maxpool(model.act1(model.bn1(model.conv1(images)))))
    x = torch.from_numpy(exchanged_by_hand(x.detach().numpy(), order))
    return model.fc(model.global_pool(model.layer4(model.layer3(model.layer2(x)))))


def vit_by_hand(network, images, order):
    """The 4 x 4 patch tokens exchange their moments, the class token does not."""
    model = network.model
    x = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))
    last = int(network._stages[0].split(".")[1])
    for index, block in enumerate(model.blocks):
        x = block(x)
        if index == last:
            patches = x[:, 1:].transpose(1, 2).reshape(len(x), -1, 4, 4).detach().numpy()
            moved = torch.from_numpy(exchanged_by_hand(patches, order)).reshape(len(x), -1, 16).transpose(1, 2)
            x = torch.cat([x[:, :1], moved], dim=1)
    return model.forward_head(model.norm(x))


@pytest.mark.parametrize(("backbone", "by_hand"), [("resnet64", resnet_by_hand), ("vit64", vit_by_hand)])
def test_equals_a_hand_run(request, batch64, progress, backbone, by_hand):
    network, (images, labels) = request.getfixturevalue(backbone), batch64
    for seed in range(3):
        loss = MoEx(lam=0.9, probability=1).loss(network, images, labels, progress, torch.Generator().manual_seed(seed))
        same = torch.Generator().manual_seed(seed)
        draws.uniform(same)
        order = torch.randperm(6, generator=same).tolist()
        targets = 0.9 * np.eye(4)[labels] + 0.1 * np.eye(4)[labels[order]]
        expected = cross_entropy(by_hand(network, images, order), targets)
        assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_moments_move_and_the_normalised_features_stay(rng):
    maps = torch.randn(5, 7, 3, 4, generator=rng, dtype=torch.float64)
    order = torch.randperm(5, generator=rng)
    moved = exchange_moments(maps, order)
    # deviations carry the 1e-5 under the root, which shows where a variance is small
    torch.testing.assert_close(moved.mean(dim=1), maps[order].mean(dim=1))
    torch.testing.assert_close(moved.std(dim=1), maps[order].std(dim=1), rtol=1e-3, atol=1e-4)
    normalised = [(m - m.mean(dim=1, keepdim=True)) / m.std(dim=1, keepdim=True) for m in (maps, moved)]
    torch.testing.assert_close(*normalised)
    torch.testing.assert_close(exchange_moments(maps, torch.arange(5)), maps)


@pytest.mark.parametrize("size", [1.0, 3e-3, 0.0])
def test_an_exchange_equals_loops_down_to_constant_positions(rng, size):
    # at 3e-3 the variance, 9e-6, is that of the 1e-5 beside it under the root
    maps = size * torch.randn(4, 6, 3, 5, generator=rng, dtype=torch.float64) + 1
    order = torch.randperm(4, generator=rng)
    expected = exchanged_by_hand(maps.numpy(), order.tolist())
    np.testing.assert_allclose(exchange_moments(maps, order).numpy(), expected, rtol=1e-9)


def test_half_precision_maps_keep_their_type(rng):
    maps = torch.randn(3, 8, 2, 2, generator=rng)
    order = torch.tensor([1, 2, 0])
    half = exchange_moments(maps.bfloat16(), order)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exchange_moments(maps, order), rtol=0.02, atol=0.05)  # 8 bits


def test_probability_zero_is_the_baseline(resnet64, batch64, progress, rng):
    images, labels = batch64
    loss = MoEx(probability=0).loss(resnet64, images, labels, progress, rng)
    assert loss.item() == pytest.approx(cross_entropy(resnet64(images), np.eye(4)[labels]), rel=1e-12)


def test_exchanges_its_share_of_batches(resnet64, batch64, progress):
    images, labels = batch64
    clean = cross_entropy(resnet64(images), np.eye(4)[labels])
    generator = torch.Generator().manual_seed(0)
    losses = [MoEx(probability=0.25).loss(resnet64, images, labels, progress, generator).item() for _ in range(100)]
    exchanged = sum(loss != pytest.approx(clean, rel=1e-9) for loss in losses)
    assert 8 < exchanged < 42  # binomial(100, 1/4): four standard deviations are 17


def test_a_backbone_without_hidden_stages_is_refused(resnet64):
    MoEx().check(resnet64)
    with pytest.raises(InputError, match="hidden stage 0 is needed"):
        MoEx().check(SimpleNamespace(num_stages=0))


@pytest.mark.parametrize("params", [{"lam": 1.1}, {"lam": -0.1}, {"probability": 2}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.moex.{next(iter(params))}"):
        make("moex", params)
