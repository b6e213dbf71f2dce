"""Predictions -> lines of scores.csv: what the head and the read-outs are worth, with intervals. Pure; no network.

Every metric has one figure of all images, NaN where it is undefined. Superclasses are those of the true label; theirs
are left out where undefined. `WORST` is the lowest of them.

Intervals are 95 %: percentiles over resamples of the test images for scores of images (accuracies, recall, MAP@R,
calibration, confidence), 1.96 standard errors over episodes for few-shot accuracies, none for clustering. That of a
lowest figure is of the lowest in each resample, and the calibration error is a sum of absolute values: noise pushes
the first down and the second up, so a figure can lie at the end of its interval.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark import resampling
from benchmark.metrics import METRICS, WORST, Figure, Predictions
from benchmark.probes import calibration, clustering
from benchmark.schema import Task

MANY, FEW = 100, 20  # training images: more than MANY, fewer than FEW (Liu et al., CVPR 2019)
RECALLS = (1, 2, 5, 10)


@dataclass(frozen=True)
class _Value:
    """A score and its interval."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class _Found:
    """A metric of all images, of the worst superclass (None where there is no such thing), and of each superclass."""

    total: _Value = _Value()
    worst: _Value | None = None
    superclasses: Sequence[_Value] = ()

    def figures(self, metric: str, names: Sequence[str]) -> Iterator[Figure]:
        """Of all images first, then the worst, then superclasses by name."""
        worst = [] if self.worst is None else [(WORST, self.worst)]
        each = [line for line in zip(names, self.superclasses, strict=False) if not math.isnan(line[1].value)]
        for superclass, found in [("", self.total), *worst, *each]:
            yield Figure(metric, found.value, superclass=superclass, low=found.low, high=found.high)


def of(predictions: Predictions, task: Task, weights: Tensor | None = None) -> list[Figure]:
    """Every metric of the head and of the read-outs on test: of all images, of the worst superclass, of each.

    Args:
        predictions: of N test images, on the CPU.
        task: names superclasses, and says which of them a fine class is of.
        weights: (B, N) int, how often each image is in each resample; None for no intervals from them.

    Returns:
        figures in the order of METRICS.
    """
    to_coarse, names = torch.tensor(task.evaluation.fine_to_coarse), task.evaluation.coarse_classes
    coarse = to_coarse[predictions.fine]
    found = _means(_of_images(predictions, coarse, task), coarse, len(names), weights)
    if predictions.coarse_logits is not None:
        found["coarse_ece"] = _calibration_error(predictions.coarse_logits, coarse, len(names), weights)
        found["worst_class_acc"] = _Found(found["coarse_acc"].worst or _Value())
    found["fine_linear_worst_acc"] = _Found(found["fine_linear_acc"].worst or _Value())
    if predictions.source is not None:
        label, answer = predictions.source.T
        found |= _means({"source_coarse_acc": (answer == label).double()}, label, len(names), None)
    found |= {f"fine_{setting}_acc": _few_shot(episodes) for setting, episodes in predictions.episodes.items()}
    found |= _clustering(predictions, coarse, len(names))
    wanted = [name for name, metric in METRICS.items() if metric.family in ("head", "read-out")]
    return [figure for name in wanted for figure in found.get(name, _Found()).figures(name, names)]


def _of_images(predictions: Predictions, coarse: Tensor, task: Task) -> dict[str, Tensor]:
    """Scores that are means over images: (N,) float64 for each metric, NaN where an image does not count."""
    fine, alone = predictions.fine, predictions.average_precision.isnan()  # no other image of the class to be found
    answers = {"linear": predictions.linear, "knn": predictions.knn, "ncm": predictions.ncm}
    if len(set(task.evaluation.fine_to_coarse)) < len(task.evaluation.fine_to_coarse):  # else there is no choice
        answers["linear_within"] = predictions.linear_within
    if predictions.tuned is not None:
        answers["tuned"] = predictions.tuned
    scores = {f"fine_{name}_acc": (answer == fine).double() for name, answer in answers.items()}
    for k in RECALLS:
        hit = (predictions.first_hit > 0) & (predictions.first_hit <= k)
        scores[f"fine_recall_at_{k}"] = hit.double().masked_fill(alone, math.nan)
    scores["fine_map_at_r"] = predictions.average_precision.double()
    if predictions.coarse_logits is not None:
        right = (predictions.coarse_logits.argmax(dim=1) == coarse).double()
        confidence = calibration.confidence(predictions.coarse_logits)
        scores |= {"coarse_acc": right, "coarse_confidence": confidence}
        if task.kind == "long-tailed":
            scores |= _by_shots(right, predictions.shots[fine])
    return scores


def _by_shots(right: Tensor, shots: Tensor) -> dict[str, Tensor]:
    """Whether the head is right, (N,), for images of classes with many, medium and few training images."""
    groups = {"many_acc": shots > MANY, "medium_acc": (shots >= FEW) & (shots <= MANY), "few_acc": shots < FEW}
    return {name: right.masked_fill(~group, math.nan) for name, group in groups.items()}


def _means(scores: Mapping[str, Tensor], coarse: Tensor, num_coarse: int, weights: Tensor | None) -> dict[str, _Found]:
    values = torch.stack(list(scores.values()), dim=1)  # (N, P)
    sums = _sums(torch.cat([values.nan_to_num(), ~values.isnan()], dim=1), coarse, num_coarse, weights)
    sums, counts = sums.chunk(2, dim=2)  # (K, 1 + B, P)
    of_class, total = sums / counts, sums.sum(dim=0) / counts.sum(dim=0)
    found = {}
    for p, name in enumerate(scores):
        if name in ("many_acc", "medium_acc", "few_acc"):
            found[name] = _Found(_resampled(total[:, p]))
        else:
            has_worst = name != "coarse_confidence"
            found[name] = _summary(total[:, p], of_class[:, :, p], has_worst)
    return found


def _calibration_error(logits: Tensor, coarse: Tensor, num_coarse: int, weights: Tensor | None) -> _Found:
    gaps = calibration.gaps(calibration.confidence(logits), logits.argmax(dim=1) == coarse)  # (N, bins)
    sums = _sums(torch.cat([gaps, torch.ones(len(gaps), 1)], dim=1), coarse, num_coarse, weights)
    of_class = sums[..., :-1].abs().sum(dim=2) / sums[..., -1]  # (K, 1 + B)
    sums = sums.sum(dim=0)
    return _summary(sums[:, :-1].abs().sum(dim=1) / sums[:, -1], of_class, has_worst=False)


def _sums(columns: Tensor, coarse: Tensor, num_coarse: int, weights: Tensor | None) -> Tensor:
    """Sums of (N, P) columns over the images of each superclass, as they are and resampled: (K, 1 + B, P) float64."""
    columns, sums = columns.double(), []
    for label in range(num_coarse):
        members = (coarse == label).nonzero().flatten()
        found = [columns[members].sum(dim=0, keepdim=True)]
        if weights is not None:
            found.append(weights.index_select(1, members).double() @ columns[members])
        sums.append(torch.cat(found))
    return torch.stack(sums)


def _summary(total: Tensor, of_class: Tensor, has_worst: bool) -> _Found:
    """Of values (1 + B,) of all images and (K, 1 + B) of superclasses; the first are of the images as they are."""
    worst = None
    if has_worst:
        lowest = of_class.nan_to_num(nan=math.inf).amin(dim=0)
        worst = _resampled(lowest.masked_fill(lowest.isinf(), math.nan))
    return _Found(_resampled(total), worst, [_resampled(values) for values in of_class])


def _resampled(values: Tensor) -> _Value:
    return _Value(float(values[0]), *resampling.interval(values[1:]))


def _few_shot(counts: Tensor) -> _Found:
    """Of queries answered right and asked, (E, K, 2); each episode that asks about a superclass counts for it alike."""
    right, asked = counts.double().unbind(dim=2)  # (E, K)
    each = [_mean((right / asked)[asked[:, label] > 0, label]) for label in range(counts.shape[1])]
    return _Found(_mean(right.sum(dim=1) / asked.sum(dim=1)), _lowest(each), each)


def _mean(accuracy: Tensor) -> _Value:
    """With 1.96 standard errors."""
    if not len(accuracy):
        return _Value()
    mean = float(accuracy.mean())
    error = 1.96 * float(accuracy.std()) / math.sqrt(len(accuracy)) if len(accuracy) > 1 else math.nan
    return _Value(mean, mean - error, mean + error)


def _clustering(predictions: Predictions, coarse: Tensor, num_coarse: int) -> dict[str, _Found]:
    found: dict[str, list[_Value]] = {"fine_cluster_ami": [], "fine_cluster_acc": []}
    for label in range(num_coarse):
        members = coarse == label
        ami, accuracy = clustering.agreement(predictions.clusters[members], predictions.fine[members])
        found["fine_cluster_ami"].append(_Value(ami))
        found["fine_cluster_acc"].append(_Value(accuracy))
    summary = {}
    for name, each in found.items():
        defined = [one.value for one in each if not math.isnan(one.value)]
        total = _Value(sum(defined) / len(defined)) if defined else _Value()
        summary[name] = _Found(total, _lowest(each), each)
    return summary


def _lowest(each: Sequence[_Value]) -> _Value:
    defined = [one for one in each if not math.isnan(one.value)]
    return min(defined, key=lambda one: one.value) if defined else _Value()
