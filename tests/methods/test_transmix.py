"""TransMix against a pixel-by-pixel version with timm's own unfused attention, and its special cases."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from benchmark import backbones
from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.shared.boxes import Box
from benchmark.methods.transmix import TransMix, attention_in
from benchmark.registry import method as make

K = 4


def boxed(seed, method, size):
    """What a seed draws: None if the batch stays clean, else the box on 32 x 32 px by the paper's equation 2."""
    same = torch.Generator().manual_seed(seed)
    if draws.uniform(same) >= method.probability:
        return None
    edge = (1 - draws.beta(method.alpha, same)) ** 0.5
    y, x = int(draws.uniform(same) * 32), int(draws.uniform(same) * 32)
    half = int(32 * edge) // 2
    rows, columns = (range(max(c - half, 0), min(c + half, 32)) for c in (y, x))
    return rows, columns, torch.randperm(size, generator=same).numpy()


def pasted(images, rows, columns, order):
    mixed = images.clone()
    for i in range(len(images)):
        for y in rows:
            for x in columns:
                mixed[i, :, y, x] = images[order[i], :, y, x]
    return mixed


def logits_and_attention(network, images):
    """timm's own forward without fused attention, its weights read off before their dropout: (B, K), (B, 4, 4)."""
    model, seen = deepcopy(network.model), []
    model.blocks[-1].attn.fused_attn = False
    model.blocks[-1].attn.attn_drop.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    logits = model(images).detach().numpy()
    return logits, seen[0][:, :, 0, 1:].mean(dim=1).reshape(-1, 4, 4).detach().numpy()


def expected_loss(network, images, labels, method, seed):
    """Image by image: the token at row r, column c belongs to the box if its first pixel does."""
    draw = boxed(seed, method, len(images))
    rows, columns, order = draw or (range(0), range(0), np.arange(len(images)))
    logits, attention = logits_and_attention(network, pasted(images, rows, columns, order))
    total = 0.0
    for i, z in enumerate(logits):
        inside = sum(attention[i, r, c] for r in range(4) for c in range(4) if r * 8 in rows and c * 8 in columns)
        share = method.ratio * inside / attention[i].sum() + (1 - method.ratio) * len(rows) * len(columns) / 32**2
        target = (1 - share) * np.eye(K)[labels[i]] + share * np.eye(K)[labels[order[i]]]
        total -= (target * (z - z.max() - np.log(np.exp(z - z.max()).sum()))).sum()
    return total / len(images), draw is not None


@pytest.mark.parametrize("ratio", [0.5, 1.0, 0.0])
def test_equals_the_loop_over_pixels_and_tokens(vit64, batch64, progress, ratio):
    images, labels = batch64
    method, mixed = TransMix(ratio=ratio), []
    for seed in range(6):
        loss = method.loss(vit64, images, labels, progress, torch.Generator().manual_seed(seed))
        expected, was_mixed = expected_loss(vit64, images, labels.numpy(), method, seed)
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        mixed.append(was_mixed)
    assert set(mixed) == {True, False}


def test_attention_in_a_box_by_hand():
    # 2 x 3 patches of 4 x 4 px on 8 x 12 px; first pixels in rows 0, 4 and columns 0, 4, 8. Rows [1, 8) hold row 4,
    # columns [0, 5) hold columns 0 and 4: patches 3 and 4 of 0..5 in reading order, 0.3 + 0.1.
    attention = torch.tensor([[[0.1, 0.2, 0.1], [0.3, 0.1, 0.2]]])
    assert attention_in(attention, Box(1, 8, 0, 5), 8, 12).item() == pytest.approx(0.4)
    assert attention_in(attention, Box(0, 8, 0, 12), 8, 12).item() == pytest.approx(1.0)
    assert attention_in(attention, Box(1, 4, 0, 12), 8, 12).item() == 0  # no first pixel in rows 1 to 3
    assert attention_in(attention, Box(3, 3, 0, 12), 8, 12).item() == 0  # empty


def test_attention_in_a_box_is_that_of_the_nearest_downsampled_mask(rng):
    attention = torch.rand(2, 4, 5, generator=rng)
    for _ in range(40):
        (top, bottom), (left, right) = (torch.randint(0, n, (2,), generator=rng).sort()[0].tolist() for n in (17, 21))
        mask = torch.zeros(1, 1, 16, 20)
        mask[..., top:bottom, left:right] = 1
        small = torch.nn.functional.interpolate(mask, size=(4, 5), mode="nearest")[0, 0]
        expected = (attention * small).sum(dim=(1, 2))
        torch.testing.assert_close(attention_in(attention, Box(top, bottom, left, right), 16, 20), expected)


def test_never_mixing_is_the_baseline(vit64, batch64, progress, rng):
    images, labels = batch64
    loss = TransMix(probability=0).loss(vit64, images, labels, progress, rng)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(vit64(images), labels))


def test_8_px_images_and_bf16(progress, rng):
    network = backbones.build("vit-tiny-p2", {"depth": 2}, K, 1, 8, seed=0)
    images, labels = torch.randn(3, 1, 8, 8, generator=rng), torch.tensor([0, 1, 2])
    with torch.autocast("cpu", torch.bfloat16):
        loss = TransMix(probability=1).loss(network, images, labels, progress, rng)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize(("name", "args"), [("test_resnet", {}), ("test_vit", {"img_size": 32, "global_pool": "avg"})])
def test_backbones_without_a_class_token_are_refused(name, args):
    network = backbones.build(name, args, K, 3, 32, seed=0)
    with pytest.raises(InputError, match=r"method transmix needs a vision transformer .* e\.g\. vit-tiny-p4"):
        TransMix().check(network)


def test_a_vit_is_accepted(vit64):
    TransMix().check(vit64)


@pytest.mark.parametrize("params", [{"alpha": 0}, {"probability": -0.1}, {"ratio": 1.1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.transmix.{next(iter(params))}"):
        make("transmix", params)
