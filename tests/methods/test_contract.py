"""What every method promises, over all of them: a new file is tested the moment it exists."""

from copy import deepcopy
from functools import lru_cache

import pytest
import torch
from torch import nn

from benchmark import backbones, registry
from benchmark.methods.base import InputMethod, Progress, one_hot

CLASSES = 4
HALFWAY = Progress(epoch=3, fraction=0.5, train_acc=0.6, class_counts=torch.ones(CLASSES))
FAMILIES = {
    "resnet": ("test_resnet", {}),
    "convnext": ("test_convnext", {}),
    "vit": ("test_vit", {"img_size": 32}),
    "mobilenet": ("mobilenetv3_small_050", {}),
}


@pytest.fixture(params=sorted(registry.methods()))
def method(request):
    return registry.method(request.param, {})


@pytest.fixture
def network(method):
    """In evaluation mode."""
    return prepared(method, family_network("resnet")).eval()


def prepared(method, network):
    """A copy with the method's own trainable parts, as the loop prepares it."""
    copy = deepcopy(network)
    copy.auxiliary = method.auxiliary(copy, torch.Generator().manual_seed(0))
    return copy


def batch(size, rng, height=32, width=32):
    pixels = torch.randint(0, 256, (size, 3, height, width), dtype=torch.uint8, generator=rng)
    return pixels, torch.randint(0, CLASSES, (size,), generator=rng)


def normalised(pixels):
    return pixels / 127.5 - 1


def loss_of(method, network, pixels, labels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = normalised(method.views(pixels, generator))
    return method.loss(network, images, labels, HALFWAY, generator)


def test_says_what_it_is(method):
    cls = type(method)
    assert cls.title and cls.paper and cls.__doc__
    assert 1980 < cls.year < 2100
    assert cls.cost >= 1
    hash(method)  # frozen


def test_same_seed_same_loss_and_arguments_untouched(method, network, rng):
    pixels, labels = batch(7, rng)
    before = pixels.clone(), labels.clone()
    first = loss_of(method, network, pixels, labels)
    second = loss_of(method, network, pixels, labels)
    assert torch.equal(first, second)
    assert torch.equal(pixels, before[0]) and torch.equal(labels, before[1])

    generator = torch.Generator().manual_seed(0)
    images = normalised(method.views(pixels, generator))
    views = images.clone()
    method.loss(network, images, labels, HALFWAY, generator)
    assert torch.equal(images, views) and torch.equal(labels, before[1])


def test_views_are_pixels_of_whole_batches(method, rng):
    pixels, _ = batch(5, rng, height=32, width=48)
    views = method.views(pixels, torch.Generator().manual_seed(0))
    assert views.dtype in (torch.uint8, torch.float32)
    assert len(views) % len(pixels) == 0 and views.shape[1:] == pixels.shape[1:]
    assert views.min() >= 0 and views.max() <= 255


def test_global_random_state_is_untouched(method, rng):
    pixels, labels = batch(6, rng)
    plain = family_network("resnet")
    before = torch.get_rng_state()
    loss_of(method, prepared(method, plain).eval(), pixels, labels)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_any_batch_size_gives_a_finite_scalar(method, network, rng, size):
    loss = loss_of(method, network, *batch(size, rng))
    assert loss.shape == () and torch.isfinite(loss)


def test_a_batch_of_one_class_and_non_square_images(method, network, rng):
    pixels, _ = batch(5, rng, height=32, width=48)
    loss = loss_of(method, network, pixels, torch.zeros(5, dtype=torch.int64))
    assert torch.isfinite(loss)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_finite_gradients_to_every_parameter_of_every_family(method, family, rng):
    gradients = _gradients(method, family_network(family), *batch(6, rng))
    assert gradients.keys() >= trained_by_the_baseline(family)
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


@lru_cache
def family_network(family):
    name, args = FAMILIES[family]
    return backbones.build(name, args, CLASSES, 3, 32, seed=0)


@lru_cache
def trained_by_the_baseline(family):
    pixels, labels = batch(6, torch.Generator().manual_seed(0))
    return frozenset(_gradients(registry.method("baseline", {}), family_network(family), pixels, labels))


def _gradients(method, network: nn.Module, pixels, labels):
    network = prepared(method, network).train()
    loss_of(method, network, pixels, labels).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def test_bf16_autocast_stays_near_fp32(method, network, rng):
    pixels, labels = batch(16, rng)
    full = loss_of(method, network, pixels, labels)
    with torch.autocast("cpu", torch.bfloat16):
        half = loss_of(method, network, pixels, labels)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)  # bf16 keeps 8 bits


def test_steps_reduce_the_loss_on_a_fixed_batch(method, rng):
    network = prepared(method, backbones.build("test_resnet", {}, CLASSES, 3, 32, seed=1)).train()
    pixels, labels = batch(16, rng)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02)
    losses = []
    for _ in range(4):
        loss = loss_of(method, network, pixels, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_soft_targets_keep_mass_one(method, rng):
    if not isinstance(method, InputMethod):
        assert "loss" in vars(type(method))  # a feature method brings a loss of its own
        return
    pixels, labels = batch(9, rng)
    images = normalised(pixels)
    for seed in range(5):
        mixed, targets = method.mix(images, one_hot(labels, CLASSES), torch.Generator().manual_seed(seed))
        assert mixed.shape == images.shape and mixed.dtype == images.dtype
        assert (targets >= 0).all()
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(9), rtol=0, atol=1e-6)
