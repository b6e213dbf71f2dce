"""Bootstrap over images: how often each is drawn in a resample, and percentile intervals of what follows.

Resamples are stratified by fine class: each class keeps its size. So a class of one image never varies, and intervals
say what other test images of the same classes would have given, not what other classes would.
"""

import math

import torch
from torch import Generator, Tensor

LEVEL = 0.95
_HIGH = 2**62  # draws below it, modulo a class size: off uniform by less than 1e-12 for any size below a million


def weights(fine: Tensor, replicates: int, rng: Generator) -> Tensor:
    """How often each image is drawn when every fine class is drawn anew, with replacement, to its own size.

    Args:
        fine: (N,) int64, fine labels.
        replicates: B >= 1 resamples.
        rng: on the CPU.

    Returns:
        (B, N) int16 on the device of `fine`; in every row the entries of a class sum to its size.
    """
    labels = fine.cpu()
    order = labels.argsort(stable=True)
    sizes = labels.bincount()[labels[order]]  # (N,) of each image's class, images sorted by class
    first = torch.searchsorted(labels[order], labels[order])  # (N,) where that class begins
    counts = torch.zeros(replicates, len(labels), dtype=torch.int16)
    ones = torch.ones(len(labels), dtype=torch.int16)
    for row in counts:  # one at a time: memory stays O(N) beside the result
        drawn = torch.randint(_HIGH, (len(labels),), generator=rng) % sizes
        row.index_add_(0, order.index_select(0, first + drawn), ones)
    return counts.to(fine.device)


def interval(values: Tensor) -> tuple[float, float]:
    """The 2.5 % and 97.5 % percentiles of resampled values, the nearest values outwards.

    Args:
        values: (B,) float; NaN where a resample left the score undefined, which is passed over.

    Returns:
        low and high; NaN where nothing is defined. Infinity is a value like any other.
    """
    found = values[~values.isnan()].double().sort().values
    if not len(found):
        return math.nan, math.nan
    tail = (1 - LEVEL) / 2 * (len(found) - 1)
    return float(found[math.floor(tail)]), float(found[len(found) - 1 - math.floor(tail)])
