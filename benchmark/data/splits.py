"""Seeded stratified splits by index list, the same on every machine and library version for ever.

Images of a class are ranked by SHA-256 of (salt, index in the source) and the first share is held out: no random
generator whose algorithm could change is involved.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def hold_out(labels: NDArray[np.int64], share: float, salt: str) -> tuple[Indices, Indices]:
    """Split positions into (kept, held out), stratified by label, both ascending.

    Args:
        labels: (N,) class of each image.
        share: in (0, 1), of each class; at least one image is held out of a class of two or more.
        salt: names the split; another salt is another split.
    """
    held: list[int] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = max(round(share * len(members)), 1) if len(members) > 1 else 0
        ranked = sorted(members.tolist(), key=lambda i: hashlib.sha256(f"{salt}:{i}".encode()).digest())
        held.extend(ranked[:count])
    out = np.array(sorted(held), np.int64)
    return np.setdiff1d(np.arange(len(labels)), out), out
