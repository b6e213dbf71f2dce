"""Collapse while a network trains: a chosen set of metrics every few epochs, on a fixed subset of validation images."""

from collections.abc import Callable, Mapping

import torch

from benchmark.backbones import Network
from benchmark.collapse.measure import measure
from benchmark.features import Statistics, pooled
from benchmark.pretrain import subset
from benchmark.schema import Split, Task

IMAGES = 2000  # of validation, evenly spaced; test is not looked at before training ends
TRACKED = (
    "alignment_coarse",
    "alignment_fine",
    "uniformity",
    "nc1_coarse",
    "nc1_fine",
    "subclass_separability",
    "class_separation_r2",
    "variance_coarse",
    "variance_fine",
    "rankme",
    "feature_norm",
)


def observer(
    network: Network, val: Split, task: Task, every: int, statistics: Statistics, device: torch.device
) -> Callable[[int, int], Mapping[str, float]]:
    """A function of (epoch, epochs) that measures TRACKED after every `every`-th epoch and the last.

    It draws no random number and leaves the network in its mode: training goes on as if nobody had looked.

    Args:
        network: being trained.
        val: images held out from pretraining, with their fine labels.
        task: gives their coarse labels.
        every: in epochs; 0: nothing is measured.
        statistics: to normalise pixels by.
        device: where the network is.
    """
    watched, to_coarse = subset(val, IMAGES), torch.tensor(task.fine_to_coarse)

    def observe(epoch: int, epochs: int) -> Mapping[str, float]:
        if not every or ((epoch + 1) % every and epoch + 1 < epochs):
            return {}
        features = pooled(network, watched.images, statistics, device)
        measured = measure(features, watched.labels, to_coarse)
        return {name: measured[name] for name in TRACKED}

    return observe
