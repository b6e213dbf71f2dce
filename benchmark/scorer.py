"""Features -> Scores: every read-out and every collapse metric of a cell, from one feature pass."""

import math

import torch
from torch import Tensor

from benchmark.collapse.alignment import alignment, class_separation_r2, uniformity
from benchmark.collapse.margins import margin_summary
from benchmark.collapse.neural_collapse import nc1
from benchmark.collapse.rank import rankme
from benchmark.collapse.separability import subclass_separability
from benchmark.probes import knn, linear, ncm
from benchmark.schema import Data, Features, Scores, Selection, Split, Task

MANY, FEW = 100, 20  # training images: more than MANY, fewer than FEW (Liu et al., CVPR 2019)


def score(features: Features, data: Data, task: Task, seen: tuple[Features, Data]) -> tuple[Scores, Selection]:
    """All scores on test, and the validation figures that choices were made by.

    Args:
        features: of the splits that are evaluated, on the CPU.
        data: their fine labels.
        task: gives the coarse label of each fine one.
        seen: features and labels of the splits that pretraining was on; the same but for a subpopulation shift.

    Raises:
        ValueError: if a test feature is zero or not finite.
    """
    to_coarse = torch.tensor(task.evaluation.fine_to_coarse)
    fine, coarse = data.test.labels, to_coarse[data.test.labels]
    probe = linear.fit((features.train, data.train.labels), (features.val, data.val.labels))
    logits = probe.logits(features.test)  # (N, F)
    other_superclass = to_coarse[None, :] != coarse[:, None]  # (N, F)
    bank = torch.cat([features.train, features.val]), torch.cat([data.train.labels, data.val.labels])
    num_fine = len(to_coarse)
    right = features.test_logits.argmax(dim=1) == coarse
    within, separability = math.nan, math.nan  # undefined where every coarse class is one fine class
    if task.kind != "long-tailed":
        within = _accuracy(logits.masked_fill(other_superclass, -math.inf).argmax(dim=1), fine)
        separability = subclass_separability(features.test, fine, coarse)
    margins = (math.nan, math.nan)
    if features.head_weight is not None:
        margins = margin_summary(features.test_logits, features.head_weight, coarse)
    scores = Scores(
        coarse_acc=_accuracy(features.test_logits.argmax(dim=1), coarse),
        worst_class_acc=min(float(right[coarse == label].double().mean()) for label in coarse.unique()),
        **_shot_accuracies(right, data.shots[fine], task),
        source_coarse_acc=_coarse_accuracy(seen[0].test_logits, seen[1].test, task)
        if task.hierarchy.target
        else math.nan,
        fine_linear_acc=_accuracy(logits.argmax(dim=1), fine),
        fine_linear_within_acc=within,
        fine_knn_acc=_accuracy(knn.predict(bank, features.test, num_fine), fine),
        fine_ncm_acc=_accuracy(ncm.predict(bank, features.test, num_fine), fine),
        alignment_coarse=alignment(features.test, coarse),
        alignment_fine=alignment(features.test, fine),
        uniformity=uniformity(features.test),
        nc1_coarse=nc1(features.test, coarse),
        nc1_fine=nc1(features.test, fine),
        subclass_separability=separability,
        class_separation_r2=class_separation_r2(features.test, coarse),
        rankme=rankme(features.test),
        margin_mean=margins[0],
        margin_cv=margins[1],
    )
    return scores, Selection(_coarse_accuracy(seen[0].val_logits, seen[1].val, task), probe.val_acc, probe.l2)


def _shot_accuracies(right: Tensor, shots: Tensor, task: Task) -> dict[str, float]:
    """Accuracy among test images of classes with many, medium and few training images; NaN where there are none.

    Args:
        right: (N,) bool, whether the head is.
        shots: (N,) int64, training images of each image's class.
        task: groups are of long-tailed tasks only.
    """
    groups = {"many_acc": shots > MANY, "medium_acc": (shots >= FEW) & (shots <= MANY), "few_acc": shots < FEW}
    if task.kind != "long-tailed":
        return dict.fromkeys(groups, math.nan)
    return {name: float(right[group].double().mean()) for name, group in groups.items()}


def _coarse_accuracy(logits: Tensor, split: Split, task: Task) -> float:
    """Of the head on images that pretraining was on, or held out from them."""
    coarse = torch.tensor(task.pretraining.fine_to_coarse)[split.labels]
    return _accuracy(logits.argmax(dim=1), coarse)


def _accuracy(predicted: Tensor, labels: Tensor) -> float:
    return float((predicted == labels).double().mean())
