"""Batched image operations against torchvision's, image by image."""

import pytest
import torch
from reference import image_policies
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from benchmark.methods.shared import image_ops, image_policy
from benchmark.methods.shared.image_policy import LEVELS, Op

SHAPES = [(3, 32, 32), (1, 28, 28), (3, 24, 40), (1, 33, 17), (3, 8, 8)]
# The blends multiply and add, which some processors round once and others twice: one grey level at most, and rarely.
# Every other operation is exact.
INEXACT = {Op.COLOR: 0.01, Op.CONTRAST: 0.02, Op.SHARPNESS: 0.01}


def spaces(height, width):
    wide = image_policy.strengths(shear=0.99, shift=(32, 32), degrees=135, blend=0.99, bits=6)
    shift = (150 / 331 * width, 150 / 331 * height)
    return {
        v2.TrivialAugmentWide: wide,
        v2.RandAugment: image_policy.strengths(shear=0.3, shift=shift, degrees=30, blend=0.9, bits=4),
    }


def photographs(count, shape, rng):
    """Noise of full and of narrow range, flat images, and two-coloured ones that equalising leaves alone."""
    images = torch.randint(0, 256, (count, *shape), generator=rng, dtype=torch.uint8)
    images[1::4] = images[1::4] // 5 + 60
    images[2::8] = images[2::8, :, :1, :1]
    images[3::8] = (images[3::8] > 250) * 200
    return images


def both_ways(op, row):
    """All levels, and all with the sign turned where the operation has one."""
    return torch.cat([row, -row if op <= Op.SHARPNESS else row])


def assert_near(mine, theirs, share):
    difference = (mine.int() - theirs.int()).abs()
    assert difference.max() <= (1 if share else 0)
    assert (difference > 0).double().mean() <= share


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", list(Op), ids=lambda op: op.name)
def test_operations_equal_torchvision(op, shape, rng):
    for table in spaces(*shape[1:]).values():
        values = both_ways(op, table[op])
        images = photographs(len(values), shape, rng)
        before = images.clone()
        mine = image_policy.apply(images, torch.full((len(values),), op), values)
        name = image_policies.NAMES[op]
        theirs = [image_policies.apply(image, name, float(v)) for image, v in zip(images, values, strict=True)]
        assert mine.dtype == torch.uint8 and torch.equal(images, before)
        assert_near(mine, torch.stack(theirs), INEXACT.get(op, 0))


@pytest.mark.parametrize("op", list(Op)[: Op.BRIGHTNESS], ids=lambda op: op.name)
def test_bilinear_warps_equal_torchvision(op, rng):
    for shape in SHAPES:
        values = both_ways(op, spaces(*shape[1:])[v2.RandAugment][op])
        images, name = photographs(len(values), shape, rng), image_policies.NAMES[op]
        mine = image_policy.apply(images, torch.full((len(values),), op), values, bilinear=True)
        bilinear = InterpolationMode.BILINEAR
        theirs = [image_policies.apply(x, name, float(v), bilinear) for x, v in zip(images, values, strict=True)]
        assert_near(mine, torch.stack(theirs), 0.001)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("policy", [v2.TrivialAugmentWide, v2.RandAugment], ids=lambda policy: policy.__name__)
def test_strengths_equal_torchvisions_spaces(policy, shape):
    table = spaces(*shape[1:])[policy]
    assert set(image_policies.NAMES) == set(policy._AUGMENTATION_SPACE)
    for op, name in enumerate(image_policies.NAMES):
        of_level, sign = policy._AUGMENTATION_SPACE[name]
        expected = of_level(LEVELS, *shape[1:])
        expected = torch.zeros(LEVELS) if expected is None else expected.double()
        assert torch.equal(table[op], expected * 255 if op == Op.SOLARIZE else expected.double())
        assert sign == (op <= Op.SHARPNESS)


@pytest.mark.parametrize("count", [1, 2, 90])
def test_every_image_gets_its_own_operation_back_in_its_place(count, rng):
    images = photographs(count, (3, 16, 12), rng)
    ops = torch.randint(len(Op), (count,), generator=rng)
    values = spaces(16, 12)[v2.TrivialAugmentWide][ops, torch.randint(LEVELS, (count,), generator=rng)]
    together = image_policy.apply(images, ops, values)
    for i in range(count):
        assert torch.equal(
            together[i : i + 1], image_policy.apply(images[i : i + 1], ops[i : i + 1], values[i : i + 1])
        )


def test_only_operations_with_two_directions_turn_their_sign():
    ops, values = torch.arange(len(Op)), torch.ones(len(Op), dtype=torch.float64)
    turned = image_policy.signed(ops, values, torch.ones(len(Op), dtype=torch.bool))
    assert turned.tolist() == [-1.0] * 9 + [1.0] * 5
    assert torch.equal(image_policy.signed(ops, values, torch.zeros(len(Op), dtype=torch.bool)), values)


def test_affine_by_hand():
    # Values come from one pixel to the right: the last column leaves the image and is black.
    image = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]], dtype=torch.uint8)
    shift = torch.tensor([[[1.0, 0, 1], [0, 1, 0]]], dtype=torch.float64)
    assert image_ops.affine(image, shift).tolist() == [[[[2, 3, 0], [5, 6, 0]]]]
    # Half a pixel, bilinear: means of neighbours, rounded half to even: 1.5 -> 2, 2.5 -> 2, 3 and black 1.5 -> 2
    half = torch.tensor([[[1.0, 0, 0.5], [0, 1, 0]]], dtype=torch.float64)
    assert image_ops.affine(image, half, bilinear=True).tolist() == [[[[2, 2, 2], [4, 6, 3]]]]
