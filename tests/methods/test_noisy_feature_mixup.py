"""Noisy feature mixup: against a hand run with the noise cut out by loops, and the noise's distribution."""

import numpy as np
import pytest
import torch

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.manifold_mixup import ManifoldMixup
from benchmark.methods.noisy_feature_mixup import NoisyFeatureMixup, beta_2_5
from benchmark.registry import method as make

PLACES = 65536


def noise_by_hand(shape, additive, multiplicative, generator):
    """Gain and shift of maps (B, C, H, W): a row of pixels of an image is a window, its channels side by side."""
    levels = [np.sort(torch.rand(6, generator=generator, dtype=torch.float64).numpy())[1] for _ in range(2)]
    size, channels, height, width = shape
    window = width * channels
    places = torch.randint(PLACES, (size * height,), generator=generator).numpy()
    normal = torch.randn(PLACES + window - 1, generator=generator).numpy()
    uniform = torch.rand(PLACES + window - 1, generator=generator).numpy()
    gain, shift = np.empty(shape), np.empty(shape)
    for b in range(size):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    at = places[b * height + y] + x * channels + c
                    shift[b, c, y, x] = additive * levels[0] * normal[at]
                    gain[b, c, y, x] = 1 + multiplicative * levels[1] * (2 * uniform[at] - 1)
    return torch.from_numpy(gain), torch.from_numpy(shift)


def hand_run(network, images, stage, lam, order, generator):
    model = network.model

    def mixed(h):
        gain, shift = noise_by_hand(h.shape, 0.4, 0.2, generator)
        return gain * (lam * h + (1 - lam) * h[order]) + shift

    x = mixed(images) if stage < 0 else images
    x = model.maxpool(model.act1(model.bn1(model.conv1(x))))
    for index, layer in enumerate([model.layer1, model.layer2, model.layer3, model.layer4]):
        x = layer(x)
        x = mixed(x) if index == stage else x
    return model.fc(model.global_pool(x)).detach().numpy()


def test_equals_a_hand_run_at_every_stage(resnet64, batch64, progress):
    images, labels = batch64
    met = set()
    for seed in range(10):
        loss = NoisyFeatureMixup().loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))
        same = torch.Generator().manual_seed(seed)
        stage = int(torch.randint(4, (), generator=same)) - 1
        lam, order = draws.beta(1.0, same), torch.randperm(6, generator=same)
        logits = hand_run(resnet64, images, stage, lam, order, same)
        targets = lam * np.eye(4)[labels] + (1 - lam) * np.eye(4)[labels[order]]
        expected = -np.mean([(t * (z - np.log(np.exp(z).sum()))).sum() for z, t in zip(logits, targets, strict=True)])
        # the noise is drawn in float32, and its levels are applied before it becomes float64
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        met.add(stage)
    assert met == {-1, 0, 1, 2}


def test_without_noise_it_is_manifold_mixup(resnet64, batch64, progress):
    for seed in range(6):
        noiseless, manifold = (
            method.loss(resnet64, *batch64, progress, torch.Generator().manual_seed(seed))
            for method in (
                NoisyFeatureMixup(additive=0, multiplicative=0, stages=2, alpha=0.7),
                ManifoldMixup(stages=2, alpha=0.7),
            )
        )
        torch.testing.assert_close(noiseless, manifold, rtol=1e-6, atol=0)


def test_noise_has_the_moments_of_independent_draws():
    method, generator = NoisyFeatureMixup(additive=0.5, multiplicative=0), torch.Generator().manual_seed(0)
    noise = method.perturb(torch.zeros(64, 8, 16, 16), generator)  # 131072 values
    level = 0.5 * _first_level(0)
    assert float(noise.std()) == pytest.approx(level, rel=0.02)
    assert abs(float(noise.mean())) < 0.02 * level
    flat = noise.flatten(1)
    correlation = torch.corrcoef(flat)[~torch.eye(64, dtype=torch.bool)]
    assert float(correlation.abs().max()) < 0.2  # 2048 values a map: a standard error of 0.022, shared windows more
    assert abs(float(correlation.mean())) < 0.002


def test_multiplicative_noise_is_uniform_around_one():
    method, generator = NoisyFeatureMixup(additive=0, multiplicative=0.8), torch.Generator().manual_seed(1)
    gain = method.perturb(torch.ones(32, 4, 16, 16), generator)
    same = torch.Generator().manual_seed(1)
    _, level = (0.8 * float(torch.rand(6, generator=same, dtype=torch.float64).sort().values[1]) for _ in range(2))
    assert 1 - level <= float(gain.min()) < 1 - 0.99 * level and 1 + 0.99 * level < float(gain.max()) <= 1 + level
    assert float(gain.std()) == pytest.approx(level / np.sqrt(3), rel=0.02)


def test_tokens_get_noise_token_by_token(rng):
    tokens = torch.zeros(3, 5, 7, dtype=torch.float64)
    noise = NoisyFeatureMixup().perturb(tokens, rng)
    assert noise.shape == tokens.shape and len(noise.unique()) > 95  # windows of 105 values hardly overlap


def test_levels_follow_beta_2_5():
    # Beta(2, 5): mean 2/7, variance 2 * 5 / (7^2 * 8) = 5/196
    generator = torch.Generator().manual_seed(0)
    drawn = [beta_2_5(generator) for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(2 / 7, abs=0.01)  # four standard errors
    assert np.var(drawn) == pytest.approx(5 / 196, rel=0.1)


def _first_level(seed):
    return float(torch.rand(6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).sort().values[1])


@pytest.mark.parametrize("params", [{"alpha": 0}, {"additive": -1}, {"multiplicative": -1}, {"stages": 5}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.noisy_feature_mixup.{next(iter(params))}"):
        make("noisy_feature_mixup", params)
