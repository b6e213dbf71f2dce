"""PatchUp: against a hand run with the masks made by loops and the paper's two terms, and its masks."""

import numpy as np
import pytest
import torch

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.patchup import PatchUp
from benchmark.registry import method as make


def holes_by_hand(shape, gamma, block, generator):
    """1 - M: every centre drawn marks the block around it; blocks end at the map's edges."""
    _, height, width = shape
    edge = min(block, min(height, width) // 2)
    edge = max(edge if edge % 2 else edge - 1, 1)
    rate = gamma * height * width / (edge**2 * (height - edge + 1) * (width - edge + 1))
    drawn = torch.rand(*shape, generator=generator).numpy()
    holes, reach = np.zeros(shape), edge // 2
    for c, y, x in np.ndindex(*shape):
        if drawn[c, y, x] < rate:
            holes[c, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = 1
    return holes


def cutmix_by_hand(images, order, generator):
    height, width = images.shape[2:]
    edge = np.sqrt(1 - draws.beta(1.0, generator))
    y, x = int(draws.uniform(generator) * height), int(draws.uniform(generator) * width)
    half_y, half_x = int(height * edge) // 2, int(width * edge) // 2
    own = np.ones((height, width))
    own[max(y - half_y, 0) : y + half_y, max(x - half_x, 0) : x + half_x] = 0
    own = torch.from_numpy(own)
    return own * images + (1 - own) * images[order], float(own.mean())


def hand_run(network, images, stage, order, method, generator):
    """Logits, p and lam."""
    model, p, lam = network.model, None, 0.0
    x = images
    if stage < 0:
        x, p = cutmix_by_hand(images, order, generator)
    elif method.mode == "soft":
        lam = draws.beta(method.alpha, generator)
    x = model.maxpool(model.act1(model.bn1(model.conv1(x))))
    for index, layer in enumerate([model.layer1, model.layer2, model.layer3, model.layer4]):
        x = layer(x)
        if index == stage:
            holes = torch.from_numpy(holes_by_hand(x.shape[1:], method.gamma, method.block, generator))
            x = (1 - holes) * x + holes * (lam * x + (1 - lam) * x[order])
            p = float(1 - holes.mean())
    return model.fc(model.global_pool(x)).detach().numpy(), p, lam


def cross_entropy(logits, targets):
    return -np.mean([(t * (z - np.log(np.exp(z).sum()))).sum() for z, t in zip(logits, targets, strict=True)])


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_equals_the_papers_two_terms_at_every_stage(resnet64, batch64, progress, mode):
    images, labels = batch64
    method = PatchUp(mode=mode, probability=1, gamma=0.4, block=3, stages=4)
    met = set()
    for seed in range(16):
        loss = method.loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))
        same = torch.Generator().manual_seed(seed)
        draws.uniform(same)
        stage = int(torch.randint(5, (), generator=same)) - 1
        order = torch.randperm(6, generator=same)
        logits, p, lam = hand_run(resnet64, images, stage, order, method, same)
        own, other = np.eye(4)[labels], np.eye(4)[labels[order]]
        partner = lam * own + (1 - lam) * other
        first = p * cross_entropy(logits, own) + (1 - p) * cross_entropy(logits, partner)
        second = cross_entropy(logits, p * own + (1 - p) * partner)
        assert loss.item() == pytest.approx(first + second, rel=1e-6)
        met.add(stage)
    assert met == {-1, 0, 1, 2, 3}


@pytest.mark.parametrize("shape", [(5, 32, 32), (3, 16, 24), (4, 8, 8), (4, 4, 4), (9, 1, 1), (2, 2, 3)])
def test_blocks_equal_loops(shape):
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        holes = PatchUp(gamma=0.3).blocks(shape, generator, torch.device("cpu"))
        expected = holes_by_hand(shape, 0.3, 7, torch.Generator().manual_seed(seed))
        np.testing.assert_array_equal(holes.numpy(), expected)


def test_the_share_in_blocks_is_near_gamma():
    # 32 px, blocks of 7, gamma 1/2: a centre has chance 0.5 * 32^2 / (7^2 * 26^2) = 0.01546, and an inner position is
    # spared if none of its 49 centres is drawn: 1 - (1 - 0.01546)^49 = 0.534 inside, less at the edges.
    holes = PatchUp(gamma=0.5).blocks((512, 32, 32), torch.Generator().manual_seed(0), torch.device("cpu"))
    assert float(holes[:, 8:24, 8:24].mean()) == pytest.approx(0.534, abs=0.02)
    assert 0.45 < float(holes.mean()) < 0.534


def test_gamma_zero_and_one_image_are_twice_the_clean_loss(resnet64, batch64, progress):
    images, labels = batch64
    clean = cross_entropy(resnet64(images).detach().numpy(), np.eye(4)[labels])
    found = 0
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        loss = PatchUp(gamma=0, probability=1).loss(resnet64, images, labels, progress, generator)
        found += loss.item() == pytest.approx(2 * clean, rel=1e-9)
    assert 0 < found < 8  # at hidden stages, not at the input, where CutMix pastes
    alone = PatchUp(probability=1).loss(resnet64, images[:1], labels[:1], progress, torch.Generator())
    one = cross_entropy(resnet64(images[:1]).detach().numpy(), np.eye(4)[labels[:1].numpy()])
    assert alone.item() == pytest.approx(2 * one, rel=1e-9)


def test_probability_zero_is_the_baseline(resnet64, batch64, progress, rng):
    images, labels = batch64
    loss = PatchUp(probability=0).loss(resnet64, images, labels, progress, rng)
    clean = cross_entropy(resnet64(images).detach().numpy(), np.eye(4)[labels])
    assert loss.item() == pytest.approx(clean, rel=1e-12)


def test_a_vit_keeps_its_class_token(vit64, batch64, progress):
    # gamma = 1 with blocks of one patch swaps every patch, so only the class token still is image i's.
    images, labels = batch64
    kept = []

    def record(_module, _inputs, output):
        kept.append(output)

    last = int(vit64._stages[0].removeprefix("blocks."))
    block, following = vit64.model.blocks[last : last + 2]
    method = PatchUp(probability=1, gamma=1, block=1, stages=1)
    seed = next(s for s in range(20) if _stage(s) == 0)
    handle = block.register_forward_hook(record)  # before the mix's own hook: sees what comes in
    behind = following.register_forward_pre_hook(lambda _m, i: kept.append(i[0]))
    try:
        method.loss(vit64, images, labels, progress, torch.Generator().manual_seed(seed))
    finally:
        handle.remove()
        behind.remove()
    same = torch.Generator().manual_seed(seed)
    draws.uniform(same)
    torch.randint(2, (), generator=same)
    order = torch.randperm(6, generator=same)
    before, after = kept
    torch.testing.assert_close(after[:, :1], before[:, :1])
    torch.testing.assert_close(after[:, 1:], before[order, 1:])


def _stage(seed):
    generator = torch.Generator().manual_seed(seed)
    draws.uniform(generator)
    return int(torch.randint(2, (), generator=generator)) - 1


@pytest.mark.parametrize(
    "params", [{"mode": "weak"}, {"probability": 2}, {"gamma": -1}, {"block": 0}, {"alpha": 0}, {"stages": 5}]
)
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.patchup.{next(iter(params))}"):
        make("patchup", params)
