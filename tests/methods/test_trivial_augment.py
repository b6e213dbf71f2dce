"""TrivialAugment against torchvision's operations, image by image, and its distributions."""

import pytest
import torch
from reference import image_policies
from torchvision.transforms import v2

from benchmark.errors import InputError
from benchmark.methods.shared import image_policy
from benchmark.methods.trivial_augment import TrivialAugment
from benchmark.registry import method as make


def one_by_one(images, rng):
    """TA (Wide): operation, level and sign of each image, then torchvision's function on it."""
    batch, _, height, width = images.shape
    ops = torch.randint(14, (batch,), generator=rng).tolist()
    levels = torch.randint(31, (batch,), generator=rng).tolist()
    signs = [-1 if draw < 0.5 else 1 for draw in torch.rand(batch, generator=rng).tolist()]
    out = []
    for image, op, level, sign in zip(images, ops, levels, signs, strict=True):
        name = image_policies.NAMES[op]
        space, signed = v2.TrivialAugmentWide._AUGMENTATION_SPACE[name]
        if name.startswith("Translate"):
            value = float(torch.linspace(0, min(width if name[-1] == "X" else height, 32), 31)[level])
        else:
            value = 0.0 if space(31, height, width) is None else float(space(31, height, width)[level])
        value = (sign if signed else 1) * value * (255 if name == "Solarize" else 1)
        out.append(image_policies.apply(image, name, value))
    return torch.stack(out)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [(64, 3, 32, 32), (33, 1, 28, 20), (17, 3, 8, 8), (1, 3, 40, 36)], ids=str)
def test_equals_torchvision_image_by_image(shape, seed, rng):
    images = torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)
    before = images.clone()
    mine = TrivialAugment().views(images, torch.Generator().manual_seed(seed))
    theirs = one_by_one(images, torch.Generator().manual_seed(seed))
    difference = (mine.int() - theirs.int()).abs()
    assert mine.dtype == torch.uint8 and torch.equal(images, before)
    assert difference.max() <= 1 and (difference > 0).double().mean() < 0.01


def test_operations_levels_and_signs_are_uniform(monkeypatch, rng):
    seen = {}
    monkeypatch.setattr(image_policy, "apply", lambda images, ops, values: seen.update(ops=ops, values=values))
    TrivialAugment().views(torch.zeros(28000, 1, 32, 32, dtype=torch.uint8), rng)
    counts = torch.bincount(seen["ops"], minlength=14)
    assert len(counts) == 14 and (counts - 2000).abs().max() < 220  # five standard deviations of 43
    shifts = seen["values"][seen["ops"] == image_policy.Op.TRANSLATE_X] * 30 / 32  # levels -30 to 30
    levels = torch.bincount(shifts.abs().round().long(), minlength=31)
    assert len(levels) == 31 and 30 < levels.min() and levels.max() < 105  # 65 each; five standard deviations are 40
    assert 0.44 < (shifts > 0).double().mean() / (shifts != 0).double().mean() < 0.56


def test_small_images_are_never_shifted_by_more_than_their_edge(monkeypatch, rng):
    seen = {}
    monkeypatch.setattr(image_policy, "apply", lambda images, ops, values: seen.update(ops=ops, values=values))
    TrivialAugment().views(torch.zeros(5000, 1, 8, 12, dtype=torch.uint8), rng)
    for op, edge in ((image_policy.Op.TRANSLATE_X, 12), (image_policy.Op.TRANSLATE_Y, 8)):
        assert seen["values"][seen["ops"] == op].abs().max() == edge


def test_only_the_views_differ_from_the_baseline(rng):
    images, targets = torch.randn(4, 3, 8, 8, generator=rng), torch.eye(4)
    mixed, soft = TrivialAugment().mix(images, targets, rng)
    assert mixed is images and soft is targets


def test_global_random_state_is_untouched(rng):
    before = torch.get_rng_state()
    TrivialAugment().views(torch.zeros(9, 3, 8, 8, dtype=torch.uint8), rng)
    assert torch.equal(torch.get_rng_state(), before)


def test_there_is_nothing_to_tune():
    with pytest.raises(InputError, match="magnitude"):
        make("trivial_augment", {"magnitude": 9})
