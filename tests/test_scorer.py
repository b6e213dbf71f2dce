import dataclasses
import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.probes import knn, linear
from benchmark.schema import Data, Features, Scores, Selection, Split, Task
from benchmark.scorer import score

FINE_TO_COARSE = [0, 0, 1, 1, 1, 2, 2]
SIZES = {"train": [9, 12, 6, 8, 10, 7, 9], "val": [3, 2, 4, 2, 3, 2, 3], "test": [4, 6, 2, 5, 3, 1, 5]}


def labels_of(split: str) -> Tensor:
    return torch.arange(7).repeat_interleave(torch.tensor(SIZES[split]))


def data_of(test: Tensor | None = None) -> Data:
    """Splits whose images nobody looks at."""
    image = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    labels = {split: labels_of(split) for split in SIZES} | ({} if test is None else {"test": test})
    splits = {split: Split(image.expand(len(label), -1, -1, -1), label) for split, label in labels.items()}
    return Data(**splits, shots=torch.tensor([150, 101, 100, 20, 19, 5, 1]), split_digest="")


def scored(features: Features, data: Data, task: Task) -> tuple[Scores, Selection]:
    """Scores where pretraining has seen what is evaluated."""
    return score(features, data, task, (features, data))


@pytest.fixture
def features(rng: torch.Generator) -> Features:
    """Overlapping clouds in seven dimensions, and a linear coarse head that is right more often than not."""
    centres = 1.5 * torch.eye(7)
    drawn = {split: centres[labels_of(split)] + torch.randn(sum(SIZES[split]), 7, generator=rng) for split in SIZES}
    weight = torch.stack([centres[torch.tensor(FINE_TO_COARSE) == k].mean(dim=0) for k in range(3)])
    bias = torch.tensor([0.1, -0.2, 0.3])
    return Features(
        **drawn,
        val_logits=drawn["val"] @ weight.T + bias,
        test_logits=drawn["test"] @ weight.T + bias,
        head_weight=weight,
        head_bias=bias,
    )


def equal(a: object, b: object) -> bool:
    """Equality of scores in which NaN equals NaN."""
    pairs = zip(dataclasses.astuple(a), dataclasses.astuple(b), strict=True)
    return all(x == y or (math.isnan(x) and math.isnan(y)) for x, y in pairs)


def test_the_hierarchy_is_what_the_tests_below_take_it_for(toy_task: Task) -> None:
    assert list(toy_task.fine_to_coarse) == FINE_TO_COARSE


def test_every_metric_gets_its_own_labels(features: Features, toy_task: Task) -> None:
    scores, _ = scored(features, data_of(), toy_task)
    fine = labels_of("test")
    coarse = torch.tensor(FINE_TO_COARSE)[fine]
    margins = metrics.class_margins(features.test_logits, features.head_weight, coarse)
    expected = {
        "alignment_coarse": metrics.alignment(features.test, coarse),
        "alignment_fine": metrics.alignment(features.test, fine),
        "uniformity": metrics.uniformity(features.test),
        "nc1_coarse": metrics.nc1(features.test, coarse),
        "nc1_fine": metrics.nc1(features.test, fine),
        "subclass_separability": metrics.subclass_separability(features.test, fine, coarse),
        "class_separation_r2": metrics.class_separation_r2(features.test, coarse),
        "rankme": metrics.rankme(features.test),
        "margin_mean": margins.mean(),
        "margin_cv": margins.std() / abs(margins.mean()),
    }
    actual = {name: getattr(scores, name) for name in expected}
    assert actual == pytest.approx(expected, rel=1e-8)  # float64 on both sides, NC1 by another inverse


def test_every_score_lies_in_its_range(features: Features, toy_task: Task) -> None:
    scores, _ = scored(features, data_of(), toy_task)
    undefined = {"many_acc", "medium_acc", "few_acc", "source_coarse_acc"}  # of other kinds of task
    for column in dataclasses.fields(scores):
        value = getattr(scores, column.name)
        if column.name in undefined:
            assert math.isnan(value)
            continue
        assert column.metadata["low"] <= value <= column.metadata["high"], column.name


def test_accuracies_equal_plain_loops(features: Features, toy_task: Task) -> None:
    scores, selection = scored(features, data_of(), toy_task)
    train, val, fine = (labels_of(split) for split in SIZES)
    bank = torch.cat([features.train, features.val]), torch.cat([train, val])

    def share(predicted: list[int], labels: list[int]) -> float:
        return sum(p == label for p, label in zip(predicted, labels, strict=True)) / len(labels)

    def coarse_acc(logits: Tensor, labels: Tensor) -> float:
        rows = logits.tolist()
        return share([row.index(max(row)) for row in rows], [FINE_TO_COARSE[label] for label in labels])

    # counts over the number of images: equal up to the rounding of one division
    assert scores.coarse_acc == pytest.approx(coarse_acc(features.test_logits, fine), abs=1e-15)
    assert selection.coarse_val_acc == pytest.approx(coarse_acc(features.val_logits, val), abs=1e-15)
    by_knn = metrics.knn(bank, features.test, 7, knn.K)
    assert scores.fine_knn_acc == pytest.approx(share(by_knn, fine.tolist()), abs=1e-15)
    assert scores.fine_ncm_acc == pytest.approx(share(metrics.ncm(bank, features.test), fine.tolist()), abs=1e-15)


def test_probe_accuracies_equal_plain_loops(features: Features, toy_task: Task) -> None:
    scores, selection = scored(features, data_of(), toy_task)
    train, val, fine = (labels_of(split) for split in SIZES)
    probe = linear.fit((features.train, train), (features.val, val))
    right = within = 0
    for row, label in zip(probe.logits(features.test).tolist(), fine.tolist(), strict=True):
        siblings = [f for f in range(7) if FINE_TO_COARSE[f] == FINE_TO_COARSE[label]]
        right += max(range(7), key=lambda f: row[f]) == label
        within += max(siblings, key=lambda f: row[f]) == label
    assert scores.fine_linear_acc == pytest.approx(right / len(fine), abs=1e-15)
    assert scores.fine_linear_within_acc == pytest.approx(within / len(fine), abs=1e-15)
    assert (selection.fine_val_acc, selection.probe_l2) == (probe.val_acc, probe.l2)


@pytest.mark.parametrize(("strangers", "within"), [((2, 3, 5, 6, 0, 1, 4), 1), ((1, 0, 3, 4, 2, 6, 5), 0)])
def test_restricted_arg_max_forgives_other_superclasses_only(
    strangers: tuple[int, ...], within: float, features: Features, toy_task: Task
) -> None:
    # train and val: each fine class on its own axis. Test: 0.7 of another class and 0.3 of the own. The first list
    # takes the other from another superclass, which the restriction rules out; the second from the same one
    axes = torch.eye(7)
    fine = labels_of("test")
    test = 0.7 * axes[torch.tensor(strangers)[fine]] + 0.3 * axes[fine]
    made = dataclasses.replace(features, train=axes[labels_of("train")], val=axes[labels_of("val")], test=test)
    scores, _ = scored(made, data_of(), toy_task)
    assert scores.fine_linear_acc == 0
    assert scores.fine_linear_within_acc == within


def test_a_head_that_is_not_linear_has_no_margins(features: Features, toy_task: Task) -> None:
    linear_head, _ = scored(features, data_of(), toy_task)
    other, _ = scored(dataclasses.replace(features, head_weight=None, head_bias=None), data_of(), toy_task)
    assert math.isnan(other.margin_mean)
    assert math.isnan(other.margin_cv)
    assert equal(other, dataclasses.replace(linear_head, margin_mean=math.nan, margin_cv=math.nan))


def test_test_labels_never_reach_selection_or_probe(
    features: Features, toy_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes, fit = [], linear.fit
    monkeypatch.setattr(linear, "fit", lambda train, val: probes.append(fit(train, val)) or probes[-1])
    plain, selection = scored(features, data_of(), toy_task)
    others = dataclasses.replace(features, test=features.test.flip(1) + 1, test_logits=-features.test_logits)
    for changed, labels in ((features, labels_of("test").flip(0)), (others, labels_of("test"))):
        scores, again = scored(changed, data_of(labels), toy_task)
        assert again == selection
        assert scores.fine_linear_acc != plain.fine_linear_acc  # the change does reach the scores
        assert torch.equal(probes[-1].coefficients, probes[0].coefficients)


def test_val_labels_reach_selection(features: Features, toy_task: Task) -> None:
    _, selection = scored(features, data_of(), toy_task)
    data = data_of()
    wrong = dataclasses.replace(data, val=dataclasses.replace(data.val, labels=data.val.labels.flip(0)))
    _, other = scored(features, wrong, toy_task)
    assert other.coarse_val_acc != selection.coarse_val_acc
    assert other.fine_val_acc < selection.fine_val_acc


def test_scores_are_the_same_twice(features: Features, toy_task: Task) -> None:
    assert scored(features, data_of(), toy_task) == scored(features, data_of(), toy_task)


@pytest.mark.parametrize(("value", "message"), [(0.0, "1 of 26 features are zero"), (math.nan, "NaN or infinity")])
def test_a_broken_test_feature_is_refused(value: float, message: str, features: Features, toy_task: Task) -> None:
    broken = features.test.clone()
    broken[3] = value
    with pytest.raises(ValueError, match=message):
        scored(dataclasses.replace(features, test=broken), data_of(), toy_task)


def test_worst_class_is_the_lowest_of_a_plain_loop(features: Features, toy_task: Task) -> None:
    scores, _ = scored(features, data_of(), toy_task)
    rows = features.test_logits.tolist()
    right: dict[int, list[bool]] = {0: [], 1: [], 2: []}
    for row, label in zip(rows, labels_of("test").tolist(), strict=True):
        right[FINE_TO_COARSE[label]].append(row.index(max(row)) == FINE_TO_COARSE[label])
    assert scores.worst_class_acc == pytest.approx(min(sum(r) / len(r) for r in right.values()), abs=1e-15)


def test_long_tailed_scores_are_of_the_head_in_groups_of_shots(features: Features, toy_task: Task) -> None:
    tree = dataclasses.replace(toy_task.hierarchy, long_tail=150.0)
    task = dataclasses.replace(toy_task, kind="long-tailed", coarse_level="fine", hierarchy=tree)
    logits = features.test @ (1.5 * torch.eye(7))  # a head with a row for each fine class
    made = dataclasses.replace(
        features,
        test_logits=logits,
        val_logits=features.val @ (1.5 * torch.eye(7)),
        head_weight=1.5 * torch.eye(7),
        head_bias=torch.zeros(7),
    )
    scores, _ = scored(made, data_of(), task)
    groups = {"many_acc": (0, 1), "medium_acc": (2, 3), "few_acc": (4, 5, 6)}  # 150, 101 | 100, 20 | 19, 5, 1 images
    fine = labels_of("test").tolist()
    right = [row.index(max(row)) == label for row, label in zip(logits.tolist(), fine, strict=True)]
    for name, classes in groups.items():
        hits = [hit for hit, label in zip(right, fine, strict=True) if label in classes]
        assert getattr(scores, name) == pytest.approx(sum(hits) / len(hits), abs=1e-15)
    assert scores.coarse_acc == pytest.approx(sum(right) / len(right), abs=1e-15)
    assert scores.alignment_coarse == scores.alignment_fine
    assert math.isnan(scores.subclass_separability)
    assert math.isnan(scores.fine_linear_within_acc)
    assert math.isnan(scores.source_coarse_acc)


def test_a_shift_is_selected_by_what_pretraining_saw(features: Features, toy_task: Task, rng: torch.Generator) -> None:
    # Evaluated are the last class of each superclass; the head is read on the others too.
    tree = dataclasses.replace(toy_task.hierarchy, target=("long_b", "short_c", "steep_b"))
    task = dataclasses.replace(toy_task, kind="subpopulation-shift", hierarchy=tree)
    target, seen = part_of(features, (1, 4, 6)), part_of(features, (0, 2, 3, 5))
    scores, selection = score(*target, task, seen)

    def share(logits: Tensor, coarse: list[int]) -> float:
        return float((logits.argmax(dim=1) == torch.tensor(coarse)).double().mean())

    of_seen = {0: 0, 1: 1, 2: 1, 3: 2}
    assert scores.coarse_acc == share(target[0].test_logits, target[1].test.labels.tolist())  # one class for each
    assert scores.source_coarse_acc == share(seen[0].test_logits, [of_seen[i] for i in seen[1].test.labels.tolist()])
    assert selection.coarse_val_acc == share(seen[0].val_logits, [of_seen[i] for i in seen[1].val.labels.tolist()])
    assert scores.source_coarse_acc != scores.coarse_acc


def part_of(features: Features, classes: tuple[int, ...]) -> tuple[Features, Data]:
    """Features and labels of some fine classes, renumbered."""
    kept = {split: torch.isin(labels_of(split), torch.tensor(classes)) for split in SIZES}
    image = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    splits = {}
    for split, mask in kept.items():
        labels = torch.tensor([classes.index(label) for label in labels_of(split)[mask].tolist()])
        splits[split] = Split(image.expand(len(labels), -1, -1, -1), labels)
    made = dataclasses.replace(
        features,
        **{split: getattr(features, split)[mask] for split, mask in kept.items()},
        val_logits=features.val_logits[kept["val"]],
        test_logits=features.test_logits[kept["test"]],
    )
    return made, Data(**splits, shots=torch.full((len(classes),), 9), split_digest="")
