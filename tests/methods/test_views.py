"""Views of contrastive learning: every operation against torchvision image by image, and the distribution of draws."""

from math import log

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from benchmark.methods.shared import views

FACTORS = torch.tensor([0.6, 0.8, 1.0, 1.1, 1.39, 1.4])
SHIFTS = torch.tensor([-0.1, -0.03, 0.0, 0.02, 0.1, 0.5])


@pytest.fixture
def images(rng):
    """Six images (6, 3, 9, 7) in [0, 255]; some pixels black, white, gray, or with two equal channels."""
    drawn = torch.randint(0, 256, (6, 3, 9, 7), generator=rng).float()
    drawn[:, :, 0, 0], drawn[:, :, 0, 1], drawn[:, :, 0, 2] = 0, 255, 77
    drawn[:, 1, 1] = drawn[:, 0, 1]
    drawn[:, 2, 2] = drawn[:, 1, 2]
    drawn[:, 0, 3] = drawn[:, 2, 3]
    return drawn


@pytest.mark.parametrize(
    ("ours", "theirs", "amounts"),
    [
        (views.brightness, reference.adjust_brightness, FACTORS),
        (views.contrast, reference.adjust_contrast, FACTORS),
        (views.saturation, reference.adjust_saturation, FACTORS),
        (views.hue, reference.adjust_hue, SHIFTS),
    ],
)
def test_colour_operations_equal_torchvision(images, ours, theirs, amounts):
    changed = ours(images, amounts)
    for image, amount, result in zip(images, amounts.tolist(), changed, strict=True):
        # On floats both compute unrounded: a thousandth of a gray level. On bytes torchvision drops the fractions of
        # the luma and of the result: two levels.
        torch.testing.assert_close(result, theirs(image / 255, amount) * 255, rtol=0, atol=1e-3)
        torch.testing.assert_close(result, theirs(image.byte(), amount).float(), rtol=0, atol=2)


@pytest.mark.parametrize("operation", [views.brightness, views.contrast])
def test_brightness_and_contrast_of_one_channel_equal_torchvision(images, operation):
    theirs = getattr(reference, f"adjust_{operation.__name__}")
    changed = operation(images[:, :1], FACTORS)
    for image, factor, result in zip(images[:, :1], FACTORS.tolist(), changed, strict=True):
        torch.testing.assert_close(result, theirs(image / 255, factor) * 255, rtol=0, atol=1e-3)


def test_neutral_amounts_change_nothing(images):
    ones, zeros = torch.ones(6), torch.zeros(6)
    for operation in (views.brightness, views.contrast, views.saturation):
        torch.testing.assert_close(operation(images, ones), images, rtol=0, atol=1e-4)
    torch.testing.assert_close(views.hue(images, zeros), images, rtol=0, atol=1e-4)


def test_hue_by_hand():
    # A third of a turn takes red to green, green to blue and blue to red; gray stays.
    colours = torch.tensor([[255.0, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]]).T[None, :, :, None]  # (1, 3, 4, 1)
    turned = views.hue(colours, torch.tensor([1 / 3]))[0, :, :, 0].T
    expected = torch.tensor([[0.0, 255, 0], [0, 0, 255], [255, 0, 0], [90, 90, 90]])
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(9, 7), (8, 8), (16, 24)])
def test_resized_crops_equal_torchvision(rng, height, width):
    images = torch.randint(0, 256, (20, 3, height, width), generator=rng).double()
    boxes = views.random_boxes(20, height, width, rng)
    crops = views.resized_crops(images, boxes)
    for image, (top, left, box_height, box_width), crop in zip(images, boxes.T.int().tolist(), crops, strict=True):
        size = [height, width]
        theirs = reference.resized_crop(image, top, left, box_height, box_width, size, antialias=False)
        torch.testing.assert_close(crop, theirs, rtol=0, atol=1e-9)


def test_the_whole_image_is_its_own_crop(rng):
    images = torch.rand(2, 3, 8, 12, generator=rng, dtype=torch.float64)
    whole = torch.tensor([[0.0, 0], [0, 0], [8, 8], [12, 12]])
    torch.testing.assert_close(views.resized_crops(images, whole), images, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 8), (32, 48), (10, 40)])
def test_boxes_lie_in_the_image_and_keep_scale_and_ratio(rng, height, width):
    top, left, box_height, box_width = views.random_boxes(3000, height, width, rng).numpy()
    assert (box_height >= 1).all() and (box_width >= 1).all()
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + box_height <= height).all() and (left + box_width <= width).all()
    # Both edges are rounded, each by half a pixel at most.
    assert ((box_width + 0.5) / (box_height - 0.5) > 3 / 4).all()
    assert ((box_width - 0.5) / (box_height + 0.5) < 4 / 3).all()
    assert ((box_height + 0.5) * (box_width + 0.5) > 0.2 * height * width).all()


def test_boxes_are_distributed_as_the_formula_says(rng):
    # By the accept-reject definition, one box after the other in NumPy.
    generator, size, expected = np.random.default_rng(0), 64, []
    while len(expected) < 4000:
        area = size * size * generator.uniform(0.2, 1)
        ratio = np.exp(generator.uniform(log(3 / 4), log(4 / 3)))
        height, width = round((area / ratio) ** 0.5), round((area * ratio) ** 0.5)
        if height <= size and width <= size:
            expected.append((height * width, height, generator.integers(size - height + 1)))
    top, _, height, width = views.random_boxes(4000, size, size, rng).numpy()
    ours = np.stack([height * width, height, top], axis=1)
    for mine, theirs in zip(ours.T, np.array(expected).T, strict=True):
        assert abs(mine.mean() - theirs.mean()) < 5 * theirs.std() * (2 / 4000) ** 0.5
        assert abs(mine.std() / theirs.std() - 1) < 0.1
    assert 0.7 < (ours[:, 2] == 0).mean() / (np.array(expected)[:, 2] == 0).mean() < 1.4


def test_every_place_is_as_likely(rng):
    top, left, height, width = views.random_boxes(20000, 8, 8, rng).int()
    for start, length in ((top, height), (left, width)):
        # Crops of 6 of 8 pixels begin at 0, 1 or 2, a third of them each.
        starts = start[length == 6]
        shares = torch.bincount(starts, minlength=4) / len(starts)
        torch.testing.assert_close(shares, torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]), rtol=0, atol=0.04)


def test_where_no_box_fits_the_largest_of_a_permitted_ratio_is_taken(monkeypatch, rng):
    monkeypatch.setattr(views, "SCALE", (5.0, 6.0))  # larger than the image, so every candidate fails
    top, left, height, width = views.random_boxes(50, 32, 60, rng)
    assert (height == 32).all() and (width == 43).all()  # 32 * 4/3 = 42.7
    assert (top == 0).all() and left.unique().numel() > 5


@pytest.mark.parametrize(("channels", "kinds"), [(3, 4), (1, 2)])
def test_jitter_runs_the_drawn_operations_in_the_drawn_order(rng, channels, kinds):
    # The draws are remade and every image is run by itself through torchvision.
    images = torch.randint(0, 256, (40, channels, 8, 8), generator=rng).float()
    ours = images.clone()
    views.jitter_(ours, torch.Generator().manual_seed(3))
    same = torch.Generator().manual_seed(3)
    chosen = torch.rand(40, generator=same) < 0.8
    order = torch.rand(40, kinds, generator=same).argsort(dim=1).tolist()
    amounts = (torch.rand(kinds, 40, generator=same) * 2 - 1).tolist()
    operations = [
        reference.adjust_brightness,
        reference.adjust_contrast,
        reference.adjust_saturation,
        reference.adjust_hue,
    ]
    for i, image in enumerate(images / 255):
        if chosen[i]:
            for kind in order[i]:
                amount = 0.1 * amounts[3][i] if kind == 3 else 1 + 0.4 * amounts[kind][i]
                image = operations[kind](image, amount)
        torch.testing.assert_close(ours[i], image * 255, rtol=0, atol=2e-3)
    assert len({tuple(turns) for turns in order}) > (12 if channels == 3 else 1)  # of 24 and of 2


def test_shares_of_jittered_and_gray_images(rng):
    images = torch.randint(0, 256, (4000, 3, 2, 2), generator=rng).float()
    jittered, gray = images.clone(), images.clone()
    views.jitter_(jittered, rng)
    views.gray_(gray, rng)
    changed = (jittered != images).flatten(1).any(dim=1).double().mean()
    colourless = (gray == gray[:, :1]).flatten(1).all(dim=1)
    assert abs(changed - 0.8) < 0.03 and abs(colourless.double().mean() - 0.2) < 0.03  # over four standard errors
    assert torch.equal(gray[~colourless], images[~colourless])
    theirs = reference.rgb_to_grayscale(images[colourless] / 255, num_output_channels=3) * 255
    torch.testing.assert_close(gray[colourless], theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_two_views_are_unlike_and_in_order(rng, channels):
    # Crops, contrast, saturation, hue and gray leave an image of one gray level as it is, brightness within 0.6 to 1.4.
    levels = torch.tensor([4, 40, 240], dtype=torch.uint8)
    images = levels[:, None, None, None].expand(3, channels, 8, 12).contiguous()
    before = images.clone()
    drawn = views.two_views(images, rng)
    assert drawn.shape == (6, channels, 8, 12) and drawn.dtype == torch.float32
    assert torch.equal(images, before)
    ratios = drawn.mean(dim=(1, 2, 3)).view(2, 3) / levels
    assert (ratios > 0.599).all() and (ratios < 1.401).all()
    assert not torch.equal(drawn[:3], drawn[3:])


def test_two_views_come_from_any_seed_alike_and_from_different_seeds_unlike(rng):
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=rng)
    first, again, other = (views.two_views(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
