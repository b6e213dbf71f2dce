"""AugMix: views against torchvision image by image, the loss against NumPy, and its special cases."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference import image_policies
from torchvision.transforms.v2 import InterpolationMode

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.augmix import OPS, AugMix, jensen_shannon, strengths
from benchmark.methods.shared import image_policy
from benchmark.methods.shared.image_policy import Op
from benchmark.registry import method as make

CPU = torch.device("cpu")
NAMES = (*image_policies.NAMES[:5], "Posterize", "Solarize", "AutoContrast", "Equalize")


def official_strength(name, level, negative, height, width):
    """In torchvision's units; the inverse of the official code's matrices for shifts, whose sign is symmetric."""
    sign = -1 if negative else 1
    return {
        "ShearX": sign * level * 0.3 / 10,
        "ShearY": sign * level * 0.3 / 10,
        "TranslateX": sign * int(level * (width / 3) / 10),
        "TranslateY": sign * int(level * (height / 3) / 10),
        "Rotate": sign * int(level * 30 / 10),
        "Posterize": 4 - int(level * 4 / 10),
        "Solarize": 256 - int(level * 256 / 10),
    }.get(name, 0)


def one_by_one(images, width, severity, rng):
    """Chains and mixtures of single images, from the same draws: two views times `width` chains times images."""
    count, _, rows, columns = images.shape
    chains = [image for _ in range(2 * width) for image in images]
    depths = (torch.randint(3, (len(chains),), generator=rng) + 1).tolist()
    for step in range(3):
        ops = torch.randint(9, (len(chains),), generator=rng).tolist()
        levels = (0.1 + (severity - 0.1) * torch.rand(len(chains), generator=rng).double()).tolist()
        negative = (torch.rand(len(chains), generator=rng) < 0.5).tolist()
        for i, image in enumerate(chains):
            if step < depths[i]:
                value = official_strength(NAMES[ops[i]], levels[i], negative[i], rows, columns)
                chains[i] = image_policies.apply(image, NAMES[ops[i]], value, InterpolationMode.BILINEAR)
    weights = draws.dirichlets(1.0, (2, count, width), rng, CPU).numpy()
    share = draws.betas(1.0, 2 * count, rng, CPU).numpy().reshape(2, count)
    out = [images.numpy().astype(np.float64)]
    for view in range(2):
        mixtures = []
        for i in range(count):
            x = out[0][i]
            mixture = sum(
                weights[view, i, chain] * chains[(view * width + chain) * count + i].numpy().astype(np.float64)
                for chain in range(width)
            )
            mixtures.append((1 - share[view, i]) * x + share[view, i] * mixture)
        out.append(np.stack(mixtures))
    return np.concatenate(out)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(8, 3, 32, 32), (5, 1, 28, 20), (3, 3, 8, 8), (1, 1, 9, 12)], ids=str)
def test_views_equal_torchvision_image_by_image(shape, seed, rng):
    images = torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)
    before = images.clone()
    mine = AugMix().views(images, torch.Generator().manual_seed(seed))
    theirs = one_by_one(images, 3, 3.0, torch.Generator().manual_seed(seed))
    assert mine.shape == (3 * shape[0], *shape[1:]) and mine.dtype == torch.float32
    assert torch.equal(images, before) and torch.equal(mine[: shape[0]], images.float())
    # A rounding in bilinear sampling may grow in the operations that follow.
    assert (np.abs(mine.numpy() - theirs) > 1e-3).mean() < 0.002


def test_another_width_and_severity(rng):
    images = torch.randint(0, 256, (4, 3, 16, 16), generator=rng, dtype=torch.uint8)
    mine = AugMix(width=2, severity=8).views(images, torch.Generator().manual_seed(1))
    theirs = one_by_one(images, 2, 8.0, torch.Generator().manual_seed(1))
    assert (np.abs(mine.numpy() - theirs) > 1e-3).mean() < 0.002


def loss_by_loop(logits, labels, weight):
    """From the paper: cross-entropy of the clean view and the divergence of three; logits (3, B, K)."""
    total = 0.0
    for i, label in enumerate(labels):
        p = [np.exp(z[i]) / np.exp(z[i]).sum() for z in logits]
        mean = (p[0] + p[1] + p[2]) / 3
        js = sum((q * np.log(q / mean)).sum() for q in p) / 3
        total += -np.log(p[0][label]) + weight * js
    return total / len(labels)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weight", [0.0, 12.0])
def test_the_loss_equals_its_formula(resnet64, batch64, progress, weight, seed):
    images, labels = batch64
    views = torch.randn(18, 3, 32, 32, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    views[:6] = images
    loss = AugMix(weight=weight).loss(resnet64, views, labels, progress, torch.Generator())
    with torch.no_grad():
        logits = resnet64(views).numpy().reshape(3, 6, 4)
    assert loss.item() == pytest.approx(loss_by_loop(logits, labels.tolist(), weight), rel=1e-6)


def test_equal_views_are_the_baseline(resnet64, batch64, progress, rng):
    images, labels = batch64
    loss = AugMix().loss(resnet64, images.repeat(3, 1, 1, 1), labels, progress, rng)
    torch.testing.assert_close(loss, F.cross_entropy(resnet64(images), labels), rtol=1e-9, atol=1e-9)


def test_divergence_by_hand():
    # Three certain and different views: M = (1/3, 1/3, 1/3), each KL is log 3.
    assert float(jensen_shannon(40 * torch.eye(3)[:, None])) == pytest.approx(math.log(3), rel=1e-5)
    # Two views (3/4, 1/4) and (1/4, 3/4): M = (1/2, 1/2), each KL is 3/4 log(3/2) + 1/4 log(1/2).
    pair = torch.tensor([[[0.75, 0.25]], [[0.25, 0.75]]]).log()
    assert float(jensen_shannon(pair)) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-5)


def test_strengths_by_hand():
    # Level 2.9 of 10 at 32 px: shear 0.087, shift int(2.9 * 32 / 30) = 3, turn int(8.7) = 8,
    # 4 - int(1.16) = 3 bits, threshold 256 - int(74.24) = 182
    level, ahead = torch.full((9,), 2.9, dtype=torch.float64), torch.zeros(9, dtype=torch.bool)
    expected = [0.087, 0.087, 3, 3, 8, 3, 182, 0, 0]
    assert strengths(torch.tensor(OPS), level, ahead, 32, 32).tolist() == pytest.approx(expected)
    turned = [-value for value in expected[:5]] + expected[5:]
    assert strengths(torch.tensor(OPS), level, ~ahead, 32, 32).tolist() == pytest.approx(turned)


@pytest.fixture
def drawn(monkeypatch):
    """The operations of every step, each (chains,)."""
    steps = []

    def record(images, ops, values, bilinear):
        steps.append(ops)
        return images

    monkeypatch.setattr(image_policy, "apply", record)
    return steps


def test_chains_of_one_to_three_operations_that_overlap_no_corruption(drawn, rng):
    AugMix().views(torch.zeros(1000, 1, 8, 8, dtype=torch.uint8), rng)
    ops = torch.stack(drawn)  # (3, 6000)
    depths = torch.bincount((ops != Op.IDENTITY).sum(dim=0), minlength=4)
    assert depths[0] == 0 and (depths[1:] - 2000).abs().max() < 185  # five standard deviations of 36.5
    counts = torch.bincount(ops[0], minlength=14)  # the first operation of every chain
    assert counts[[Op.BRIGHTNESS, Op.COLOR, Op.CONTRAST, Op.SHARPNESS, Op.IDENTITY]].sum() == 0
    assert (counts[list(OPS)] - 6000 / 9).abs().max() < 125  # five standard deviations of 24.3


def test_a_given_depth_is_that_of_all_chains(drawn, rng):
    AugMix(depth=2).views(torch.zeros(10, 1, 8, 8, dtype=torch.uint8), rng)
    assert len(drawn) == 2 and (torch.stack(drawn) != Op.IDENTITY).all()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_dirichlet_moments(alpha, rng):
    # Mean 1 / k, variance (1 / k) (1 - 1 / k) / (k alpha + 1)
    weights = draws.dirichlets(alpha, (20000, 3), rng, CPU)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(20000))
    assert weights.mean(dim=0).tolist() == pytest.approx([1 / 3] * 3, abs=0.012)
    assert weights.var(dim=0).tolist() == pytest.approx([2 / 9 / (3 * alpha + 1)] * 3, rel=0.08)


def test_global_random_state_is_untouched(rng):
    before = torch.get_rng_state()
    AugMix().views(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), rng)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "params", [{"width": 0}, {"depth": -2}, {"alpha": 0}, {"severity": 0}, {"severity": 11}, {"weight": -1}]
)
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.augmix.{next(iter(params))}"):
        make("augmix", params)
