"""Weighted k-nearest neighbours with cosine similarity (the protocol of Wu et al., CVPR 2018, arXiv:1805.01978)."""

import torch
import torch.nn.functional as F
from torch import Tensor

K = 20
TEMPERATURE = 0.07
CHUNK = 1024


def predict(bank: tuple[Tensor, Tensor], queries: Tensor, num_classes: int) -> Tensor:
    """Classes with the largest sum of exp(cosine / 0.07) over the 20 nearest neighbours.

    Args:
        bank: features (M, D) float32 and labels (M,) int64.
        queries: (N, D) float32.
        num_classes: F.

    Returns:
        (N,) int64. The similarity matrix is never larger than CHUNK x M.
    """
    unit_bank = F.normalize(bank[0], dim=1)
    k = min(K, len(unit_bank))
    predicted = []
    for chunk in F.normalize(queries, dim=1).split(CHUNK):
        similarity, neighbour = (chunk @ unit_bank.T).topk(k, dim=1)  # (n, k)
        weights = ((similarity - 1) / TEMPERATURE).exp()  # a common factor: no overflow, same arg-max
        votes = similarity.new_zeros(len(chunk), num_classes).scatter_add_(1, bank[1][neighbour], weights)
        predicted.append(votes.argmax(dim=1))
    return torch.cat(predicted)
