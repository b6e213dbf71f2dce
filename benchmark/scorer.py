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
from benchmark.schema import Data, Features, Scores, Selection, Task


def score(features: Features, data: Data, task: Task) -> tuple[Scores, Selection]:
    """All scores on test, and the validation figures that choices were made by.

    Args:
        features: of all splits, on the CPU.
        data: the splits' fine labels.
        task: gives the coarse label of each fine one.

    Raises:
        ValueError: if a test feature is zero or not finite.
    """
    to_coarse = torch.tensor(task.fine_to_coarse)
    fine, coarse = data.test.labels, to_coarse[data.test.labels]
    probe = linear.fit((features.train, data.train.labels), (features.val, data.val.labels))
    logits = probe.logits(features.test)  # (N, F)
    other_superclass = to_coarse[None, :] != coarse[:, None]  # (N, F)
    bank = torch.cat([features.train, features.val]), torch.cat([data.train.labels, data.val.labels])
    num_fine = len(task.fine_classes)
    margins = (math.nan, math.nan)
    if features.head_weight is not None:
        margins = margin_summary(features.test_logits, features.head_weight, coarse)
    scores = Scores(
        coarse_acc=_accuracy(features.test_logits.argmax(dim=1), coarse),
        fine_linear_acc=_accuracy(logits.argmax(dim=1), fine),
        fine_linear_within_acc=_accuracy(logits.masked_fill(other_superclass, -math.inf).argmax(dim=1), fine),
        fine_knn_acc=_accuracy(knn.predict(bank, features.test, num_fine), fine),
        fine_ncm_acc=_accuracy(ncm.predict(bank, features.test, num_fine), fine),
        alignment_coarse=alignment(features.test, coarse),
        alignment_fine=alignment(features.test, fine),
        uniformity=uniformity(features.test),
        nc1_coarse=nc1(features.test, coarse),
        nc1_fine=nc1(features.test, fine),
        subclass_separability=subclass_separability(features.test, fine, coarse),
        class_separation_r2=class_separation_r2(features.test, coarse),
        rankme=rankme(features.test),
        margin_mean=margins[0],
        margin_cv=margins[1],
    )
    coarse_val_acc = _accuracy(features.val_logits.argmax(dim=1), to_coarse[data.val.labels])
    return scores, Selection(coarse_val_acc, probe.val_acc, probe.l2)


def _accuracy(predicted: Tensor, labels: Tensor) -> float:
    return float((predicted == labels).double().mean())
