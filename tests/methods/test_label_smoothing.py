"""Label smoothing: against a loop, by hand, and its limits."""

import pytest
import torch
from reference import mixing

from benchmark.errors import InputError
from benchmark.methods.label_smoothing import LabelSmoothing
from benchmark.registry import method as make


def test_label_smoothing_by_hand():
    # K = 4, e = 0.2: 0.8 * 1 + 0.2 / 4 = 0.85 for the class, 0.05 for each other
    _, targets = LabelSmoothing(epsilon=0.2).mix(torch.zeros(1, 1, 2, 2), torch.eye(4)[:1], torch.Generator())
    torch.testing.assert_close(targets, torch.tensor([[0.85, 0.05, 0.05, 0.05]]))


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.7])
def test_loss_equals_the_loop(resnet64, batch64, progress, rng, epsilon):
    images, labels = batch64
    loss = LabelSmoothing(epsilon=epsilon).loss(resnet64, images, labels, progress, rng)
    targets = [[(1 - epsilon) * t + epsilon / 4 for t in row] for row in mixing.one_hot(labels, 4)]
    assert loss.item() == pytest.approx(mixing.cross_entropy(resnet64(images), targets), rel=1e-6)


@pytest.mark.parametrize("epsilon", [-0.1, 1.0])
def test_parameters_out_of_range_are_refused(epsilon):
    with pytest.raises(InputError, match=r"method\.label_smoothing\.epsilon"):
        make("label_smoothing", {"epsilon": epsilon})
