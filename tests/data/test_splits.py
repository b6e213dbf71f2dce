"""Seeded stratified splits: exact counts, nothing lost, and the same for ever."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import data, registry
from benchmark.data import splits


def labels_of(counts: list[int], rng: torch.Generator) -> np.ndarray:
    ordered = np.repeat(np.arange(len(counts)), counts)
    return ordered[torch.randperm(len(ordered), generator=rng).numpy()]


@pytest.mark.parametrize(
    ("counts", "share", "held"),
    [
        ([100, 50, 10], 0.1, [10, 5, 1]),
        ([2, 3, 4], 0.1, [1, 1, 1]),  # at least one of a class of two or more
        ([1, 20], 0.3, [0, 6]),  # a single image stays
        ([10, 10], 0.3, [3, 3]),
    ],
)
def test_share_is_held_out_of_every_class(counts: list[int], share: float, held: list[int], rng: torch.Generator):
    labels = labels_of(counts, rng)
    kept, out = splits.hold_out(labels, share, "salt")
    assert np.bincount(labels[out], minlength=len(counts)).tolist() == held
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, out])), np.arange(len(labels)))
    assert (np.diff(kept) > 0).all()
    assert (np.diff(out) > 0).all()


def test_split_is_a_function_of_labels_and_salt_alone(rng: torch.Generator):
    labels = labels_of([40, 60], rng)
    first = splits.hold_out(labels, 0.2, "salt")[1]
    np.random.seed(1)  # noqa: NPY002 - the global generator is what must not matter
    torch.manual_seed(1)
    np.testing.assert_array_equal(splits.hold_out(labels.copy(), 0.2, "salt")[1], first)
    renamed = splits.hold_out(1 - labels, 0.2, "salt")[1]  # names of classes do not matter, membership does
    np.testing.assert_array_equal(renamed, first)
    assert not np.array_equal(splits.hold_out(labels, 0.2, "other")[1], first)


def test_larger_share_contains_the_smaller(rng: torch.Generator):
    labels = labels_of([40, 60], rng)
    small, large = (set(splits.hold_out(labels, share, "salt")[1].tolist()) for share in (0.1, 0.3))
    assert small < large


def test_split_equals_ranking_by_hash():
    held = splits.hold_out(np.zeros(30, np.int64), 0.2, "s")[1]
    ranked = sorted(range(30), key=lambda i: hashlib.sha256(f"s:{i}".encode()).hexdigest())
    assert held.tolist() == sorted(ranked[:6])


def test_split_of_the_digits_is_pinned():
    """Stored rows carry this digest: a change here makes every one of them incomparable."""
    task = registry.task("digits-halves")
    assert data.load(task, data.decode(task.hierarchy, Path("nowhere"))).split_digest == "989471a96d615259"
