"""Weighted k-nearest neighbours with cosine similarity (the protocol of Wu et al., CVPR 2018, arXiv:1805.01978)."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from threadpoolctl import threadpool_limits
from torch import Tensor

K = 20
TEMPERATURE = 0.07
ENTRIES = 2**26  # of the similarity matrix at a time, over all threads
BLOCK = 64  # images of the bank that are first looked at as one


def predict(bank: tuple[Tensor, Tensor], queries: Tensor, num_classes: int) -> Tensor:
    """Classes with the largest sum of exp(cosine / 0.07) over the 20 nearest neighbours.

    On a CPU every thread answers its share of the queries alone: teams of threads, NumPy's and torch's by turns, would
    wait for each other at every step.

    Args:
        bank: features (M, D) float32 and labels (M,) int64.
        queries: (N, D) float32.
        num_classes: F.

    Returns:
        (N,) int64.
    """
    unit = F.normalize(bank[0], dim=1), bank[1]
    threads = torch.get_num_threads() if queries.is_cpu else 1
    shares = F.normalize(queries, dim=1).chunk(threads)
    rows = max(1, ENTRIES // len(shares) // len(bank[0]))
    answer = partial(_answer, unit, num_classes=num_classes, rows=rows)
    if len(shares) == 1:
        return answer(shares[0])
    try:
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(len(shares), "knn", torch.set_num_threads, (1,)) as pool:
            return torch.cat(list(pool.map(answer, shares)))
    finally:
        torch.set_num_threads(threads)  # the calling thread kept its number, threads begun later would not


def _answer(unit: tuple[Tensor, Tensor], queries: Tensor, num_classes: int, rows: int) -> Tensor:
    """(N,) classes of queries on the unit sphere, so many rows at a time."""
    bank, labels = unit
    k = min(K, len(bank))
    cosines = _room(min(rows, len(queries)), -(-len(bank) // BLOCK) * BLOCK, bank)
    cosines[:, len(bank) :] = -2.0  # filled up with what is nobody's neighbour
    predicted = []
    for chunk in queries.split(rows):
        _multiply(chunk, bank, cosines[: len(chunk), : len(bank)])
        similarity, neighbour = _nearest(cosines[: len(chunk)], k)  # (n, k)
        weights = ((similarity - 1) / TEMPERATURE).exp()  # a common factor: no overflow, same arg-max
        votes = similarity.new_zeros(len(chunk), num_classes).scatter_add_(1, labels[neighbour], weights)
        predicted.append(votes.argmax(dim=1))
    return torch.cat(predicted)


def _room(rows: int, columns: int, like: Tensor) -> Tensor:
    """Memory for (rows, columns), used again by all chunks. NumPy asks the system for large pages, torch does not."""
    return torch.from_numpy(np.empty((rows, columns), np.float32)) if like.is_cpu else like.new_empty(rows, columns)


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
