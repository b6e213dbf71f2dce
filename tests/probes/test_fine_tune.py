"""Fine-tuning: it learns fine labels, leaves the frozen network alone, and repeats."""

import dataclasses

import pytest
import torch

from benchmark import backbones, cell, data
from benchmark.probes import fine_tune

CPU = torch.device("cpu")


@pytest.fixture
def tuned(toy_cell, toy_task, toy_images):
    """Runs on the toy task; gives predictions, their accuracy, and the network."""

    def run(splits=None, recipe=None):
        made = toy_cell()
        splits = splits or data.load(toy_task, toy_images)
        network = backbones.build("test_resnet", {}, 3, 3, 16, seed=0)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        predicted = fine_tune.predict(
            network, splits, recipe or made.recipe, cell._streams(made, cell.FINE_TUNING), 5, CPU
        )
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
        return predicted, float((predicted == splits.test.labels).double().mean())

    return run


def test_it_learns_fine_labels_and_repeats(tuned):
    predicted, accuracy = tuned()
    again, _ = tuned()
    assert accuracy > 2 / 7  # twice chance on seven classes
    assert torch.equal(predicted, again)


def test_the_budget_is_fixed(tuned, toy_recipe):
    other = dataclasses.replace(toy_recipe, epochs=9, warmup_epochs=2.0, schedule="constant")
    assert torch.equal(tuned()[0], tuned(recipe=other)[0])  # none of these is part of it


def test_test_labels_are_not_looked_at(tuned, toy_task, toy_images):
    splits = data.load(toy_task, toy_images)
    wrong = dataclasses.replace(splits, test=dataclasses.replace(splits.test, labels=splits.test.labels.flip(0)))
    assert torch.equal(tuned()[0], tuned(wrong)[0])
