"""Retrieval among test images: is the nearest other image of the same fine class? Nothing is fitted.

Recall@k as in the coarse-to-fine literature (Grafit, MaskCon); MAP@R of Musgrave, Belongie and Lim, ECCV 2020
(arXiv:2003.08505): with R other images of the class, the mean over ranks i <= R of precision at i where rank i is a
hit, and 0 where it is not.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

ENTRIES = 2**23  # of the similarity matrix at a time


def search(features: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
    """Rank every other image by cosine to each; equal cosines in the order of the images.

    Args:
        features: (N, D) float32, finite and not zero.
        fine: (N,) int64.

    Returns:
        first_hit (N,) int64 >= 1, the rank of the first image of the same fine class, 0 if there is none;
        average precision at R (N,) float32 in [0, 1], NaN if there is none.
    """
    unit = F.normalize(features, dim=1)
    others = fine.bincount()[fine] - 1  # (N,) R of each image
    rows = max(1, ENTRIES // len(unit))
    firsts, precisions = [], []
    for chunk in torch.arange(len(unit), device=unit.device).split(rows):
        keys = _keys(unit[chunk] @ unit.T)  # (n, N)
        keys.scatter_(1, chunk[:, None], torch.iinfo(torch.int64).min)  # an image does not find itself
        firsts.append(_first_hit(keys, fine[chunk], fine) * (others[chunk] > 0))
        precisions.append(_average_precision(keys, fine[chunk], fine, others[chunk]))
    return torch.cat(firsts), torch.cat(precisions)


def _keys(similarity: Tensor) -> Tensor:
    """Integers (n, N) in the order of similarity, all different in a row: of equals the earlier image is greater."""
    bits = (similarity + 0.0).view(torch.int32)  # -0.0 becomes 0.0
    bits ^= (bits >> 31) & 0x7FFFFFFF  # floats below zero run backwards
    places = torch.arange(similarity.shape[1], device=similarity.device)
    return bits.long().mul_(2**32).add_(len(places) - 1 - places)


def _first_hit(keys: Tensor, labels: Tensor, fine: Tensor) -> Tensor:
    same = labels[:, None] == fine  # (n, N); the image itself has the smallest key
    best = torch.where(same, keys, torch.iinfo(torch.int64).min).amax(dim=1, keepdim=True)
    return (keys > best).sum(dim=1) + 1


def _average_precision(keys: Tensor, labels: Tensor, fine: Tensor, others: Tensor) -> Tensor:
    """Of each row, over its own R = `others` ranks."""
    depth = max(1, int(others.max()))
    nearest = len(fine) - 1 - (keys.topk(min(depth, len(fine)), dim=1).values & 0xFFFFFFFF)  # (n, R) images
    ranks = torch.arange(1, nearest.shape[1] + 1, device=keys.device)
    hits = (fine[nearest] == labels[:, None]) & (ranks <= others[:, None])
    precision = hits.cumsum(dim=1) / ranks  # (n, R)
    return (precision * hits).sum(dim=1) / others  # 0 / 0: NaN
