"""Every read-out of fine labels from frozen features, train -> test, in one call: features -> Predictions.

Where a task keeps fine classes away from pretraining (a subpopulation shift), features and data are those of the kept
ones: every read-out of fine labels is then a transfer to subclasses that the network has never seen, the linear probe
being BREEDS' "target accuracy after re-training the last layer".
"""

import math

import torch
from torch import Generator, Tensor

from benchmark.metrics import Predictions
from benchmark.probes import clustering, episodes, knn, linear, ncm, retrieval
from benchmark.probes.linear import LinearProbe
from benchmark.schema import Features, Labels, Task


def answer(
    features: Features, labels: Labels, task: Task, episode_draws: Generator, clustering_seed: int
) -> tuple[Predictions, LinearProbe]:
    """What every read-out answers on test.

    Args:
        features: of the splits that are evaluated, on any device.
        labels: their fine labels, each at least once in train, and the coarse labels of `source_logits`.
        task: gives the coarse label of each fine one.
        episode_draws: on the CPU; with the seed, the same for all methods of a comparison.
        clustering_seed: >= 0.

    Returns:
        Predictions on the CPU; the linear probe where the features lie.

    Raises:
        ValueError: if a feature is not finite, or a test feature is zero, which has no direction.
        ArithmeticError: if the linear probe does not converge.
    """
    _check(features)
    device = features.test.device
    train, val, fine = (split.to(device) for split in (labels.train, labels.val, labels.test))
    to_coarse = torch.tensor(task.evaluation.fine_to_coarse, device=device)
    probe = linear.fit((features.train, train), (features.val, val))
    logits = probe.logits(features.test)  # (N, F)
    other_superclass = to_coarse != to_coarse[fine][:, None]  # (N, F)
    bank = torch.cat([features.train, features.val]), torch.cat([train, val])
    first_hit, average_precision = retrieval.search(features.test, fine)
    predictions = Predictions(
        fine=fine.cpu(),
        shots=labels.shots.cpu(),
        coarse_logits=None if features.test_logits is None else features.test_logits.float().cpu(),
        source=_source(features, labels),
        linear=logits.argmax(dim=1).cpu(),
        linear_within=logits.masked_fill(other_superclass, -math.inf).argmax(dim=1).cpu(),
        knn=knn.predict(bank, features.test, len(to_coarse)).cpu(),
        ncm=ncm.predict(bank, features.test, len(to_coarse)).cpu(),
        first_hit=first_hit.cpu(),
        average_precision=average_precision.cpu(),
        episodes=episodes.run((features.train, train), (features.test, fine), to_coarse, episode_draws),
        clusters=clustering.predict(features.test, fine, to_coarse, clustering_seed),
        tuned=None if features.tuned is None else features.tuned.cpu(),
    )
    return predictions, probe


def _source(features: Features, labels: Labels) -> Tensor | None:
    """Coarse labels and the head's answers on test images of seen subclasses, (M, 2) int64; None without a shift."""
    if features.source_logits is None or labels.source is None:
        return None
    return torch.stack([labels.source.cpu(), features.source_logits.argmax(dim=1).cpu()], dim=1)


def _check(features: Features) -> None:
    for name in ("train", "val", "test"):
        lengths = torch.linalg.vector_norm(getattr(features, name), dim=1)
        if not torch.isfinite(lengths).all():
            raise ValueError(f"{name} features hold NaN or infinity; the network has diverged")
    zeros = int((lengths == 0).sum())
    if zeros:
        raise ValueError(f"{zeros} of {len(lengths)} features are zero and have no direction; the network is dead")
