"""TokenMix against a loop over pixels and tokens, the shape and size of its masks, and its special cases."""

import math
from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark import backbones
from benchmark.errors import InputError
from benchmark.methods.tokenmix import TokenMix, block_mask
from benchmark.registry import method as make

K = 4


def mask_by_loop(rows, columns, share, same):
    """BEiT's block-wise masking with sets of tokens, from the same draws."""
    wanted, masked, failed = round(share * rows * columns), set(), 0
    while len(masked) < wanted and failed < 10:
        u = [torch.rand((), generator=same, dtype=torch.float64).item() for _ in range(4)]
        area = 1 + u[0] * (wanted - len(masked) - 1)
        aspect = math.exp(math.log(0.3) + u[1] * (math.log(1 / 0.3) - math.log(0.3)))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        block = set()
        if h < rows and w < columns:
            top, left = math.floor(u[2] * (rows - h + 1)), math.floor(u[3] * (columns - w + 1))
            block = {(r, c) for r in range(top, top + h) for c in range(left, left + w)}
        if 0 < len(block - masked) <= wanted - len(masked):
            masked, failed = masked | block, 0
        else:
            failed += 1
    return masked


def attention_of(network, images):
    """timm's own unfused attention of the class token, (B, 4, 4) with sum 1."""
    model, seen = deepcopy(network.model), []
    model.blocks[-1].attn.fused_attn = False
    model.blocks[-1].attn.attn_drop.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    model(images)
    maps = seen[0][:, :, 0, 1:].mean(dim=1).reshape(-1, 4, 4).detach().numpy()
    return maps / maps.sum(axis=(1, 2), keepdims=True)


def expected_loss(network, images, labels, share, seed):
    same = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=same).numpy()
    masked = mask_by_loop(4, 4, share, same)
    attention, mixed = attention_of(network, images), images.clone()
    for y in range(32):
        for x in range(32):
            if (y // 8, x // 8) in masked:
                mixed[:, :, y, x] = images[order, :, y, x]
    total = 0.0
    for i, z in enumerate(network(mixed).detach().numpy()):
        own = sum(attention[i, r, c] for r in range(4) for c in range(4) if (r, c) not in masked)
        other = sum(attention[order[i], r, c] for r, c in masked)
        target = (own * np.eye(K)[labels[i]] + other * np.eye(K)[labels[order[i]]]) / (own + other)
        total -= (target * (z - z.max() - np.log(np.exp(z - z.max()).sum()))).sum()
    return total / len(images)


@pytest.mark.parametrize("params", [{}, {"share": 0.25}])
def test_equals_the_loop_over_pixels_and_tokens(vit64, batch64, progress, params):
    images, labels = batch64
    method = TokenMix(**params)
    for seed in range(4):
        loss = method.loss(vit64, images, labels, progress, torch.Generator().manual_seed(seed))
        assert loss.item() == pytest.approx(expected_loss(vit64, images, labels.numpy(), method.share, seed), rel=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(14, 14), (4, 4), (8, 5), (2, 2)])
def test_masks_equal_the_loop_and_never_exceed_their_share(rows, columns):
    for seed in range(30):
        mask = block_mask(rows, columns, 4 / 7, torch.Generator().manual_seed(seed))
        expected = mask_by_loop(rows, columns, 4 / 7, torch.Generator().manual_seed(seed))
        assert {tuple(place) for place in mask.nonzero().tolist()} == expected
        assert mask.shape == (rows, columns) and mask.sum() <= round(rows * columns * 4 / 7)


def test_masks_reach_their_share_and_treat_all_places_alike():
    generator = torch.Generator().manual_seed(0)
    masks = torch.stack([block_mask(8, 8, 4 / 7, generator) for _ in range(600)]).double()
    assert masks.sum(dim=(1, 2)).mean() > 35.5  # of round(64 * 4 / 7) = 37
    turned = masks.mean(dim=0)  # equal up to chance under mirroring, standard error 0.02
    for mirrored in (turned.flip(0), turned.flip(1), turned.T):
        torch.testing.assert_close(turned, mirrored, rtol=0, atol=0.15)


def test_masks_have_separate_parts():
    def parts(mask):
        left, count = {tuple(place) for place in mask.nonzero().tolist()}, 0
        while left:
            count, front = count + 1, [left.pop()]
            while front:
                r, c = front.pop()
                near = {(r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)} & left
                left, front = left - near, front + list(near)
        return count

    generator = torch.Generator().manual_seed(0)
    counts = [parts(block_mask(14, 14, 4 / 7, generator)) for _ in range(100)]
    assert np.mean(counts) > 1.3  # a single box, as CutMix's, has one


def test_one_patch_has_no_block_and_share_0_no_mask():
    for mask in (block_mask(1, 1, 1.0, torch.Generator()), block_mask(8, 8, 0.0, torch.Generator())):
        assert not mask.any()


def test_share_0_is_the_baseline(vit64, batch64, progress, rng):
    images, labels = batch64
    loss = TokenMix(share=0).loss(vit64, images, labels, progress, rng)
    torch.testing.assert_close(loss, F.cross_entropy(vit64(images), labels))


def test_8_px_images_and_bf16(progress, rng):
    network = backbones.build("vit-tiny-p2", {"depth": 2}, K, 1, 8, seed=0)
    images, labels = torch.randn(3, 1, 8, 8, generator=rng), torch.tensor([0, 1, 2])
    with torch.autocast("cpu", torch.bfloat16):
        loss = TokenMix().loss(network, images, labels, progress, rng)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize(("name", "args"), [("test_resnet", {}), ("test_vit", {"img_size": 32, "global_pool": "avg"})])
def test_backbones_without_a_class_token_are_refused(name, args):
    network = backbones.build(name, args, K, 3, 32, seed=0)
    with pytest.raises(InputError, match=r"method tokenmix needs a vision transformer .* e\.g\. vit-tiny-p4"):
        TokenMix().check(network)


def test_a_vit_is_accepted(vit64):
    TokenMix().check(vit64)


@pytest.mark.parametrize("params", [{"share": -0.1}, {"share": 1.1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=r"method\.tokenmix\.share"):
        make("tokenmix", params)
