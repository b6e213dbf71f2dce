"""Extraction: one frozen pass, equal to the network's own, and the head as it stands."""

import dataclasses

import pytest
import torch

from benchmark import backbones, data, pretrain
from benchmark.data import policy
from benchmark.features import by_layer, extract

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def splits(toy_task, toy_images):
    return data.load(toy_task, toy_images)


def test_features_and_logits_are_the_networks_own(splits):
    network = backbones.build("test_resnet", {}, 3, 3, 16, seed=0)
    features = extract(network, splits, None, policy.channel_statistics(splits.train.images), CPU)
    mean, std = policy.channel_statistics(splits.train.images)
    network.eval()
    with torch.no_grad():
        expected = network.features((splits.test.images.float() - mean) / std)
    torch.testing.assert_close(features.test, expected, rtol=1e-4, atol=1e-5)  # other memory format
    with torch.no_grad():
        torch.testing.assert_close(features.test_logits, network.classify(expected), rtol=1e-4, atol=1e-5)
    weight, bias = features.head
    torch.testing.assert_close(features.test @ weight.T + bias, features.test_logits)
    assert [len(f) for f in (features.train, features.val, features.test)] == [
        len(s.labels) for s in (splits.train, splits.val, splits.test)
    ]


def test_the_network_is_left_as_it_was(splits):
    network = backbones.build("test_resnet", {}, 3, 3, 16, seed=0).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    extract(network, splits, None, policy.channel_statistics(splits.train.images), CPU)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_head_that_is_not_linear_has_no_weights(splits):
    network = backbones.build("test_resnet", {}, 3, 3, 16, seed=0)
    network.model.fc = torch.nn.Sequential(network.model.fc, torch.nn.Tanh())
    features = extract(network, splits, None, policy.channel_statistics(splits.train.images), CPU)
    assert features.head is None and features.test_logits.abs().max() <= 1


@pytest.mark.parametrize("batch", [1, 7])
def test_batch_size_does_not_matter(batch, splits, monkeypatch):
    network = backbones.build("test_resnet", {}, 3, 3, 16, seed=0)
    statistics = policy.channel_statistics(splits.train.images)
    expected = extract(network, splits, None, statistics, CPU)
    monkeypatch.setattr(pretrain, "EVAL_BATCH", batch)
    found = extract(network, splits, None, statistics, CPU)
    scale = expected.test.abs().max()
    torch.testing.assert_close(found.test / scale, expected.test / scale, rtol=0, atol=1e-6)


def test_a_shift_is_read_on_what_pretraining_saw(splits):
    network = backbones.build("test_resnet", {}, 3, 3, 16, seed=0)
    statistics = policy.channel_statistics(splits.train.images)
    source = dataclasses.replace(splits, val=splits.test, test=splits.val)
    features = extract(network, splits, source, statistics, CPU)
    torch.testing.assert_close(features.held_out_logits, features.test_logits)
    plain = extract(network, splits, None, statistics, CPU)
    torch.testing.assert_close(features.source_logits, plain.held_out_logits)
    assert plain.source_logits is None


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("test_resnet", {}),
        ("convnext-atto-p1", {"depths": (1, 1, 1, 1), "dims": (4, 8, 8, 8)}),
        ("vit_tiny_patch16_224", {"patch_size": 4, "img_size": 16, "depth": 2, "embed_dim": 8, "num_heads": 2}),
        ("swin_tiny_patch4_window7_224", {"patch_size": 2, "window_size": 2, "img_size": 16, "embed_dim": 8}),
    ],
)
def test_layers_are_the_averaged_outputs_of_the_stages(name, args, splits):
    network = backbones.build(name, args, 3, 3, 16, seed=0)
    mean, std = policy.channel_statistics(splits.train.images)
    layers = by_layer(network, splits.test.images, (mean, std), CPU)
    assert list(layers) == [f"stage {i + 1}" for i in range(network.num_stages)]
    network.eval()
    for stage, found in enumerate(layers.values()):
        seen = []
        with torch.no_grad():
            network.features((splits.test.images.float() - mean) / std, stage, lambda h, seen=seen: seen.append(h) or h)
        expected = network.to_maps(seen[0]).flatten(2).mean(dim=2)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
