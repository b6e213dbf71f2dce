"""Tracking: the metrics of validation features at the epochs asked for, and training as if nobody had looked."""

import pytest
import torch
from reference import metrics

from benchmark import backbones, cell, data, tracking
from benchmark.data import policy
from benchmark.pretrain import Silent, pretrain
from benchmark.registry import method

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def splits(toy_task, toy_images):
    return data.load(toy_task, toy_images)


def trained(toy_cell, splits, every):
    """History and final weights."""
    made = toy_cell("mixup")
    network = backbones.build("test_resnet", {}, 3, 3, 16, seed=0)
    coarse = tuple(data.coarsen(split, made.task) for split in (splits.train, splits.val))
    statistics = policy.channel_statistics(splits.train.images)
    observe = tracking.observer(network, splits.val, made.task, every, statistics, CPU)
    history = pretrain(
        network, method("mixup", {}), made.recipe, coarse, cell._streams(made, cell.PRETRAINING), CPU, Silent(), observe
    )
    return history, network


def test_training_goes_on_as_if_nobody_had_looked(toy_cell, splits):
    plain, network = trained(toy_cell, splits, every=0)
    watched, same = trained(toy_cell, splits, every=1)
    for name, value in network.state_dict().items():
        assert torch.equal(value, same.state_dict()[name]), name
    assert [epoch["loss"] for epoch in plain] == [epoch["loss"] for epoch in watched]
    assert not set(tracking.TRACKED) & set(plain[0]) and set(tracking.TRACKED) <= set(watched[0])


def test_figures_are_those_of_the_network_as_it_is(toy_cell, splits, toy_task):
    history, network = trained(toy_cell, splits, every=5)
    assert "alignment_fine" not in history[0]  # every fifth epoch, and the last
    mean, std = policy.channel_statistics(splits.train.images)
    network.eval()
    with torch.no_grad():
        features = network.features((splits.val.images.to(CPU).float() - mean) / std)
    coarse = torch.tensor(toy_task.fine_to_coarse)[splits.val.labels]
    assert history[1]["alignment_fine"] == pytest.approx(metrics.alignment(features, splits.val.labels), rel=1e-4)
    assert history[1]["nc1_coarse"] == pytest.approx(metrics.nc1(features, coarse), rel=1e-3)
