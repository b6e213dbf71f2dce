"""Weighted k-nearest neighbours with cosine similarity (the protocol of Wu et al., CVPR 2018, arXiv:1805.01978)."""

import torch
import torch.nn.functional as F
from torch import Tensor

K = 20
TEMPERATURE = 0.07
ENTRIES = 2**26  # of the similarity matrix at a time


def predict(bank: tuple[Tensor, Tensor], queries: Tensor, num_classes: int) -> Tensor:
    """Classes with the largest sum of exp(cosine / 0.07) over the 20 nearest neighbours.

    Args:
        bank: features (M, D) float32 and labels (M,) int64.
        queries: (N, D) float32.
        num_classes: F.

    Returns:
        (N,) int64.
    """
    unit_bank = F.normalize(bank[0], dim=1)
    k = min(K, len(unit_bank))
    rows = min(len(queries), max(1, ENTRIES // len(unit_bank)))
    cosines = unit_bank.new_empty(rows, len(unit_bank))  # one piece of memory for all chunks: fresh pages cost a tenth
    predicted = []
    for chunk in F.normalize(queries, dim=1).split(rows):
        torch.mm(chunk, unit_bank.T, out=cosines[: len(chunk)])
        similarity, neighbour = cosines[: len(chunk)].topk(k, dim=1)  # (n, k)
        weights = ((similarity - 1) / TEMPERATURE).exp()  # a common factor: no overflow, same arg-max
        votes = similarity.new_zeros(len(chunk), num_classes).scatter_add_(1, bank[1][neighbour], weights)
        predicted.append(votes.argmax(dim=1))
    return torch.cat(predicted)
