"""RandAugment against torchvision's operations, image by image, and its special cases."""

import pytest
import torch
from reference import image_policies

from benchmark.errors import InputError
from benchmark.methods.rand_augment import RandAugment
from benchmark.methods.shared import image_policy
from benchmark.registry import method as make


def one_by_one(images, operations, magnitude, rng):
    """Operation and sign of each image, then torchvision's function on it; N times."""
    batch, _, height, width = images.shape
    share = magnitude / 30
    top = {"ShearX": 0.3, "ShearY": 0.3, "TranslateX": 150 / 331 * width, "TranslateY": 150 / 331 * height}
    for _ in range(operations):
        ops = torch.randint(14, (batch,), generator=rng).tolist()
        signs = [-1 if draw < 0.5 else 1 for draw in torch.rand(batch, generator=rng).tolist()]
        out = []
        for image, op, sign in zip(images, ops, signs, strict=True):
            name = image_policies.NAMES[op]
            value = sign * share * (30 if name == "Rotate" else top.get(name, 0.9))
            value = {"Posterize": round(8 - 4 * share), "Solarize": 255 * (1 - share)}.get(name, value)
            out.append(image_policies.apply(image, name, value))
        images = torch.stack(out)
    return images


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [(64, 3, 32, 32), (33, 1, 28, 20), (17, 3, 8, 8), (1, 3, 40, 36)], ids=str)
@pytest.mark.parametrize("magnitude", [5, 14, 30])
def test_one_operation_equals_torchvision_image_by_image(magnitude, shape, seed, rng):
    images = torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)
    before = images.clone()
    method = RandAugment(operations=1, magnitude=magnitude)
    mine = method.views(images, torch.Generator().manual_seed(seed))
    theirs = one_by_one(images, 1, magnitude, torch.Generator().manual_seed(seed))
    difference = (mine.int() - theirs.int()).abs()
    assert mine.dtype == torch.uint8 and torch.equal(images, before)
    assert difference.max() <= 1 and (difference > 0).double().mean() < 0.01


@pytest.mark.parametrize("seed", range(6))
def test_two_operations_follow_one_another(seed, rng):
    # A grey level gained in the first operation can grow in the second: equalising spreads it.
    images = torch.randint(0, 256, (64, 3, 32, 32), generator=rng, dtype=torch.uint8)
    mine = RandAugment().views(images, torch.Generator().manual_seed(seed))
    theirs = one_by_one(images, 2, 14, torch.Generator().manual_seed(seed))
    assert (mine != theirs).double().mean() < 0.003


def test_no_operation_is_the_baseline(rng):
    images = torch.randint(0, 256, (4, 3, 8, 8), generator=rng, dtype=torch.uint8)
    assert RandAugment(operations=0).views(images, rng) is images
    floats, targets = images.float(), torch.eye(4)
    mixed, soft = RandAugment().mix(floats, targets, rng)
    assert mixed is floats and soft is targets


def test_every_operation_is_drawn_anew_and_uniformly(monkeypatch, rng):
    seen = []

    def record(images, ops, values):
        seen.append((ops, values))
        return images

    monkeypatch.setattr(image_policy, "apply", record)
    RandAugment(operations=3).views(torch.zeros(7000, 1, 32, 32, dtype=torch.uint8), rng)
    assert len(seen) == 3 and not torch.equal(seen[0][0], seen[1][0])
    for ops, values in seen:
        assert (torch.bincount(ops, minlength=14) - 500).abs().max() < 110  # five standard deviations of 21.5
        turns = values[ops == image_policy.Op.ROTATE]
        assert sorted(turns.unique().tolist()) == [-14.0, 14.0]  # 30 degrees at 30, so 14 at 14
        assert 0.38 < (turns > 0).double().mean() < 0.62


@pytest.mark.parametrize(
    "params", [{"operations": -1}, {"operations": 11}, {"magnitude": 31}, {"magnitude": -1}, {"magnitude": 1.5}]
)
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.rand_augment.{next(iter(params))}"):
        make("rand_augment", params)
