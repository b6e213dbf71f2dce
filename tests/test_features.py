"""Extraction: one frozen pass, equal to the network's own, and the head as it stands."""

import pytest
import torch

from benchmark import backbones, data
from benchmark.data import policy
from benchmark.features import extract

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def splits(toy_task, toy_images):
    return data.load(toy_task, toy_images)


def test_features_and_logits_are_the_networks_own(splits):
    network = backbones.build("test_resnet", {}, 3, 3, 16, seed=0)
    features = extract(network, splits, policy.channel_statistics(splits.train.images), CPU)
    mean, std = policy.channel_statistics(splits.train.images)
    network.eval()
    with torch.no_grad():
        expected = network.features((splits.test.images.float() - mean) / std)
    torch.testing.assert_close(features.test, expected, rtol=1e-4, atol=1e-5)  # other memory format
    with torch.no_grad():
        torch.testing.assert_close(features.test_logits, network.classify(expected), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.test @ features.head_weight.T + features.head_bias, features.test_logits)
    assert [len(f) for f in (features.train, features.val, features.test)] == [
        len(s.labels) for s in (splits.train, splits.val, splits.test)
    ]


def test_the_network_is_left_as_it_was(splits):
    network = backbones.build("test_resnet", {}, 3, 3, 16, seed=0).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    extract(network, splits, policy.channel_statistics(splits.train.images), CPU)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_head_that_is_not_linear_has_no_weights(splits):
    network = backbones.build("test_resnet", {}, 3, 3, 16, seed=0)
    network.model.fc = torch.nn.Sequential(network.model.fc, torch.nn.Tanh())
    features = extract(network, splits, policy.channel_statistics(splits.train.images), CPU)
    assert features.head_weight is None and features.head_bias is None
