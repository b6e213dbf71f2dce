"""Features -> figures: every read-out and every collapse metric of a cell, from one feature pass."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from benchmark import figures as read_out_figures
from benchmark import resampling
from benchmark.collapse.measure import bootstrap, by_superclass, measure, measure_fine, shuffled
from benchmark.metrics import Figure, Predictions
from benchmark.probes import readouts
from benchmark.probes.linear import LinearProbe
from benchmark.schema import Features, Labels, Selection, Task

REPLICATES = 200  # bootstrap resamples of the test images
SHUFFLES = 10  # of the fine labels, whose mean is the null


@dataclass(frozen=True)
class Chance:
    """The draws that scores depend on; equal for all methods of a comparison."""

    episodes: Generator
    clustering: int  # a seed
    bootstrap: Generator
    shuffle: Generator


def score(
    features: Features, labels: Labels, task: Task, chance: Chance
) -> tuple[tuple[Figure, ...], Selection, Predictions]:
    """All figures of a cell, the validation figures that choices were made by, and what the read-outs answered.

    Args:
        features: of the splits that are evaluated, on the CPU.
        labels: their fine labels, and the coarse ones of what the head alone is measured on.
        task: gives the coarse label of each fine one.
        chance: draws of episodes, resamples and shuffles.

    Raises:
        ValueError: if a feature is zero or not finite.
    """
    predictions, probe = readouts.answer(features, labels, task, chance.episodes, chance.clustering)
    weights = resampling.weights(labels.test, REPLICATES, chance.bootstrap)
    found = [
        *read_out_figures.of(predictions, task, weights),
        *collapse_figures(features, labels, task, probe, weights, chance.shuffle),
    ]
    return tuple(found), Selection(_held_out_accuracy(features, labels), probe.val_acc, probe.l2), predictions


def collapse_figures(
    features: Features, labels: Labels, task: Task, probe: LinearProbe, weights: Tensor, shuffle: Generator
) -> list[Figure]:
    """Collapse metrics of test features with intervals and nulls, of train features, by superclass and by layer."""
    to_coarse = torch.tensor(task.evaluation.fine_to_coarse)
    heads = features.head, probe.on_raw_features()
    values = measure(features.test, labels.test, to_coarse, *heads)
    drawn = bootstrap(features.test, labels.test, to_coarse, weights, *heads)
    intervals = {name: resampling.interval(replicates) for name, replicates in drawn.items()}
    nulls = _untrained(features, labels, to_coarse), _shuffled(features.test, labels.test, to_coarse, shuffle)
    undefined = (math.nan, math.nan)
    found = [
        Figure(
            name, value, "test", "", "", *intervals.get(name, undefined), *(null.get(name, math.nan) for null in nulls)
        )
        for name, value in values.items()
    ]
    found += [
        Figure(name, value, superclass=task.evaluation.coarse_classes[label])
        for (name, label), value in by_superclass(features.test, labels.test, to_coarse, *heads).items()
    ]
    found += [Figure(n, v, split="train") for n, v in measure(features.train, labels.train, to_coarse, *heads).items()]
    for layer, outputs in features.layers.items():
        found += [Figure(n, v, layer=layer) for n, v in measure(outputs, labels.test, to_coarse).items()]
    return found


def _untrained(features: Features, labels: Labels, to_coarse: Tensor) -> Mapping[str, float]:
    """The metrics before training; those of a classifier are left out, for there is none yet."""
    return {} if features.untrained is None else measure(features.untrained, labels.test, to_coarse)


def _shuffled(features: Tensor, fine: Tensor, to_coarse: Tensor, rng: Generator) -> Mapping[str, float]:
    """Means over shuffles of fine labels inside coarse classes."""
    drawn = [measure_fine(features, shuffled(fine, to_coarse, rng), to_coarse) for _ in range(SHUFFLES)]
    return {name: math.fsum(one[name] for one in drawn) / SHUFFLES for name in drawn[0]}


def _held_out_accuracy(features: Features, labels: Labels) -> float:
    """Coarse accuracy of the head on images held out from pretraining; NaN without a head."""
    if features.held_out_logits is None:
        return math.nan
    return float((features.held_out_logits.argmax(dim=1) == labels.held_out).double().mean())
