"""Weighted k-nearest neighbours with cosine similarity (the protocol of Wu et al., CVPR 2018, arXiv:1805.01978)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

K = 20
TEMPERATURE = 0.07
ENTRIES = 2**26  # of the similarity matrix at a time
BLOCK = 64  # images of the bank that are first looked at as one


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
    size = -(-len(unit_bank) // BLOCK) * BLOCK  # filled up with what is nobody's neighbour
    cosines = unit_bank.new_full((rows, size), -2.0)  # one piece of memory for all chunks: fresh pages cost a tenth
    predicted = []
    for chunk in F.normalize(queries, dim=1).split(rows):
        _multiply(chunk, unit_bank, cosines[: len(chunk), : len(unit_bank)])
        similarity, neighbour = _nearest(cosines[: len(chunk)], k)  # (n, k)
        weights = ((similarity - 1) / TEMPERATURE).exp()  # a common factor: no overflow, same arg-max
        votes = similarity.new_zeros(len(chunk), num_classes).scatter_add_(1, bank[1][neighbour], weights)
        predicted.append(votes.argmax(dim=1))
    return torch.cat(predicted)


def _multiply(chunk: Tensor, bank: Tensor, out: Tensor) -> None:
    """All inner products, (n, M). On a CPU by NumPy, whose OpenBLAS beats torch's MKL by a fifth on AMD."""
    if out.is_cpu:
        np.matmul(chunk.numpy(), bank.numpy().T, out=out.numpy())
    else:
        torch.mm(chunk, bank.T, out=out)


def _nearest(cosines: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row and their places, out of the k blocks whose maxima are largest: they hold them all."""
    blocks = cosines.unflatten(1, (-1, BLOCK))
    best = blocks.amax(dim=2).topk(min(k, blocks.shape[1]), dim=1).indices
    candidates = blocks.gather(1, best[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
    largest, place = candidates.topk(k, dim=1)
    return largest, best.gather(1, place // BLOCK) * BLOCK + place % BLOCK
