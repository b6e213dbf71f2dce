import dataclasses
import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.metrics import METRICS, Figure, wide
from benchmark.probes import knn, linear
from benchmark.schema import Features, Labels, Selection, Task
from benchmark.scorer import Chance, score

FINE_TO_COARSE = [0, 0, 1, 1, 1, 2, 2]
SIZES = {"train": [9, 12, 6, 8, 10, 7, 9], "val": [3, 2, 4, 2, 3, 2, 3], "test": [4, 6, 2, 5, 3, 1, 5]}


def labels_of(split: str) -> Tensor:
    return torch.arange(7).repeat_interleave(torch.tensor(SIZES[split]))


def make_labels(test: Tensor | None = None) -> Labels:
    return Labels(
        train=labels_of("train"),
        val=labels_of("val"),
        test=labels_of("test") if test is None else test,
        shots=torch.tensor([150, 101, 100, 20, 19, 5, 1]),
        held_out=torch.tensor(FINE_TO_COARSE)[labels_of("val")],
    )


def chance() -> Chance:
    episodes, bootstrap, shuffle = (torch.Generator().manual_seed(i) for i in range(3))
    return Chance(episodes, 3, bootstrap, shuffle)


def scored(features: Features, labels: Labels, task: Task) -> tuple[dict[str, float], Selection]:
    """The columns of a row."""
    figures, selection, _ = score(features, labels, task, chance())
    return wide(figures), selection


def figures_of(features: Features, task: Task) -> dict[tuple[str, str, str, str], Figure]:
    figures, _, _ = score(features, make_labels(), task, chance())
    found = {(figure.metric, figure.split, figure.layer, figure.superclass): figure for figure in figures}
    assert len(found) == len(figures)
    return found


@pytest.fixture
def features(rng: torch.Generator) -> Features:
    """Overlapping clouds in seven dimensions, and a linear coarse head that is right more often than not."""
    centres = 1.5 * torch.eye(7)
    drawn = {split: centres[labels_of(split)] + torch.randn(sum(SIZES[split]), 7, generator=rng) for split in SIZES}
    weight = torch.stack([centres[torch.tensor(FINE_TO_COARSE) == k].mean(dim=0) for k in range(3)])
    bias = torch.tensor([0.1, -0.2, 0.3])
    return Features(
        **drawn,
        head=(weight, bias),
        held_out_logits=drawn["val"] @ weight.T + bias,
        test_logits=drawn["test"] @ weight.T + bias,
    )


def equal(a: dict[str, float], b: dict[str, float]) -> bool:
    """Equality of scores in which NaN equals NaN."""
    return a.keys() == b.keys() and all(a[k] == b[k] or (math.isnan(a[k]) and math.isnan(b[k])) for k in a)


def test_the_hierarchy_is_what_the_tests_below_take_it_for(toy_task: Task) -> None:
    assert list(toy_task.fine_to_coarse) == FINE_TO_COARSE


def test_every_metric_gets_its_own_labels(features: Features, toy_task: Task) -> None:
    scores, _ = scored(features, make_labels(), toy_task)
    fine = labels_of("test")
    coarse = torch.tensor(FINE_TO_COARSE)[fine]
    margins = metrics.class_margins(features.test_logits, features.head[0], coarse)
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
    actual = {name: scores[name] for name in expected}
    assert actual == pytest.approx(expected, rel=1e-6)  # the reference has float32 logits


def test_every_score_lies_in_its_range(features: Features, toy_task: Task) -> None:
    scores, _ = scored(features, make_labels(), toy_task)
    undefined = {"many_acc", "medium_acc", "few_acc", "source_coarse_acc", "fine_tuned_acc"}  # of other kinds of task
    few = {f"fine_{kind}_10shot_acc" for kind in ("5way", "allway", "intra")}  # two classes of that many train images
    for name, value in scores.items():
        if name in undefined | few:
            assert math.isnan(value), name
            continue
        assert METRICS[name].low <= value <= METRICS[name].high, name


def test_accuracies_equal_plain_loops(features: Features, toy_task: Task) -> None:
    scores, selection = scored(features, make_labels(), toy_task)
    train, val, fine = (labels_of(split) for split in SIZES)
    bank = torch.cat([features.train, features.val]), torch.cat([train, val])

    def share(predicted: list[int], labels: list[int]) -> float:
        return sum(p == label for p, label in zip(predicted, labels, strict=True)) / len(labels)

    def coarse_acc(logits: Tensor, labels: Tensor) -> float:
        rows = logits.tolist()
        return share([row.index(max(row)) for row in rows], [FINE_TO_COARSE[label] for label in labels])

    # counts over the number of images: equal up to the rounding of one division
    assert scores["coarse_acc"] == pytest.approx(coarse_acc(features.test_logits, fine), abs=1e-15)
    assert selection.coarse_val_acc == pytest.approx(coarse_acc(features.held_out_logits, val), abs=1e-15)
    by_knn = metrics.knn(bank, features.test, 7, knn.K)
    assert scores["fine_knn_acc"] == pytest.approx(share(by_knn, fine.tolist()), abs=1e-15)
    assert scores["fine_ncm_acc"] == pytest.approx(share(metrics.ncm(bank, features.test), fine.tolist()), abs=1e-15)


def test_probe_accuracies_equal_plain_loops(features: Features, toy_task: Task) -> None:
    scores, selection = scored(features, make_labels(), toy_task)
    train, val, fine = (labels_of(split) for split in SIZES)
    probe = linear.fit((features.train, train), (features.val, val))
    right = within = 0
    for row, label in zip(probe.logits(features.test).tolist(), fine.tolist(), strict=True):
        siblings = [f for f in range(7) if FINE_TO_COARSE[f] == FINE_TO_COARSE[label]]
        right += max(range(7), key=lambda f: row[f]) == label
        within += max(siblings, key=lambda f: row[f]) == label
    assert scores["fine_linear_acc"] == pytest.approx(right / len(fine), abs=1e-15)
    assert scores["fine_linear_within_acc"] == pytest.approx(within / len(fine), abs=1e-15)
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
    scores, _ = scored(made, make_labels(), toy_task)
    assert scores["fine_linear_acc"] == 0
    assert scores["fine_linear_within_acc"] == within


def test_a_head_that_is_not_linear_has_no_margins(features: Features, toy_task: Task) -> None:
    linear_head, _ = scored(features, make_labels(), toy_task)
    other, _ = scored(dataclasses.replace(features, head=None), make_labels(), toy_task)
    of_the_head = ["margin_mean", "margin_cv", "margin_negative", "nc3_coarse", "nc4_coarse"]
    assert all(math.isnan(other[name]) for name in of_the_head)
    assert equal(other, linear_head | dict.fromkeys(of_the_head, math.nan))


def test_without_a_head_fine_read_outs_remain(features: Features, toy_task: Task) -> None:
    whole, _ = scored(features, make_labels(), toy_task)
    nothing = dataclasses.replace(features, head=None, held_out_logits=None, test_logits=None)
    other, selection = scored(nothing, make_labels(), toy_task)
    assert math.isnan(selection.coarse_val_acc)
    assert all(math.isnan(other[name]) for name, metric in METRICS.items() if metric.family == "head")
    assert all(other[name] == whole[name] for name in ("fine_linear_acc", "fine_cluster_ami", "fine_map_at_r"))


def test_test_labels_never_reach_selection_or_probe(
    features: Features, toy_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes, fit = [], linear.fit
    monkeypatch.setattr(linear, "fit", lambda train, val: probes.append(fit(train, val)) or probes[-1])
    plain, selection = scored(features, make_labels(), toy_task)
    others = dataclasses.replace(features, test=features.test.flip(1) + 1, test_logits=-features.test_logits)
    for changed, labels in ((features, labels_of("test").flip(0)), (others, labels_of("test"))):
        scores, again = scored(changed, make_labels(labels), toy_task)
        assert again == selection
        assert scores["fine_linear_acc"] != plain["fine_linear_acc"]  # the change does reach the scores
        assert torch.equal(probes[-1].coefficients, probes[0].coefficients)


def test_val_labels_reach_selection(features: Features, toy_task: Task) -> None:
    _, selection = scored(features, make_labels(), toy_task)
    labels = make_labels()
    wrong = dataclasses.replace(labels, val=labels.val.flip(0), held_out=labels.held_out.flip(0))
    _, other = scored(features, wrong, toy_task)
    assert other.coarse_val_acc != selection.coarse_val_acc
    assert other.fine_val_acc < selection.fine_val_acc


def test_scores_are_the_same_twice(features: Features, toy_task: Task) -> None:
    (first, selection), (second, again) = (scored(features, make_labels(), toy_task) for _ in range(2))
    assert equal(first, second) and selection == again


@pytest.mark.parametrize(("value", "message"), [(0.0, "1 of 26 features are zero"), (math.nan, "NaN or infinity")])
def test_a_broken_test_feature_is_refused(value: float, message: str, features: Features, toy_task: Task) -> None:
    broken = features.test.clone()
    broken[3] = value
    with pytest.raises(ValueError, match=message):
        scored(dataclasses.replace(features, test=broken), make_labels(), toy_task)


def test_worst_class_is_the_lowest_of_a_plain_loop(features: Features, toy_task: Task) -> None:
    scores, _ = scored(features, make_labels(), toy_task)
    rows = features.test_logits.tolist()
    right: dict[int, list[bool]] = {0: [], 1: [], 2: []}
    for row, label in zip(rows, labels_of("test").tolist(), strict=True):
        right[FINE_TO_COARSE[label]].append(row.index(max(row)) == FINE_TO_COARSE[label])
    assert scores["worst_class_acc"] == pytest.approx(min(sum(r) / len(r) for r in right.values()), abs=1e-15)


def test_long_tailed_scores_are_of_the_head_in_groups_of_shots(features: Features, toy_task: Task) -> None:
    tree = dataclasses.replace(toy_task.hierarchy, long_tail=150.0)
    task = dataclasses.replace(toy_task, kind="long-tailed", coarse_level="fine", hierarchy=tree)
    logits = features.test @ (1.5 * torch.eye(7))  # a head with a row for each fine class
    made = dataclasses.replace(
        features,
        test_logits=logits,
        held_out_logits=features.val @ (1.5 * torch.eye(7)),
        head=(1.5 * torch.eye(7), torch.zeros(7)),
    )
    scores, _ = scored(made, make_labels(), task)
    groups = {"many_acc": (0, 1), "medium_acc": (2, 3), "few_acc": (4, 5, 6)}  # 150, 101 | 100, 20 | 19, 5, 1 images
    fine = labels_of("test").tolist()
    right = [row.index(max(row)) == label for row, label in zip(logits.tolist(), fine, strict=True)]
    for name, classes in groups.items():
        hits = [hit for hit, label in zip(right, fine, strict=True) if label in classes]
        assert scores[name] == pytest.approx(sum(hits) / len(hits), abs=1e-15)
    assert scores["coarse_acc"] == pytest.approx(sum(right) / len(right), abs=1e-15)
    assert scores["alignment_coarse"] == scores["alignment_fine"]
    assert math.isnan(scores["subclass_separability"])
    assert math.isnan(scores["fine_linear_within_acc"])
    assert math.isnan(scores["source_coarse_acc"])


def test_a_shift_is_selected_by_what_pretraining_saw(features: Features, toy_task: Task, rng: torch.Generator) -> None:
    # Evaluated are the last class of each superclass; the head is read on the others too.
    tree = dataclasses.replace(toy_task.hierarchy, target=("long_b", "short_c", "steep_b"))
    task = dataclasses.replace(toy_task, kind="subpopulation-shift", hierarchy=tree)
    made, labels = part_of(features, (1, 4, 6))
    seen = {split: torch.isin(labels_of(split), torch.tensor((0, 2, 3, 5))) for split in ("val", "test")}
    to_coarse = torch.tensor(FINE_TO_COARSE)
    weight, bias = features.head
    held_out, source = (getattr(features, split)[seen[split]] @ weight.T + bias for split in ("val", "test"))
    coarse = [to_coarse[labels_of(split)[seen[split]]] for split in ("val", "test")]
    made = dataclasses.replace(made, held_out_logits=held_out, source_logits=source)
    labels = dataclasses.replace(labels, held_out=coarse[0], source=coarse[1])
    scores, selection = scored(made, labels, task)

    def share(logits: Tensor, labels: Tensor) -> float:
        return float((logits.argmax(dim=1) == labels).double().mean())

    assert scores["coarse_acc"] == share(made.test_logits, labels.test)  # one class for each
    assert scores["source_coarse_acc"] == share(source, coarse[1])
    assert selection.coarse_val_acc == share(held_out, coarse[0])
    assert scores["source_coarse_acc"] != scores["coarse_acc"]


def part_of(features: Features, classes: tuple[int, ...]) -> tuple[Features, Labels]:
    """Features and labels of some fine classes, renumbered."""
    kept = {split: torch.isin(labels_of(split), torch.tensor(classes)) for split in SIZES}
    labels = {
        split: torch.tensor([classes.index(label) for label in labels_of(split)[mask].tolist()])
        for split, mask in kept.items()
    }
    parts = {split: getattr(features, split)[mask] for split, mask in kept.items()}
    made = dataclasses.replace(features, **parts, test_logits=features.test_logits[kept["test"]])
    return made, Labels(**labels, shots=torch.full((len(classes),), 9), held_out=labels["val"])


def test_figures_are_of_test_train_superclasses_and_layers(features: Features, toy_task: Task) -> None:
    found = figures_of(dataclasses.replace(features, layers={"stage 1": features.test[:, :4]}), toy_task)
    fine = labels_of("test")
    coarse = torch.tensor(FINE_TO_COARSE)[fine]
    members = coarse == 1
    expected = {
        ("alignment_fine", "train", "", ""): metrics.alignment(features.train, labels_of("train")),
        ("rankme", "test", "stage 1", ""): metrics.rankme(features.test[:, :4]),
        ("alignment_coarse", "test", "", toy_task.coarse_classes[1]): metrics.alignment(
            features.test[members], coarse[members]
        ),
    }
    assert {place: found[place].value for place in expected} == pytest.approx(expected, rel=1e-8)
    assert math.isnan(found["margin_mean", "test", "stage 1", ""].value)  # there is no head


def test_intervals_hold_the_figure_and_narrow_with_more_images(features: Features, toy_task: Task) -> None:
    found = figures_of(features, toy_task)
    for name in ("fine_knn_acc", "alignment_coarse", "uniformity", "subclass_separability", "margin_mean"):
        figure = found[name, "test", "", ""]
        assert figure.low < figure.value < figure.high, name
    assert math.isnan(found["rankme", "test", "", ""].low)  # copies of images lower the rank: no interval


def test_nulls_are_the_untrained_network_and_shuffled_fine_labels(features: Features, toy_task: Task) -> None:
    untrained = features.test.flip(0)
    found = figures_of(dataclasses.replace(features, untrained=untrained), toy_task)
    fine = labels_of("test")
    coarse = torch.tensor(FINE_TO_COARSE)[fine]
    separability = found["subclass_separability", "test", "", ""]
    assert separability.untrained == pytest.approx(metrics.subclass_separability(untrained, fine, coarse), rel=1e-8)
    assert separability.shuffled < separability.value  # the clouds of fine classes stand apart
    assert separability.over["over_shuffled"] == separability.value - separability.shuffled
    assert math.isnan(found["alignment_coarse", "test", "", ""].shuffled)  # knows no fine label
    assert math.isnan(found["margin_mean", "test", "", ""].untrained)


def test_shuffled_labels_of_noise_are_no_worse_than_the_true_ones(toy_task: Task, rng: torch.Generator) -> None:
    # fine labels that mean nothing: the null is where the value is, so the excess is small beside the value
    many = torch.arange(7).repeat(200)
    noise = torch.randn(len(many), 16, generator=rng)
    labels = Labels(many, many, many, torch.full((7,), 400), held_out=torch.tensor(FINE_TO_COARSE)[many])
    made = Features(noise, noise.flip(0), noise, None, None, None)
    figures, _, _ = score(made, labels, toy_task, chance())
    (figure,) = [f for f in figures if (f.metric, f.split, f.superclass) == ("subclass_separability", "test", "")]
    assert abs(figure.value - figure.shuffled) < 0.6 * figure.shuffled
