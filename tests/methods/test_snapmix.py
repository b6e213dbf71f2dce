"""SnapMix: maps from networks run by hand, boxes and weights image by image, and the special cases."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.shared.saliency import class_activation
from benchmark.methods.snapmix import SnapMix
from benchmark.registry import method as make


@pytest.fixture
def large64(rng):
    """Four images on which the last stage of resnet64 has 4 x 3 px."""
    images = torch.randn(4, 3, 128, 96, generator=rng, dtype=torch.float64)
    return images, torch.tensor([0, 1, 1, 3])


def classic_maps(network, images, labels):
    """sum_c w_yc A_c of the last maps, without gradients, brought to the images' size and to sum 1."""
    with torch.no_grad():
        last = network.model.forward_features(images).numpy()
        weight = network.head.weight.detach().numpy()
        maps = np.einsum("bchw,bc->bhw", last, weight[labels.numpy()])
        maps = F.interpolate(torch.from_numpy(maps)[:, None], images.shape[2:], mode="bilinear")[:, 0].numpy()
    maps = maps - maps.min(axis=(1, 2), keepdims=True)
    return maps / maps.sum(axis=(1, 2), keepdims=True)


def test_behind_global_pooling_the_map_is_the_classic_one(resnet64, large64):
    images, labels = large64
    expected = classic_maps(resnet64, images, labels)
    assert expected.std() > 1e-6  # maps of 4 x 3 px have contrast
    maps = class_activation(resnet64, images, labels)
    np.testing.assert_allclose(maps.numpy(), expected, rtol=1e-8, atol=1e-12)


def test_behind_a_class_token_the_map_is_of_the_stage_before(vit64, batch64):
    images, labels = batch64
    stage = vit64.num_stages - 2
    seen = []
    logits = vit64.classify(vit64.features(images, stage, lambda hidden: seen.append(hidden) or hidden))
    (gradient,) = torch.autograd.grad(sum(logits[i, y] for i, y in enumerate(labels)), seen[0])
    products = (seen[0] * gradient)[:, 1:].sum(dim=2).detach().reshape(6, 1, 4, 4)
    expected = F.interpolate(products, (32, 32), mode="bilinear")[:, 0]
    expected = expected - expected.amin(dim=(1, 2), keepdim=True)
    expected = expected / expected.sum(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(class_activation(vit64, images, labels), expected, rtol=1e-8, atol=1e-12)


def test_maps_leave_the_weights_gradients_alone(resnet64, batch64):
    class_activation(resnet64, *batch64)
    assert all(weight.grad is None for weight in resnet64.parameters())


def test_maps_of_one_pixel_are_uniform(resnet64, batch64):
    maps = class_activation(resnet64, *batch64)
    torch.testing.assert_close(maps, torch.full_like(maps, 1 / 1024), rtol=1e-12, atol=0)


def drawn_box(height, width, alpha, generator):
    edge = draws.beta(alpha, generator) ** 0.5
    y, x = int(draws.uniform(generator) * height), int(draws.uniform(generator) * width)
    half_y, half_x = int(height * edge) // 2, int(width * edge) // 2
    return max(y - half_y, 0), min(y + half_y, height), max(x - half_x, 0), min(x + half_x, width)


def resized(patch, height, width):
    """Bilinear with the corners aligned, pixel by pixel; (C, h, w) -> (C, height, width)."""
    result = np.zeros((len(patch), height, width))
    for y in range(height):
        for x in range(width):
            v = y * (patch.shape[1] - 1) / max(height - 1, 1)
            u = x * (patch.shape[2] - 1) / max(width - 1, 1)
            y0, x0 = min(int(v), patch.shape[1] - 1), min(int(u), patch.shape[2] - 1)
            y1, x1 = min(y0 + 1, patch.shape[1] - 1), min(x0 + 1, patch.shape[2] - 1)
            upper = patch[:, y0, x0] * (1 - u + x0) + patch[:, y0, x1] * (u - x0)
            lower = patch[:, y1, x0] * (1 - u + x0) + patch[:, y1, x1] * (u - x0)
            result[:, y, x] = upper * (1 - v + y0) + lower * (v - y0)
    return result


@pytest.mark.parametrize("seed", range(3))
def test_loss_equals_its_formula(seed, resnet64, rng, progress):
    images = torch.randn(3, 3, 64, 48, generator=rng, dtype=torch.float64)
    labels = torch.tensor([2, 0, 2])
    method = SnapMix(probability=1, alpha=2.0)
    loss = method.loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))

    same = torch.Generator().manual_seed(seed)
    draws.uniform(same)
    into, out_of = (drawn_box(64, 48, 2.0, same) for _ in range(2))
    order = torch.randperm(3, generator=same)
    maps, x = classic_maps(resnet64, images, labels), images.numpy()
    total = 0.0
    for i, j in enumerate(order.tolist()):
        top, bottom, left, right = out_of
        pasted = maps[j, top:bottom, left:right].sum()
        patch = x[j][:, top:bottom, left:right]
        top, bottom, left, right = into
        kept = 1 - maps[i, top:bottom, left:right].sum()
        mixed = x[i].copy()
        mixed[:, top:bottom, left:right] = resized(patch, bottom - top, right - left)
        with torch.no_grad():
            log_p = resnet64(torch.from_numpy(mixed)[None])[0].log_softmax(0)
        total -= kept * log_p[labels[i]].item() + pasted * log_p[labels[j]].item()
    assert loss.item() == pytest.approx(total / 3, rel=1e-6)


def test_probability_zero_is_the_baseline(resnet64, batch64, progress, rng):
    images, labels = batch64
    loss = SnapMix(probability=0).loss(resnet64, images, labels, progress, rng)
    torch.testing.assert_close(loss, F.cross_entropy(resnet64(images), labels))


def test_a_backbone_without_stages_is_refused(linear64):
    linear64.num_stages = 0
    with pytest.raises(InputError, match=r"snapmix needs a backbone with hidden stages, e.g. resnet18-small"):
        SnapMix().check(linear64)


@pytest.mark.parametrize("params", [{"alpha": 0}, {"probability": -0.1}, {"probability": 1.1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.snapmix.{next(iter(params))}"):
        make("snapmix", params)
