import dataclasses
import math

import pytest
import torch
from reference import metrics, read_outs
from torch import Tensor

from benchmark.metrics import Predictions
from benchmark.probes import knn, linear, readouts
from benchmark.schema import Features, Labels, Task

FINE_TO_COARSE = [0, 0, 1, 1, 1, 2, 2]  # of the toy task
SIZES = {"train": [9, 12, 6, 8, 10, 7, 9], "val": [3, 2, 4, 2, 3, 2, 3], "test": [4, 6, 2, 5, 3, 1, 5]}


def labels_of(split: str) -> Tensor:
    return torch.arange(7).repeat_interleave(torch.tensor(SIZES[split]))


LABELS = Labels(
    **{split: labels_of(split) for split in SIZES},
    shots=torch.tensor([12, 14, 10, 10, 13, 9, 12]),
    held_out=torch.tensor(FINE_TO_COARSE)[labels_of("val")],
)


@pytest.fixture
def features(rng: torch.Generator) -> Features:
    """Overlapping clouds in seven dimensions, and a linear coarse head."""
    centres = 1.5 * torch.eye(7)
    drawn = {split: centres[labels_of(split)] + torch.randn(sum(SIZES[split]), 7, generator=rng) for split in SIZES}
    weight = torch.stack([centres[torch.tensor(FINE_TO_COARSE) == k].mean(dim=0) for k in range(3)])
    head = weight, torch.tensor([0.1, -0.2, 0.3])
    logits = {split: drawn[split] @ weight.T + head[1] for split in ("val", "test")}
    return Features(**drawn, head=head, held_out_logits=logits["val"], test_logits=logits["test"])


def answered(features: Features, labels: Labels, task: Task, seed: int = 0) -> Predictions:
    return readouts.answer(features, labels, task, torch.Generator().manual_seed(seed), seed)[0]


def equal(a: Predictions, b: Predictions, *but: str) -> bool:
    """Text holds every entry of these few images, and NaN equals NaN there."""
    torch.set_printoptions(profile="full")
    values = ({f.name: getattr(p, f.name) for f in dataclasses.fields(p) if f.name not in but} for p in (a, b))
    try:
        return str(next(values)) == str(next(values))
    finally:
        torch.set_printoptions(profile="default")


def test_every_read_out_gets_its_own_splits(features: Features, toy_task: Task) -> None:
    found = answered(features, LABELS, toy_task)
    bank = torch.cat([features.train, features.val]), torch.cat([LABELS.train, LABELS.val])
    firsts, precisions = read_outs.retrieval(features.test, LABELS.test)
    assert found.knn.tolist() == metrics.knn(bank, features.test, 7, knn.K)
    assert found.ncm.tolist() == metrics.ncm(bank, features.test)
    assert found.first_hit.tolist() == firsts
    assert found.average_precision.tolist() == pytest.approx(precisions, abs=1e-6, nan_ok=True)
    assert torch.equal(found.fine, LABELS.test)
    assert torch.equal(found.shots, LABELS.shots)
    assert torch.equal(found.coarse_logits, features.test_logits)
    assert found.source is None
    assert found.tuned is None


def test_probe_answers_equal_plain_loops(features: Features, toy_task: Task) -> None:
    found, probe = readouts.answer(features, LABELS, toy_task, torch.Generator(), 0)
    expected = linear.fit((features.train, LABELS.train), (features.val, LABELS.val))
    assert torch.equal(probe.coefficients, expected.coefficients)
    for i, (row, label) in enumerate(zip(expected.logits(features.test).tolist(), LABELS.test.tolist(), strict=True)):
        siblings = [f for f in range(7) if FINE_TO_COARSE[f] == FINE_TO_COARSE[label]]
        assert found.linear[i] == max(range(7), key=lambda f: row[f])
        assert found.linear_within[i] == max(siblings, key=lambda f: row[f])


@pytest.mark.parametrize(("strangers", "within"), [((2, 3, 5, 6, 0, 1, 4), 1), ((1, 0, 3, 4, 2, 6, 5), 0)])
def test_restricted_arg_max_forgives_other_superclasses_only(
    strangers: tuple[int, ...], within: float, features: Features, toy_task: Task
) -> None:
    # train and val: each fine class on its own axis. Test: 0.7 of another class and 0.3 of the own. The first list
    # takes the other from another superclass, which the restriction rules out; the second from the same one
    axes, fine = torch.eye(7), LABELS.test
    test = 0.7 * axes[torch.tensor(strangers)[fine]] + 0.3 * axes[fine]
    found = answered(
        dataclasses.replace(features, train=axes[LABELS.train], val=axes[LABELS.val], test=test), LABELS, toy_task
    )
    assert (found.linear == fine).double().mean() == 0
    assert (found.linear_within == fine).double().mean() == within


def test_test_labels_reach_neither_probe_nor_bank(features: Features, toy_task: Task) -> None:
    first, probe = readouts.answer(features, LABELS, toy_task, torch.Generator(), 0)
    others = dataclasses.replace(LABELS, test=LABELS.test.flip(0))
    second, again = readouts.answer(features, others, toy_task, torch.Generator(), 0)
    assert torch.equal(again.coefficients, probe.coefficients)
    for name in ("linear", "knn", "ncm"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert not torch.equal(first.first_hit, second.first_hit)


def test_answers_are_the_same_twice_and_inputs_are_left_alone(features: Features, toy_task: Task) -> None:
    copies = [part.clone() for part in (features.train, features.val, features.test)]
    state = torch.get_rng_state()
    assert equal(answered(features, LABELS, toy_task), answered(features, LABELS, toy_task))
    assert not equal(answered(features, LABELS, toy_task), answered(features, LABELS, toy_task, seed=1))
    parts = (features.train, features.val, features.test)
    assert all(torch.equal(part, copy) for part, copy in zip(parts, copies, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_lengths_of_features_matter_to_the_linear_probe_only(features: Features, toy_task: Task) -> None:
    longer = {
        name: getattr(features, name) * torch.linspace(1, 3, n)[:, None]
        for name, n in (("train", 61), ("val", 19), ("test", 26))
    }
    plain, scaled = (answered(f, LABELS, toy_task) for f in (features, dataclasses.replace(features, **longer)))
    assert not torch.equal(plain.linear, scaled.linear)
    for name in ("knn", "ncm", "first_hit", "clusters"):
        assert torch.equal(getattr(plain, name), getattr(scaled, name))


def test_what_other_modules_made_is_passed_on(features: Features, toy_task: Task) -> None:
    logits = torch.tensor([[2.0, 1, 0], [0, 1, 2], [0, 3, 1]])
    more = dataclasses.replace(features, source_logits=logits, tuned=LABELS.test.flip(0))
    labels = dataclasses.replace(LABELS, source=torch.tensor([0, 1, 1]))
    found = answered(more, labels, toy_task)
    assert found.source.tolist() == [[0, 0], [1, 2], [1, 1]]
    assert torch.equal(found.tuned, LABELS.test.flip(0))
    assert equal(found, answered(features, LABELS, toy_task), "source", "tuned")


def test_features_without_a_head_are_enough(features: Features, toy_task: Task) -> None:
    bare = dataclasses.replace(features, head=None, held_out_logits=None, test_logits=None)
    found = answered(bare, LABELS, toy_task)
    assert found.coarse_logits is None
    assert equal(found, answered(features, LABELS, toy_task), "coarse_logits")


def test_a_shift_is_read_out_on_the_classes_kept_from_pretraining(features: Features, toy_task: Task) -> None:
    # evaluated are the last class of each superclass, renumbered: one fine class in each, so within is always right
    tree = dataclasses.replace(toy_task.hierarchy, target=("long_b", "short_c", "steep_b"))
    task = dataclasses.replace(toy_task, kind="subpopulation-shift", hierarchy=tree)
    classes = torch.tensor([1, 4, 6])
    kept = {split: torch.isin(labels_of(split), classes) for split in SIZES}
    renumbered = {split: torch.searchsorted(classes, labels_of(split)[mask]) for split, mask in kept.items()}
    labels = Labels(**renumbered, shots=torch.full((3,), 9), held_out=torch.zeros(1).long())
    parts = {split: getattr(features, split)[mask] for split, mask in kept.items()}
    found = answered(
        Features(**parts, head=None, held_out_logits=None, test_logits=features.test_logits[kept["test"]]), labels, task
    )
    assert torch.equal(found.linear_within, labels.test)
    assert found.linear.max() == 2
    assert found.clusters.unique().tolist() == [0]
    assert len(found.episodes["intra_1shot"]) == 0
    assert len(found.episodes["allway_1shot"]) == 600


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_diverged_features_are_refused(value: float, split: str, features: Features, toy_task: Task) -> None:
    broken = getattr(features, split).clone()
    broken[3, 2] = value
    with pytest.raises(ValueError, match=f"{split} features hold NaN or infinity"):
        answered(dataclasses.replace(features, **{split: broken}), LABELS, toy_task)


def test_a_zero_feature_has_no_direction(features: Features, toy_task: Task) -> None:
    broken = features.test.clone()
    broken[3] = 0
    with pytest.raises(ValueError, match="1 of 26 features are zero"):
        answered(dataclasses.replace(features, test=broken), LABELS, toy_task)
